"""Train every run of a request once: finished ones are read, the others trained here or by workers.

Runs that differ only in seed, λ, learning rate and weight decay go through one program together,
as many at a time as fit. Each is an ordinary run on disk.
"""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from mnist_fn.shared import backend as backends
from mnist_fn.shared.backend import Group, GroupOfOne
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset, hold_out, load_for
from mnist_fn.shared.errors import InputError, Interrupted, Message
from mnist_fn.shared.runs.callbacks import (
    Callbacks,
    Event,
    Notice,
    RunEnded,
    RunsScheduled,
    TaskEnded,
    WorkersStarted,
)
from mnist_fn.shared.runs.folder import RunFolder
from mnist_fn.shared.runs.header import Header
from mnist_fn.shared.runs.loop import LOST, TrainingJob
from mnist_fn.shared.runs.opening import Diverged, TrainingRun, check_same_config, open_run
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.runs.store import RunStore
from mnist_fn.shared.storage import locked
from mnist_fn.shared.sweeps.request import SweepRequest
from mnist_fn.shared.sweeps.workers import TaskLost, WorkerPool, worker_pool

T = TypeVar("T")
TrainResult = tuple[Config, Run | InputError]  # the error of a run that has no end
Pending = dict[Config, int]  # runs that are to be trained, and how many epochs of each are saved


def failures_document(
    failures: Sequence[InputError], say: Callable[[Message], str] = str
) -> dict[str, list[str]]:
    """The errors of runs that came to no end, by reason, for a JSON document.

    A run diverged, or it failed: its workers were lost again and again. `say` words each message.
    """
    document: dict[str, list[str]] = {"diverged": [], "failed": []}
    for error in failures:
        reason = "diverged" if isinstance(error, Diverged) else "failed"
        document[reason].append(say(error.message))
    return document


def shape_of(config: Config) -> Config:
    """A Config that is the same for runs that one program can train, the data included."""
    decay = 1.0 if config.optimizer == "adamw" else 0.0
    shape = config.replace(l2=0.0, learning_rate=1.0, weight_decay=decay)
    return shape if config.validation else shape.replace(seed=0)  # a split is the seed's own


def train_runs(
    request: SweepRequest,
    callbacks: Callbacks,
    store: RunStore | None = None,
    pool: WorkerPool | None = None,
) -> Iterator[TrainResult]:
    """Train every run and yield each as it is done, finished ones first.

    All folders are read before anything is trained, so that a damaged one is known at once. A run
    that diverges, or whose worker was lost too often, yields its error; the others go on.

    Args:
        request: the runs, and how.
        callbacks: `on_epoch` and `on_event` are called for each run trained in this process.
        store: of the request's folder, which also learns of the runs trained; None keeps none.
        pool: workers that train; this process then only writes.

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

    trainer = _Trainer(request, replace(callbacks, should_stop=should_stop), store)
    pending: Pending = {}
    for config in request.configs:
        result = trainer.look_up(config)
        if isinstance(result, Run):
            callbacks.on_event(RunEnded(result))
            yield config, result
            continue
        pending[config] = result
        if store is not None and (note := store.note_of(config, request.backend)):
            callbacks.on_event(Notice(note))
    train = trainer.train_here(pending) if pool is None else trainer.train_by(pool, pending)
    for config, result in train:
        event = RunEnded(result) if isinstance(result, Run) else TaskEnded()
        callbacks.on_event(event)
        yield config, result


@contextmanager
def start_workers(
    request: SweepRequest,
    config: Config,
    total: int,
    callbacks: Callbacks,
    then: str = "",
) -> Iterator[tuple[Callbacks, WorkerPool | None]]:
    """Announce many runs; within the block are the request's workers, and Interrupted says how many
    runs are done.

    Args:
        request: names the workers, their device and the data.
        config: of one of the runs: names the dataset that every worker gets, and how it is read.
        total: how many runs there are.
        callbacks: hear that the workers have started.
        then: what the same request does after an interrupt, if not the default.

    Yields the callbacks to use, and the workers: None if this process trains.

    Raises:
        InputError: see `workers.worker_pool`.
    """
    ended = 0
    callbacks.on_event(RunsScheduled(total))

    def on_event(event: Event) -> None:
        nonlocal ended
        ended += isinstance(event, RunEnded | TaskEnded)
        callbacks.on_event(event)

    try:
        with ExitStack() as stack:
            pool = None
            if request.workers is not None:
                whole = config.replace(validation=0, batch_size=1)
                data = load_for(whole, request.data_dir)
                pool = stack.enter_context(worker_pool(request.workers, data, request.device))
                on_event(WorkersStarted(pool.size, request.workers.threads, pool.place))
            yield replace(callbacks, on_event=on_event), pool
    except Interrupted:
        text = f"stopped with {ended} of {total} runs done; "
        default = LOST if request.out is None else "the same request goes on from there"
        raise Interrupted(text, then or default) from None


class _Trainer:
    """The runs of one request and their folders."""

    def __init__(self, request: SweepRequest, callbacks: Callbacks, store: RunStore | None) -> None:
        self._request, self._callbacks, self._store = request, callbacks, store
        self._paths: Mapping[Config, Path] = {}
        if store is not None:
            self._paths = store.assign_folders(request.configs, request.backend)

    def look_up(self, config: Config) -> Run | int:
        """A finished run, or how many of its epochs are saved."""
        if self._store is None or self._request.overwrite:
            return 0
        folder = RunFolder(self._paths[config])
        header = self._store.header_at(folder.path)
        if header is None:
            return 0
        check_same_config(config, header, folder)
        if header.finished:
            return folder.load(header)
        return len(open_run(config, folder).rows)

    def train_here(self, pending: Pending) -> Iterator[TrainResult]:
        """Train shape after shape in this process."""
        request = self._request
        for shape in _grouped(pending, shape_of):
            dataset = load_for(shape[0], request.data_dir)
            for configs in _grouped(shape, lambda config: program_of(config, request.backend)):
                self._callbacks.should_stop()  # before the next is compiled
                started = time.perf_counter()
                group = make_group(request, configs[0], dataset, len(configs))
                compile_seconds = (time.perf_counter() - started) / len(configs)
                for batch in _batches(configs, pending, group.size):
                    self._callbacks.should_stop()
                    yield from self._train(group, batch, dataset, compile_seconds)

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
        for run in todo:
            if self._store is not None and run.folder is not None:
                self._store.add(run.folder.path, run.header)
        yield from results.items()

    def _open(self, config: Config, locks: ExitStack) -> TrainingRun:
        if self._store is None:
            return open_run(config, None)
        folder = RunFolder(self._paths[config])
        locks.enter_context(locked(folder.path))
        return open_run(config, folder, overwrite=self._request.overwrite)

    def train_by(self, pool: WorkerPool, pending: Pending) -> Iterator[TrainResult]:
        """Have every run trained by a worker, and write what comes back."""
        tasks = [
            _Task(configs)
            for shape in _grouped(pending, shape_of)
            for configs in _batches(shape, pending, pool.runs_per_task(len(shape)))
        ]
        request = replace(self._request, configs=(), device=pool.device, data_dir=None)

        def inputs() -> Iterator[tuple[SweepRequest, list[TrainingRun]]]:
            for task in tasks:
                task.runs = [self._open(config, task.locks) for config in task.configs]
                todo = [run for run in task.runs if not run.finished]
                yield request, [replace(run, writes=False) for run in todo]

        try:
            for index, trained in pool.run(train_task, inputs(), self._callbacks):
                with tasks[index].locks:
                    yield from self._write(tasks[index].runs, trained)
        finally:
            for task in reversed(tasks):  # the first made the outer folder
                task.locks.close()

    def _write(
        self, runs: Sequence[TrainingRun], trained: "list[Trained] | TaskLost"
    ) -> Iterator[TrainResult]:
        """Write what a worker made into the runs' folders."""
        results = iter([] if isinstance(trained, TaskLost) else trained)
        for run in runs:
            folder = RunFolder(self._paths[run.config])
            if run.finished:  # another command trained it meanwhile
                yield run.config, run.stored()
                continue
            if isinstance(trained, TaskLost):
                message = f"{folder.path}: its workers were lost: {trained.reason}"
                yield run.config, InputError(f"{message}; the same command trains it again")
                continue
            header, result = next(results)
            run.header = header
            if run.notice:
                self._callbacks.on_event(Notice(f"{folder.path}: {run.notice}"))
            if run.existing is None:
                folder.clear()
            if isinstance(result, Run):
                folder.write_run(header, result)
            else:
                folder.write_header(header)
            if self._store is not None:
                self._store.add(folder.path, header)
            yield run.config, result


@dataclass
class _Task:
    """Runs of one shape that a worker trains; their folders are locked meanwhile."""

    configs: Sequence[Config]
    runs: list[TrainingRun] = field(default_factory=list)
    locks: ExitStack = field(default_factory=ExitStack)


Trained = tuple[Header, Run | Diverged]  # a run's header after a worker's task, and the run

# Of a worker's process, the last: tasks of one shape follow one another, and none compiles anew.
_program: dict[str, tuple[Dataset, Group]] = {}


def train_task(dataset: Dataset, task: tuple[SweepRequest, list[TrainingRun]]) -> list[Trained]:
    """Train runs of one shape in memory. A worker's function, see `WorkerPool.run`."""
    request, todo = task
    trained: list[Trained] = []
    with backends.enough_memory():
        for runs in _grouped(todo, lambda run: program_of(run.config, request.backend)):
            started, config = time.perf_counter(), runs[0].config
            compile_seconds = 0.0
            key = repr((dataset.sha256, program_of(config, request.backend), request, len(runs)))
            if key not in _program:
                _program.clear()
                data = hold_out(dataset, config)
                _program[key] = data, make_group(request, config, data, len(runs))
                compile_seconds = (time.perf_counter() - started) / len(runs)
            data, group = _program[key]
            for start in range(0, len(runs), group.size):
                batch = runs[start : start + group.size]
                job = TrainingJob(group, data, batch, Callbacks(), started, compile_seconds)
                results = job.train()
                trained += zip([run.header for run in batch], results, strict=True)
                started = time.perf_counter()
    return trained


def make_group(request: SweepRequest, config: Config, dataset: Dataset, models: int) -> Group:
    """The program for so many runs of a shape; a backend without groups trains one by one."""
    make = backends.find_group(request.backend)
    if make is None:
        return GroupOfOne(backends.find(request.backend)(config, dataset, request.device))
    return make(config, dataset, request.device, models, request.max_memory)


def program_of(config: Config, backend: str) -> Config:
    """A Config that is the same for runs that one program of a backend can train."""
    return config if backends.find_group(backend) is None else shape_of(config)


def _grouped(runs: Iterable[T], key: Callable[[T], Config]) -> list[list[T]]:
    """The runs that have the same key, together; in the order of their first."""
    groups: dict[Config, list[T]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return list(groups.values())


def _batches(configs: Sequence[Config], pending: Pending, size: int) -> Iterator[list[Config]]:
    """Runs with equally many epochs done, `size` at a time; the furthest first."""
    ordered = sorted(configs, key=lambda config: -pending[config])
    for _, equal in itertools.groupby(ordered, key=pending.__getitem__):
        while batch := list(itertools.islice(equal, size)):
            yield batch
