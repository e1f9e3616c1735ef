"""Train every run of a request once: finished ones are read, the others trained here or by workers.

Runs that differ only in seed, λ, learning rate and weight decay go through one program together,
as many at a time as fit. Each is an ordinary run on disk.
"""

import itertools
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from mnist_fn.shared import backend as backends
from mnist_fn.shared.backend import Group, GroupOfOne
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset, hold_out, load_for
from mnist_fn.shared.errors import InputError, Interrupted, Message
from mnist_fn.shared.runs.folder import RunFolder
from mnist_fn.shared.runs.header import Header
from mnist_fn.shared.runs.loop import TrainingJob
from mnist_fn.shared.runs.opening import Diverged, TrainingRun, check_same_config, open_run
from mnist_fn.shared.runs.run import Callbacks, Run, RunEnded, TaskEnded
from mnist_fn.shared.runs.store import RunStore
from mnist_fn.shared.storage import locked
from mnist_fn.shared.sweeps.request import SweepRequest
from mnist_fn.shared.sweeps.workers import TaskLost, WorkerPool, private_folder

LEFTOVER_SECONDS = 60.0  # of the folder of a worker that was killed

TrainResult = tuple[Config, Run | InputError]  # the error of a run that has no end


@dataclass
class Failures:
    """Messages of runs that did not come to their end, by reason."""

    diverged: list[Message] = field(default_factory=list)
    failed: list[Message] = field(default_factory=list)  # their workers were lost again and again

    def add(self, error: InputError) -> None:
        """Keep the error of a run."""
        (self.diverged if isinstance(error, Diverged) else self.failed).append(error.message)

    def to_dict(self, translate: Callable[[Message], str] = str) -> dict[str, list[str]]:
        """For a JSON document; `translate` rewords each message."""
        return {
            "diverged": [translate(message) for message in self.diverged],
            "failed": [translate(message) for message in self.failed],
        }

    @property
    def all(self) -> list[Message]:
        """A message for each run."""
        return [*self.diverged, *self.failed]


def shape_of(config: Config) -> Config:
    """A Config that is the same for runs that one program can train, the data included."""
    decay = 1.0 if config.optimizer == "adamw" else 0.0
    shape = config.replace(l2=0.0, learning_rate=1.0, weight_decay=decay)
    return shape if config.validation else shape.replace(seed=0)  # a split is the seed's own


@dataclass(frozen=True)
class _Pending:
    """A run that is to be trained, and the epochs of it that are saved."""

    config: Config
    epochs_done: int


def train_runs(
    request: SweepRequest,
    callbacks: Callbacks,
    store: RunStore | None = None,
    pool: WorkerPool | None = None,
    dataset: Dataset | None = None,
) -> Iterator[TrainResult]:
    """Train every run and yield each as it is done, finished ones first.

    All folders are read before anything is trained, so that a damaged one is known at once. A run
    that diverges, or whose worker was lost too often, yields its error; the others go on.

    Args:
        request: the runs, and how.
        callbacks: `on_epoch` and `on_event` are called for each run trained in this process.
        store: of the request's folder, which also learns of the runs trained; None keeps none.
        pool: workers that train; this process then only writes.
        dataset: whole, if it is in memory already; None loads what the request names.

    Raises:
        InputError: bad data, device or folder; another run in a run's folder, or two of these.
        Interrupted: `should_stop` asked for it; the same call goes on from there.
    """
    backends.check_device(request.device)
    backends.check(request.backend) if pool else backends.find(request.backend)

    def should_stop() -> bool:
        if callbacks.should_stop():
            raise Interrupted("stopped")
        return False

    trainer = _Trainer(request, replace(callbacks, should_stop=should_stop), store, dataset)
    pending: list[_Pending] = []
    for config in request.configs:
        result = trainer.look_up(config)
        if isinstance(result, Run):
            callbacks.on_event(RunEnded(result))
            yield config, result
        else:
            pending.append(result)
    train = trainer.train_here(pending) if pool is None else trainer.train_by(pool, pending)
    for config, result in train:
        event = RunEnded(result) if isinstance(result, Run) else TaskEnded(config)
        callbacks.on_event(event)
        yield config, result


class _Trainer:
    """The runs of one request and their folders."""

    def __init__(
        self,
        request: SweepRequest,
        callbacks: Callbacks,
        store: RunStore | None,
        dataset: Dataset | None,
    ) -> None:
        self._request, self._callbacks = request, callbacks
        self._store, self._dataset = store, dataset
        self._paths: Mapping[Config, Path] = {}
        if store is not None:
            self._paths = store.assign_folders(request.configs, request.backend)

    def look_up(self, config: Config) -> Run | _Pending:
        """A finished run, or how far it is."""
        if self._store is None or self._request.overwrite:
            return _Pending(config, 0)
        folder = RunFolder(self._paths[config])
        header = self._store.header_at(folder.path)
        if header is None:
            return _Pending(config, 0)
        check_same_config(config, header, folder)
        if header.finished:
            return folder.load(header)
        return _Pending(config, len(open_run(config, folder).rows))

    def train_here(self, pending: Sequence[_Pending]) -> Iterator[TrainResult]:
        """Train shape after shape in this process."""
        for shape in _by_shape(pending):
            dataset = self._load(shape[0].config)
            for group, configs, compile_seconds in self._groups(shape, dataset):
                self._callbacks.should_stop()
                yield from self._train(group, configs, dataset, compile_seconds)

    def _load(self, config: Config) -> Dataset:
        if self._dataset is None:
            return load_for(config, self._request.data_dir)
        return hold_out(self._dataset, config)

    def _groups(
        self, shape: Sequence[_Pending], dataset: Dataset
    ) -> Iterator[tuple[Group, list[Config], float]]:
        """The program for some runs that are equally far, the runs, and its compile seconds."""
        request, started = self._request, time.perf_counter()
        make_group = backends.find_group(request.backend)
        if make_group is None:
            make = backends.find(request.backend)
            for run in shape:
                self._callbacks.should_stop()  # before the next is compiled
                started = time.perf_counter()
                group = GroupOfOne(make(run.config, dataset, request.device))
                yield group, [run.config], time.perf_counter() - started
            return
        self._callbacks.should_stop()
        group = make_group(shape[0].config, dataset, request.device, len(shape), request.max_memory)
        compile_seconds = (time.perf_counter() - started) / len(shape)
        for runs in _equally_far(shape):
            for batch in _batches(runs, group.size):
                yield group, [run.config for run in batch], compile_seconds

    def _train(
        self, group: Group, configs: Sequence[Config], dataset: Dataset, compile_seconds: float
    ) -> Iterator[TrainResult]:
        started = time.perf_counter()
        with ExitStack() as locks:
            runs = [self._open(config, locks) for config in configs]
            todo = [run for run in runs if not run.finished]  # else another command trained it
            results = {run.config: run.stored() for run in runs if run.finished}
            if todo:
                job = TrainingJob(group, dataset, todo, self._callbacks, started, compile_seconds)
                results |= dict(zip([run.config for run in todo], job.train(), strict=True))
        for run in runs:
            result = results[run.config]
            if isinstance(result, Diverged):
                result = result.in_folder(run.folder)
            elif run.folder is not None and self._store is not None and not result.loaded:
                self._store.add(run.folder.path, run.header)
            yield run.config, result

    def _open(self, config: Config, locks: ExitStack) -> TrainingRun:
        if self._store is None:
            return open_run(config, None)
        folder = RunFolder(self._paths[config])
        locks.enter_context(locked(folder.path))
        return open_run(config, folder, overwrite=self._request.overwrite)

    def train_by(self, pool: WorkerPool, pending: Sequence[_Pending]) -> Iterator[TrainResult]:
        """Have every run trained by a worker, and write what comes back."""
        if self._store is None:
            raise ValueError("workers need a store to write to")
        tasks: list[_Task] = []
        for shape in _by_shape(pending):
            for runs in _equally_far(shape):
                for batch in _batches(runs, pool.runs_per_task(len(runs))):
                    tasks.append(_Task(self._request, [run.config for run in batch], self._paths))
        inputs = (task.begin(pool.device) for task in tasks)
        try:
            for index, trained in pool.run(train_task, inputs, self._callbacks):
                yield from tasks[index].end(trained, self._store)
        finally:
            for task in reversed(tasks):  # the first made the outer folder
                task.locks.close()


@dataclass
class _Task:
    """Runs of one shape that a worker trains; their folders are locked meanwhile."""

    request: SweepRequest
    configs: list[Config]
    paths: Mapping[Config, Path]
    locks: ExitStack = field(default_factory=ExitStack)

    def begin(self, device: str) -> "TaskInput":
        """Lock the folders; what the worker is given."""
        saved = []
        for config in self.configs:
            folder = RunFolder(self.paths[config])
            self.locks.enter_context(locked(folder.path))
            existing = open_run(config, folder, overwrite=self.request.overwrite)  # checks it
            saved.append({} if existing.existing is None else folder.read_files())
        request = replace(
            self.request, configs=tuple(self.configs), device=device, out=None, workers=None
        )
        return TaskInput(request, saved)

    def end(self, trained: "list[TrainedRun] | TaskLost", store: RunStore) -> Iterator[TrainResult]:
        """Write what the worker made into the runs' folders."""
        try:
            if isinstance(trained, TaskLost):
                for config in self.configs:
                    message = f"{self.paths[config]}: its workers were lost: {trained.reason}"
                    yield config, InputError(f"{message}; the same command trains it again")
                return
            for config, run in zip(self.configs, trained, strict=True):
                folder = RunFolder(self.paths[config])
                if self.request.overwrite:
                    folder.clear()
                folder.write_files(run.header, run.files)
                store.add(folder.path, run.header)
                if run.error is None:
                    yield config, replace(folder.load(run.header), loaded=False)
                else:
                    yield config, Diverged(*run.error).in_folder(folder)
        finally:
            self.locks.close()


@dataclass(frozen=True)
class TaskInput:
    """Runs to be trained by a worker, and the files of what is saved of each."""

    request: SweepRequest
    saved: list[dict[str, bytes]]


@dataclass(frozen=True)
class TrainedRun:
    """The content of a run's folder after a worker's task."""

    header: Header
    files: dict[str, bytes]
    error: tuple[Message, int] | None  # of one that diverged: the arguments of Diverged


def train_task(dataset: Dataset, task: TaskInput) -> list[TrainedRun]:
    """Train runs in a temporary folder. A worker's function, see `WorkerPool.run`."""
    parent = Path(tempfile.gettempdir())
    with (
        private_folder(parent, "mnist-fn-worker-", LEFTOVER_SECONDS) as folder,
        backends.enough_memory(),
    ):
        request = replace(task.request, out=folder, overwrite=False)
        paths = RunStore(folder).assign_folders(request.configs, request.backend)
        for config, files in zip(request.configs, task.saved, strict=True):
            for name, content in files.items():
                paths[config].mkdir(exist_ok=True)
                (paths[config] / name).write_bytes(content)
        store = RunStore(folder)
        results = dict(train_runs(request, Callbacks(), store, dataset=dataset))
        return [_content(RunFolder(paths[config]), results[config]) for config in request.configs]


def _content(folder: RunFolder, result: Run | InputError) -> TrainedRun:
    error = (result.message, result.saved_epochs) if isinstance(result, Diverged) else None
    return TrainedRun(folder.read_header(), folder.read_files(), error)


def _by_shape(pending: Sequence[_Pending]) -> list[list[_Pending]]:
    """The runs that one program can train, together; in the order of their first."""
    shapes: dict[Config, list[_Pending]] = {}
    for run in pending:
        shapes.setdefault(shape_of(run.config), []).append(run)
    return list(shapes.values())


def _equally_far(runs: Sequence[_Pending]) -> Iterator[list[_Pending]]:
    """Those with equally many epochs done, the furthest first."""
    ordered = sorted(runs, key=lambda run: -run.epochs_done)
    for _, equal in itertools.groupby(ordered, key=lambda run: run.epochs_done):
        yield list(equal)


def _batches(runs: Sequence[_Pending], size: int) -> Iterator[Sequence[_Pending]]:
    """The runs, `size` at a time; the last may be fewer."""
    for number in range(math.ceil(len(runs) / size)):
        yield runs[number * size : (number + 1) * size]
