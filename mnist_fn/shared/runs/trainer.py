"""Training and reading single runs: train, resume, load, evaluate anew, predict."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnist_fn.shared import backend as backends
from mnist_fn.shared.backend import GroupOfOne
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset, Split, load_for
from mnist_fn.shared.data.elsewhere import load_test
from mnist_fn.shared.errors import InputError, way_on
from mnist_fn.shared.evaluation import Evaluation, evaluate
from mnist_fn.shared.runs.header import Header
from mnist_fn.shared.runs.loop import Job
from mnist_fn.shared.runs.opening import Opened, check_same_data, open_run, stored_run
from mnist_fn.shared.runs.records import RunDirectory
from mnist_fn.shared.runs.run import Run, Watch
from mnist_fn.shared.state import StateTree
from mnist_fn.shared.storage import locked

__all__ = ["Run", "Watch", "evaluate_run", "load_run", "predict", "resume", "train"]


@backends.enough_memory()
def train(
    config: Config,
    backend: str = "jax",
    *,
    device: str = "auto",
    data_dir: Path | str | None = None,
    out: Path | str | None = None,
    force: bool = False,
    watch: Watch | None = None,
) -> Run:
    """See `mnist_fn.train`; `watch` follows and stops it, and nothing is shown.

    Raises:
        InputError: bad data, device or folder; a loss that explodes.
        Interrupted: `watch.should_stop` asked for it; what was done is saved in `out`.
    """
    if not isinstance(config, Config):
        raise InputError(f"a Config is expected to train, not a {type(config).__name__}")
    data_dir = None if data_dir is None else Path(data_dir)
    directory = None if out is None else RunDirectory(Path(out))
    make = backends.find(backend)
    backends.check_device(device)
    with nullcontext() if directory is None else locked(directory.path):
        opened = open_run(config, directory, force=force)
        return _train(opened, make, device, data_dir, watch or Watch())


@backends.enough_memory()
def resume(
    path: Path | str,
    *,
    epochs: int | None = None,
    backend: str | None = None,
    device: str = "auto",
    data_dir: Path | str | None = None,
    watch: Watch | None = None,
) -> Run:
    """Go on with the run in a folder, a finished one to more epochs, on the same or another
    backend. Arguments and errors as for `train`; None keeps what the run has.
    """
    data_dir = None if data_dir is None else Path(data_dir)
    directory = RunDirectory(Path(path))
    header = directory.read_header()  # before the lock, which would make the folder
    backend = backend or header.backend
    make = backends.find(backend)
    backends.check_device(device)
    with locked(directory.path):
        header = directory.read_header()
        config = header.config if epochs is None else header.config.replace(epochs=epochs)
        opened = open_run(config, directory, longer=True)
        return _train(opened, make, device, data_dir, watch or Watch())


def load_run(path: Path | str) -> Run:
    """A finished run from its folder.

    Raises:
        InputError: no run there, not finished, or damaged.
    """
    directory = RunDirectory(Path(path))
    header = directory.read_header()
    if header.status == "diverged":
        raise InputError(f"{path}: diverged; train another with a smaller `learning_rate`")
    if header.status != "finished":
        raise InputError(f"{path}: not finished; go on with: {way_on(path)}")
    state, rows = directory.read_progress(header)
    return stored_run(directory, header, state, rows)


@backends.enough_memory()
def evaluate_run(
    path: Path | str,
    *,
    backend: str | None = None,
    device: str = "auto",
    data_dir: Path | str | None = None,
    on_other: Callable[[str], None] = lambda _: None,
) -> tuple[str, Evaluation]:
    """Compute the test evaluation of a run's saved weights anew; returns the backend's name too.

    Args:
        path: the run's folder.
        backend: None takes the run's own.
        device: "auto", "cpu" or "gpu".
        data_dir: a folder with a test set of the same form; None takes the run's own.
        on_other: called with the SHA-256 of a test set that is another than the run's.

    Raises:
        InputError: no run there, damaged, or nothing trained yet; bad data or device.
    """
    saved = _saved(path, backend, device)
    header = saved.header
    if data_dir is None:
        dataset = load_for(header.config, form=header.form)
        check_same_data(header, dataset)
        test = dataset.test
    else:
        other = load_test(Path(data_dir), header.config.dataset, header.form)
        test = other.split
        _check_pixels(str(other.folder), header, test.images)
        if other.sha256 != header.dataset_sha256:
            on_other(other.sha256)
        dataset = _dataset_of(header, test.first(1), test)
    return saved.backend, evaluate(saved.logits(dataset, test.images), test.labels)


@backends.enough_memory()
def predict(
    path: Path | str, images: np.ndarray, *, backend: str | None = None, device: str = "auto"
) -> tuple[str, np.ndarray]:
    """Logits [n, classes] of any images by a run's saved weights; returns the backend's name too.

    The dataset's files are not needed.

    Args:
        path: the run's folder.
        images: uint8 [n, rows, columns] of the size that the run was trained on.
        backend: None takes the run's own.
        device: "auto", "cpu" or "gpu".

    Raises:
        InputError: no run there, damaged, or nothing trained yet; images of another size.
    """
    saved = _saved(path, backend, device)
    _check_pixels(path, saved.header, images)
    # a backend is made for a dataset: one blank example stands for what is not trained on here
    blank = Split(np.zeros_like(images, shape=(1, *images.shape[1:])), np.zeros(1, np.uint8))
    return saved.backend, saved.logits(_dataset_of(saved.header, blank, blank), images)


def _check_pixels(where: Path | str, header: Header, images: np.ndarray) -> None:
    pixels = int(np.prod(images.shape[1:]))
    if pixels != header.pixels:
        raise InputError(
            f"{where}: trained on images of {header.pixels} pixels, these have {pixels}; "
            "give a run on images of that size"
        )


def _dataset_of(header: Header, train: Split, test: Split) -> Dataset:
    return Dataset(header.config.dataset, train, test, header.dataset_sha256, form=header.form)


@dataclass(frozen=True)
class _Saved:
    """A run's saved weights and what is to compute with them."""

    header: Header
    state: StateTree
    backend: str
    make: backends.MakeBackend
    device: str

    def logits(self, dataset: Dataset, images: np.ndarray) -> np.ndarray:
        computer = self.make(self.header.config, dataset, self.device)
        return computer.logits(computer.load(self.state), images)


def _saved(path: Path | str, backend: str | None, device: str) -> _Saved:
    directory = RunDirectory(Path(path))
    header = directory.read_header()
    name = backend or header.backend
    make = backends.find(name)
    backends.check_device(device)
    checkpoint = directory.read_state(header)
    if checkpoint is None or not checkpoint.epoch:
        raise InputError(f"{path}: no epoch is saved yet; go on with: {way_on(path)}")
    return _Saved(header, checkpoint.state, name, make, device)


def _train(
    opened: Opened,
    make: backends.MakeBackend,
    device: str,
    data_dir: Path | None,
    watch: Watch,
) -> Run:
    if opened.finished:
        return opened.stored()
    started = time.perf_counter()
    form = None if opened.existing is None else opened.existing.form
    dataset = load_for(opened.config, data_dir, form=form)
    made_at = time.perf_counter()
    group = GroupOfOne(make(opened.config, dataset, device))
    member = opened.begin(dataset, group, time.perf_counter() - made_at)
    (ended,) = Job(group, dataset, [member], watch, started).run([opened.start(dataset)])
    if isinstance(ended, InputError):
        raise ended
    return ended
