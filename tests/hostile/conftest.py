"""The command on hostile files: bounded memory and time, exit 2, one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mnist_fn.shared.config import Config
from mnist_fn.shared.runs.trainer import train
from tests.support import limited

ROOM = 2**30  # bytes of address space more than after the imports, of which torch's alone is 3 GB
MAX_BYTES = 600 * 2**20  # resident, beyond the imports
MAX_SECONDS = 10.0  # of processor time, so that a loaded machine makes no difference
MODULES = "jax,torch_ref.exchange,mnist_fn.parity,mnist_fn.shared.exchange.importing,PIL.Image"


@pytest.fixture(scope="session")
def run_of_digits(tmp_path_factory) -> Path:
    """A finished run of one epoch on the embedded digits."""
    folder = tmp_path_factory.mktemp("hostile") / "run"
    train(Config(dataset="digits", hidden=(4,), epochs=1), out=folder)
    return folder


@pytest.fixture(scope="session")
def limited_commands():
    """A process that runs commands under a limit; see `limited`."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, limited.__file__, str(ROOM), MODULES]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        yield process
        process.stdin.close()  # pyright: ignore


@pytest.fixture
def refused(limited_commands, tmp_path):
    """Run a command that must refuse a file: returns its one line on stderr."""

    def run(*arguments: object) -> str:
        asked = {"folder": str(tmp_path), "arguments": [str(word) for word in arguments]}
        limited_commands.stdin.write(json.dumps(asked) + "\n")
        limited_commands.stdin.flush()
        done = json.loads(limited_commands.stdout.readline())
        assert done["returncode"] == 2, done
        line = done["stderr"].removesuffix("\n")
        assert line.startswith("mnist-fn: "), done
        assert line.isprintable(), done
        assert done["bytes"] < MAX_BYTES, done
        assert done["seconds"] < MAX_SECONDS, done
        return line

    return run
