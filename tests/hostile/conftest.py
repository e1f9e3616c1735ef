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
MAX_BYTES = 600 * 2**20  # resident: what docs/reliability.md and SECURITY.md promise, and some more
MAX_SECONDS = 10.0  # of processor time, so that a loaded machine makes no difference


@pytest.fixture(scope="session")
def run_of_digits(tmp_path_factory) -> Path:
    """A finished run of one epoch on the embedded digits."""
    folder = tmp_path_factory.mktemp("hostile") / "run"
    train(Config(dataset="digits", hidden=(4,), epochs=1), out=folder)
    return folder


@pytest.fixture
def refused(tmp_path):
    """Run a command that must refuse a file: returns its one line on stderr."""

    def run(*arguments: object, modules: str = "", failures: int = 1) -> str:
        done = limited_run(tmp_path, arguments, modules)
        assert done.returncode == 2, (done.returncode, done.stdout[-500:], done.stderr[-2000:])
        lines = done.stderr.splitlines()
        assert len(lines) == failures, done.stderr
        assert all(line.startswith("mnist-fn: ") and line.isprintable() for line in lines)
        return done.stderr

    return run


def limited_run(folder: Path, arguments, modules: str = "") -> subprocess.CompletedProcess[str]:
    """Run `mnist-fn` in a folder with ROOM and assert what it took."""
    result = folder / "taken.json"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "OPENBLAS_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, limited.__file__, str(ROOM), modules, result, *map(str, arguments)],
        capture_output=True, text=True, cwd=folder, env=environment, timeout=300, check=False,
    )  # fmt: skip
    taken = json.loads(result.read_text())
    result.unlink()
    assert taken["bytes"] < MAX_BYTES, done.stderr
    assert taken["seconds"] < MAX_SECONDS, done.stderr
    return done
