"""Fixtures: real MNIST where it is found, the embedded digits, the command as a process."""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cli.main import main
from mnist_fn.shared.config import Config
from mnist_fn.shared.data import datasets, files
from mnist_fn.shared.data.datasets import Dataset, Split
from mnist_fn.shared.pictures.preparation import prepare
from mnist_fn.shared.runs.trainer import train
from tests.support.idx_files import idx_bytes

# Where MNIST lies is read once: tests that change the environment don't lose it.
MNIST_AT = os.environ.get("MNIST_FN_DATA")
REQUIRED = os.environ.get("MNIST_FN_REQUIRE_MNIST") == "1"
CASES_REQUIRED = os.environ.get("MNIST_FN_REQUIRE_CASES") == "1"
# A source distribution has no docs/, whose scripts these import.
DOCS = Path(__file__).resolve().parent.parent / "docs"
collect_ignore_glob = [] if DOCS.is_dir() else ["docs/*"]


def pytest_configure(config):
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    config.compiled = None
    if hasattr(config, "workerinput"):  # one of several processes: the first has done the rest
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # each its core: they would fight for both
        return
    # One place for compiled programs: many tests run the same small ones, in many processes.
    config.compiled = tempfile.mkdtemp(prefix="mnist-fn-compiled-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = config.compiled
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"


def pytest_addoption(parser):
    parser.addoption("--record", action="store_true", help="write docs/evidence/exhaustive.json")


def pytest_terminal_summary(terminalreporter, exitstatus, config):
    # an interrupted session has not tried all
    whole = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    if config.getoption("--record") and whole and not config.getoption("-k"):
        import evidence_exhaustive

        evidence_exhaustive.write(terminalreporter.stats)


def pytest_unconfigure(config):
    if config.compiled is not None:
        shutil.rmtree(config.compiled, ignore_errors=True)


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """The folder with real MNIST; skips without it, fails without it where CI has it."""
    found = files.find("mnist")
    if found is None:
        reason = "real MNIST not found: set MNIST_FN_DATA to a folder with its four files"
        if REQUIRED:
            pytest.fail(reason)
        pytest.skip(reason)
    return found.paths[0].parent


@pytest.fixture(scope="session")
def mnist(mnist_dir) -> Dataset:
    return datasets.load("mnist", mnist_dir, download=False)


@pytest.fixture(scope="session")
def cases() -> Path:
    """The folder of public cases beside the checkout; skips and fails as `mnist_dir` does."""
    folder = Path(os.environ.get("MNIST_FN_CASES") or DOCS.parent.parent / "shared" / "cases")
    if not folder.is_dir():
        reason = f"no public cases in {folder}: set MNIST_FN_CASES to their folder"
        if CASES_REQUIRED:
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return datasets.load("digits")


@pytest.fixture(scope="session")
def small(digits) -> Dataset:
    """230 real digits to train on: one full batch of 200 and a ragged one of 30."""
    train = Split(digits.train.images[:230], digits.train.labels[:230])
    return replace(digits, train=train)


@pytest.fixture(scope="session")
def prepared_digits(digits, tmp_path_factory) -> Path:
    """A folder with the embedded digits, prepared to 28 x 28, as a dataset's four files."""
    folder = tmp_path_factory.mktemp("digits-28")
    arrays = []
    for split in (digits.train, digits.test):
        arrays += [np.array([prepare(image) for image in split.images]), split.labels]
    for file, array in zip(files.FILES, arrays, strict=True):
        (folder / file).write_bytes(idx_bytes(array))
    return folder


@pytest.fixture(scope="session")
def runs_28(prepared_digits, tmp_path_factory) -> dict[str, Path]:
    """Finished runs on `prepared_digits`, by name: a linear one and one of two hidden layers."""
    folder = tmp_path_factory.mktemp("runs-28")
    for name, hidden in {"linear": (), "deep": (96, 48)}.items():
        config = Config(dataset="idx", hidden=hidden, epochs=12, learning_rate=2e-3, batch_size=50)
        train(config, data_dir=prepared_digits, out=folder / name)
    return {name: folder / name for name in ("linear", "deep")}


@pytest.fixture
def in_process(tmp_path, monkeypatch, capfd):
    """As `command`, in this process: for what ends before anything is computed."""

    def run(*arguments: str, env: dict[str, str] | None = None):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        for name, value in (env or {}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["mnist-fn", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        written = capfd.readouterr()
        return subprocess.CompletedProcess(arguments, ended.value.code, written.out, written.err)

    return run


@pytest.fixture
def command(tmp_path):
    """Run `mnist-fn` as a user would, in a process of its own, in an empty folder."""

    def run(*arguments: str, env: dict[str, str | None] | None = None, **more):
        env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), **(env or {})}
        return subprocess.run(
            [sys.executable, "-m", "cli.main", *arguments],
            stdout=more.pop("stdout", subprocess.PIPE),
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={name: value for name, value in env.items() if value is not None},
            timeout=300,
            check=False,
            **more,
        )

    return run
