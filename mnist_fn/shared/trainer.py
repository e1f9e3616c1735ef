"""The one epoch loop, for every backend: train, evaluate, record, checkpoint, resume."""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mnist_fn.shared import backend as backends
from mnist_fn.shared import metrics
from mnist_fn.shared.backend import Backend
from mnist_fn.shared.config import Config
from mnist_fn.shared.data import Dataset, Split, load_for
from mnist_fn.shared.errors import InputError, Interrupted
from mnist_fn.shared.evaluation import Evaluation, evaluate
from mnist_fn.shared.metrics import Row
from mnist_fn.shared.records import Header, RunDirectory, machine, versions
from mnist_fn.shared.state import ParamTree, StateTree, all_finite
from mnist_fn.shared.storage import locked
from mnist_fn.shared.streams import batch_order, initial_state

CHECKPOINT_SECONDS = 5.0  # at most this much work is lost to a kill, apart from the epoch begun


@dataclass(frozen=True)
class Run:
    """A trained model and how it came to be."""

    config: Config
    backend: str
    device: str
    rows: list[Row] = field(repr=False)
    state: StateTree = field(repr=False)
    evaluation: Evaluation = field(repr=False)
    seconds: dict[str, float] = field(repr=False)
    path: Path | None = None
    trained: bool = True  # False: it stood finished on disk already

    @property
    def history(self) -> dict[str, np.ndarray]:
        """Each figure over the epochs, float64 [epochs]: `run.history["test_loss"]`."""
        return {name: np.array([row[name] for row in self.rows]) for name in self.rows[0]}

    @property
    def confusion_matrix(self) -> np.ndarray:
        """Counts on the test set [classes, classes]; rows are true classes."""
        return self.evaluation.confusion_matrix

    @property
    def weights(self) -> ParamTree:
        """`{"layer1": {"kernel": [in, out], "bias": [out]}, ...}`."""
        return self.state.params

    @property
    def final(self) -> Row:
        """Train and test loss and accuracy after the last epoch."""
        names = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
        return {name: self.rows[-1][name] for name in names}

    @property
    def best(self) -> dict[str, dict[str, float | int]]:
        """The smallest test loss and the largest test accuracy with their epochs."""
        return {name: metrics.best(self.rows, name) for name in ("test_loss", "test_accuracy")}

    def summary(self) -> dict[str, Any]:
        """The document of `mnist-fn train --json`."""
        return {
            "run": None if self.path is None else str(self.path),
            "backend": self.backend,
            "dataset": self.config.dataset,
            "device": self.device,
            "precision": self.config.precision,
            "epochs": len(self.rows),
            "final": self.final,
            "best": self.best,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class Watch:
    """How a caller follows and stops a run; the defaults do neither."""

    on_start: Callable[[Config, Dataset, str, int], None] = lambda *_: None
    on_epoch: Callable[[Row], None] = lambda _: None
    should_stop: Callable[[], bool] = lambda: False


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
    """Train one model and evaluate it on the test set.

    Args:
        config: the experiment.
        backend: "jax", "torch", or the name of any installed backend.
        device: "auto", "cpu" or "gpu".
        data_dir: folder with the dataset's files; None searches the usual places.
        out: the run's folder. A finished run there is returned as it is, an unfinished one of
            the same config goes on. None keeps everything in memory.
        force: train anew what is in `out`.
        watch: callbacks.

    Raises:
        InputError: bad data, device or folder; a loss that is no longer finite.
        Interrupted: `watch.should_stop` asked for it; what was done is saved in `out`.
    """
    data_dir = None if data_dir is None else Path(data_dir)
    directory = None if out is None else RunDirectory(Path(out))
    make = backends.find(backend)
    backends.check_device(device)
    with nullcontext() if directory is None else locked(directory.path):
        existing = None
        if directory is not None and not force:
            existing = _there(directory, config)
        return _run(config, backend, make, device, data_dir, directory, existing, watch or Watch())


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
    directory = RunDirectory(Path(path))
    header = directory.read_header()  # before the lock, which would make the folder
    backend = backend or header.backend
    make = backends.find(backend)
    backends.check_device(device)
    with locked(directory.path):
        header = directory.read_header()
        config = header.config if epochs is None else header.config.replace(epochs=epochs)
        return _run(
            config,
            backend,
            make,
            device,
            None if data_dir is None else Path(data_dir),
            directory,
            header,
            watch or Watch(),
        )


def load_run(path: Path | str) -> Run:
    """A finished run from its folder.

    Raises:
        InputError: no run there, not finished, or damaged.
    """
    directory = RunDirectory(Path(path))
    header = directory.read_header()
    if header.status != "finished":
        raise InputError(f"{path}: not finished; go on with: mnist-fn train --resume {path}")
    state, rows = directory.read_progress(header)
    return _finished(directory, header, state, rows)


@backends.enough_memory()
def evaluate_run(
    path: Path | str,
    *,
    backend: str | None = None,
    device: str = "auto",
    data_dir: Path | str | None = None,
) -> tuple[str, Evaluation]:
    """Compute the test evaluation of a run's saved weights anew; returns the backend's name too.

    Raises:
        InputError: no run there, damaged, or nothing trained yet; bad data or device.
    """
    directory = RunDirectory(Path(path))
    header = directory.read_header()
    name = backend or header.backend
    make = backends.find(name)
    backends.check_device(device)
    state, rows = directory.read_progress(header)
    if not rows:
        raise InputError(
            f"{path}: no epoch is saved yet; go on with: mnist-fn train --resume {path}"
        )
    dataset = _same_data(
        header, load_for(header.config, None if data_dir is None else Path(data_dir))
    )
    computer = make(header.config, dataset, device)
    logits = computer.logits(computer.load(state), dataset.test.images)
    return name, evaluate(logits, dataset.test.labels)


def _finished(directory: RunDirectory, header: Header, state: StateTree, rows: list[Row]) -> Run:
    evaluation = directory.read_evaluation(state.params)
    return Run(
        header.config,
        header.backend,
        header.device,
        rows,
        state,
        evaluation,
        header.seconds,
        directory.path,
        trained=False,
    )


def _same_data(header: Header, dataset: Dataset) -> Dataset:
    if header.dataset_sha256 != dataset.sha256:
        raise InputError(
            f"{dataset.name}: not the data that this run began with (SHA-256 "
            f"{header.dataset_sha256[:16]} then, {dataset.sha256[:16]} now)"
        )
    return dataset


def _there(directory: RunDirectory, config: Config) -> Header | None:
    """The header of the run that is to go on in this folder, None in an empty one."""
    if directory.exists():
        header = directory.read_header()
        _check_same(config, header.config, directory.path)
        return header
    if strays := directory.results():
        raise InputError(
            f"{strays[0]}: there is no run.json beside it; choose another --out, "
            "or --force to replace it"
        )
    return None


def _check_same(asked: Config, there: Config, path: Path) -> None:
    if asked == there:
        return
    before, now = there.to_dict(), asked.to_dict()
    differing = [f"{k} {before[k]} there, {now[k]} asked" for k in now if now[k] != before[k]]
    raise InputError(
        f"{path}: holds another run ({'; '.join(differing)}); choose another --out, "
        "or --force to train anew there"
    )


def _run(
    config: Config,
    name: str,
    make: backends.MakeBackend,
    device: str,
    data_dir: Path | None,
    directory: RunDirectory | None,
    existing: Header | None,
    watch: Watch,
) -> Run:
    state, rows = None, []
    if directory is not None and existing is not None:
        state, rows = directory.read_progress(existing)
        if len(rows) > config.epochs:
            raise InputError(
                f"{directory.path}: has {len(rows)} epochs already, --epochs {config.epochs} asked"
            )
        if existing.status == "finished" and len(rows) == config.epochs:
            return _finished(directory, existing, state, rows)
    started = time.perf_counter()
    dataset = load_for(config, data_dir)
    if existing is not None:
        _same_data(existing, dataset)
    made_at = time.perf_counter()
    computer = make(config, dataset, device)
    seconds = dict(existing.seconds) if existing else {"compile": 0.0, "train": 0.0, "total": 0.0}
    seconds["compile"] += time.perf_counter() - made_at
    header = _header(config, dataset, computer, existing, len(rows), seconds)
    if directory is not None:
        if existing is None:
            directory.clear()  # only now that the new run can begin
        directory.write_header(header)
    job = _Job(config, dataset, computer, directory, header, watch, started)
    return job.run(state or initial_state(config, dataset.pixels, dataset.classes), rows)


def _header(
    config: Config,
    dataset: Dataset,
    computer: Backend,
    existing: Header | None,
    done: int,
    seconds: dict[str, float],
) -> Header:
    legs = list(existing.legs) if existing else []
    if not legs or legs[-1]["backend"] != computer.name:
        legs.append({"backend": computer.name, "first_epoch": done + 1})
    return Header(
        config=config,
        dataset_sha256=dataset.sha256,
        pixels=dataset.pixels,
        classes=dataset.classes,
        backend=computer.name,
        device=computer.device,
        status="unfinished",
        versions=versions(),
        machine=machine(),
        legs=legs,
        seconds=seconds,
    )


def _finite(row: Row) -> bool:
    return math.isfinite(row["train_loss"]) and math.isfinite(row["test_loss"])


@dataclass
class _Job:
    """What stays the same while the epochs of one call pass."""

    config: Config
    dataset: Dataset
    computer: Backend
    directory: RunDirectory | None
    header: Header
    watch: Watch
    started: float  # time.perf_counter() when the call began

    def run(self, start: StateTree, rows: list[Row]) -> Run:
        """Train from `start`, the state after `rows`, to the last epoch."""
        state, good = self.computer.load(start), start  # good: after `rows`, all finite
        self.watch.on_start(self.config, self.dataset, self.computer.device, len(rows))
        begun = saved_at = time.perf_counter()
        while len(rows) < self.config.epochs:
            if self.watch.should_stop():
                self._save(good, rows, self._seconds(begun))
                raise Interrupted(f"stopped after epoch {len(rows)} of {self.config.epochs}")
            state, row = self._epoch(state, len(rows) + 1)
            after = self.computer.dump(state)
            if not (_finite(row) and all_finite(after)):
                self._save(good, rows, None)
                raise self._diverged(len(rows) + 1)
            good, rows = after, [*rows, row]
            self.watch.on_epoch(row)
            if time.perf_counter() - saved_at > CHECKPOINT_SECONDS:
                self._save(good, rows, None)
                saved_at = time.perf_counter()
        test = self._evaluate(state, self.dataset.test)
        return self._finish(good, rows, test, self._seconds(begun))

    def _epoch(self, state: Any, epoch: int) -> tuple[Any, Row]:
        order = batch_order(self.config.seed, epoch, len(self.dataset.train))
        state, trained = self.computer.train_epoch(state, order)
        test = self._evaluate(state, self.dataset.test)
        held = self.dataset.validation
        validation = None if held is None else self._evaluate(state, held)
        return state, metrics.make_row(epoch, trained, test, validation)

    def _evaluate(self, state: Any, split: Split) -> Evaluation:
        return evaluate(self.computer.logits(state, split.images), split.labels)

    def _diverged(self, epoch: int) -> InputError:
        steps = math.ceil(len(self.dataset.train) / self.config.batch_size)
        kept = (
            ""
            if self.directory is None
            else f"; {self.directory.path} keeps the state after epoch {epoch - 1}"
        )
        return InputError(
            f"the loss or the weights are no longer finite in epoch {epoch} (steps "
            f"{(epoch - 1) * steps + 1} to {epoch * steps}) at learning rate "
            f"{self.config.learning_rate:g}: try a smaller --learning-rate{kept}"
        )

    def _seconds(self, begun: float) -> dict[str, float]:
        now, before = time.perf_counter(), self.header.seconds
        return {
            "compile": before["compile"],
            "train": before["train"] + now - begun,
            "total": before["total"] + now - self.started,
        }

    def _save(self, state: StateTree, rows: list[Row], seconds: dict[str, float] | None) -> None:
        if self.directory is None:
            return
        self.directory.write_progress(self.header, state, rows)
        if seconds is not None:
            self.directory.write_header(replace(self.header, seconds=seconds))

    def _finish(
        self, state: StateTree, rows: list[Row], test: Evaluation, seconds: dict[str, float]
    ) -> Run:
        self._save(state, rows, None)
        if self.directory is not None:
            self.directory.write_evaluation(test, state.params)
            self.directory.write_header(replace(self.header, status="finished", seconds=seconds))
        return Run(
            self.config,
            self.computer.name,
            self.computer.device,
            rows,
            state,
            test,
            seconds,
            None if self.directory is None else self.directory.path,
        )
