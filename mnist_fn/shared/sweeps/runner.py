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
from mnist_fn.shared.errors import Argument, InputError, Interrupted, Message
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
from mnist_fn.shared.runs.store import RunStore, is_beginning
from mnist_fn.shared.storage import locked
from mnist_fn.shared.sweeps.request import SweepRequest
from mnist_fn.shared.sweeps.workers import TaskLost, WorkerPool, worker_pool

T = TypeVar("T")
TrainResult = tuple[SweepRequest, Config, Run | InputError]  # the error of a run without an end
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
    requests: Sequence[SweepRequest], callbacks: Callbacks, store: RunStore | None = None
) -> Iterator[TrainResult]:
    """Train every run of some requests and yield each as it is done, a request's finished ones
    first.

    The folders of a request are read before any of its runs is trained, so that a damaged one is
    known at once. A run that diverges, or whose worker was lost too often, yields its error; the
    others go on.

    Args:
        requests: runs, of one dataset, in one folder, by the same workers.
        callbacks: `on_epoch` is called for each run trained in this process.
        store: of the folder, if it has been read already; it learns of the runs trained.

    Raises:
        InputError: bad data, device or folder; another run in a run's folder, or two of these;
            workers without a folder; see `workers.worker_pool` too.
        Interrupted: `should_stop` asked for it; says how many runs are done.
    """
    first = requests[0]
    if first.workers is not None and first.out is None:
        raise InputError((Argument("out"), ": workers need a folder for the runs"))
    backends.check_device(first.device)
    find = backends.find if first.workers is None else backends.check  # workers import it
    for request in requests:
        find(request.backend)
    if store is None and first.out is not None:
        store = RunStore(first.out)
    total = sum(len(request.configs) for request in requests)
    with start_workers(first, total, callbacks) as (counting, pool):
        for request in requests:
            for config, result in _Trainer(request, counting, store, pool).train():
                counting.on_event(RunEnded(result) if isinstance(result, Run) else TaskEnded())
                yield request, config, result


@contextmanager
def start_workers(
    request: SweepRequest, total: int, callbacks: Callbacks, then: str = ""
) -> Iterator[tuple[Callbacks, WorkerPool | None]]:
    """Announce many runs; within the block are the request's workers, and Interrupted says how many
    runs are done.

    Args:
        request: names the workers, their device and the data, which are read as for its first run.
        total: how many runs there are.
        callbacks: hear that the workers have started.
        then: what the same request does after an interrupt, if not the default.

    Yields the callbacks to use, whose `should_stop` raises, and the workers: None if this process
    trains.

    Raises:
        InputError: see `workers.worker_pool`.
    """
    ended = 0
    callbacks.on_event(RunsScheduled(total))

    def on_event(event: Event) -> None:
        nonlocal ended
        ended += isinstance(event, RunEnded | TaskEnded)
        callbacks.on_event(event)

    def should_stop() -> bool:
        if callbacks.should_stop():
            raise Interrupted("stopped")
        return False

    try:
        with ExitStack() as stack:
            pool = None
            if request.workers is not None:
                whole = request.configs[0].replace(validation=0, batch_size=1)
                data = load_for(whole, request.data_dir)
                pool = stack.enter_context(worker_pool(request.workers, data, request.device))
                on_event(WorkersStarted(pool.size, request.workers.threads, pool.place))
            yield replace(callbacks, on_event=on_event, should_stop=should_stop), pool
    except Interrupted:
        text = f"stopped with {ended} of {total} runs done; "
        default = LOST if request.out is None else "the same request goes on from there"
        raise Interrupted(text, then or default) from None


@dataclass
class _Trainer:
    """The runs of one request and their folders."""

    request: SweepRequest
    callbacks: Callbacks
    store: RunStore | None  # None keeps the runs in memory
    pool: WorkerPool | None
    paths: Mapping[Config, Path] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        if self.store is not None:
            self.paths = self.store.assign_folders(self.request.configs, self.request.backend)

    def train(self) -> Iterator[tuple[Config, Run | InputError]]:
        """Yield the finished runs, then train the others, the shortest first."""
        stages: dict[int, Pending] = {}  # the runs of each number of epochs
        for config in self.request.configs:
            stored = self._look_up(config)
            if isinstance(stored, Run):
                yield config, stored
            else:
                stages.setdefault(config.epochs, {})[config] = stored
        for _, stage in sorted(stages.items()):
            if self.store is not None and self.request.extends:
                self._extend(stage, self.store)
            if self.pool is None:
                yield from self._train_here(stage)
            else:
                yield from self._hand_over(stage, self.pool)

    def _look_up(self, config: Config) -> Run | int:
        """A finished run, or how many of its epochs are saved."""
        if self.store is None or self.request.overwrite:
            return 0
        folder = RunFolder(self.paths[config])
        header = self.store.header_at(folder.path)
        if header is not None:
            check_same_config(config, header, folder)
            if header.finished:
                return folder.load(header)
        if note := self.store.note_of(config, self.request.backend):
            self.callbacks.on_event(Notice(note))
        return 0 if header is None else len(open_run(config, folder).rows)

    def _extend(self, pending: Pending, store: RunStore) -> None:
        """Begin each run that is not there with the longest finished one that is its beginning."""
        finished = store.finished_here(self.request.backend)
        for config in pending:
            shorter = [run for run in finished if is_beginning(run, config)]
            if shorter and store.header_at(self.paths[config]) is None:
                longest = max(shorter, key=lambda run: run.epochs)
                store.extend(finished[longest], config, self.paths[config])
                pending[config] = longest.epochs

    def _open(self, config: Config, locks: ExitStack) -> TrainingRun:
        if self.store is None:
            return open_run(config, None)
        folder = RunFolder(self.paths[config])
        locks.enter_context(locked(folder.path))
        return open_run(config, folder, overwrite=self.request.overwrite)

    def _train_here(self, pending: Pending) -> Iterator[tuple[Config, Run | InputError]]:
        """Train shape after shape in this process."""
        request = self.request
        for shape in _grouped(pending, shape_of):
            dataset = load_for(shape[0], request.data_dir)
            for configs in _grouped(shape, lambda config: program_of(config, request.backend)):
                self.callbacks.should_stop()  # before the next is compiled
                started = time.perf_counter()
                group = make_group(request, configs[0], dataset, len(configs))
                compile_seconds = (time.perf_counter() - started) / len(configs)
                for batch in _batches(configs, pending, group.size):
                    self.callbacks.should_stop()
                    yield from self._train_batch(batch, group, dataset, compile_seconds)

    def _train_batch(
        self, configs: Sequence[Config], group: Group, dataset: Dataset, compile_seconds: float
    ) -> Iterator[tuple[Config, Run | InputError]]:
        started = time.perf_counter()
        results: dict[Config, Run | Diverged] = {}
        with ExitStack() as locks:
            runs = [self._open(config, locks) for config in configs]
            todo = [run for run in runs if not run.finished]
            if todo:
                job = TrainingJob(group, dataset, todo, self.callbacks, started, compile_seconds)
                results = job.train()
        for run in runs:
            yield run.config, self._keep(run, results.get(run.config))

    def _keep(self, run: TrainingRun, result: Run | Diverged | None) -> Run | Diverged:
        """Let the store know of a run trained here; None of one that another command trained."""
        if result is None:
            return run.stored()
        if self.store is not None and run.folder is not None:
            self.store.add(run.folder.path, run.header)
        return result

    def _hand_over(
        self, pending: Pending, pool: WorkerPool
    ) -> Iterator[tuple[Config, Run | InputError]]:
        """Have every run trained by a worker, and write what comes back."""
        tasks: list[Sequence[Config]] = []
        for shape in _grouped(pending, shape_of):
            tasks += _batches(shape, pending, pool.runs_per_task(len(shape)))
        request = replace(self.request, configs=(), device=pool.device, data_dir=None)
        opened: dict[int, tuple[list[TrainingRun], ExitStack]] = {}  # with their folders' locks

        def inputs() -> Iterator[tuple[SweepRequest, list[TrainingRun]]]:
            for number, configs in enumerate(tasks):
                runs: list[TrainingRun] = []
                todo: list[TrainingRun] = []
                locks = ExitStack()
                opened[number] = runs, locks
                for config in configs:
                    run = self._open(config, locks)
                    runs.append(run)
                    if not run.finished:
                        todo.append(replace(run, writes=False))
                yield request, todo

        try:
            for number, trained in pool.run(train_task, inputs(), self.callbacks):
                runs, locks = opened.pop(number)
                with locks:
                    for run in runs:
                        yield run.config, self._written(run, trained)
        finally:
            for _, locks in reversed(opened.values()):  # the first made the outer folder
                locks.close()

    def _written(self, run: TrainingRun, trained: "Trained | TaskLost") -> Run | InputError:
        """Write what a worker made of a run into its folder."""
        assert run.folder is not None  # noqa: S101 - workers' runs are kept in folders
        if isinstance(trained, TaskLost) and not run.finished:
            message = f"{run.folder.path}: its workers were lost: {trained.reason}"
            return InputError(f"{message}; the same command trains it again")
        if isinstance(trained, TaskLost) or run.config not in trained:
            return self._keep(run, None)
        run.header, result = trained[run.config]
        if run.notice:
            self.callbacks.on_event(Notice(f"{run.folder.path}: {run.notice}"))
        if run.existing is None:
            run.folder.clear()
        if isinstance(result, Run):
            run.folder.write_run(run.header, result)
        else:
            run.folder.write_header(run.header)
        return self._keep(run, result)


Trained = dict[Config, tuple[Header, Run | Diverged]]  # after a worker's task

# Of a worker's process, the last: tasks of one shape follow one another, and none compiles anew.
_program: dict[str, tuple[Dataset, Group]] = {}


def train_task(dataset: Dataset, task: tuple[SweepRequest, list[TrainingRun]]) -> Trained:
    """Train runs of one shape in memory. A worker's function, see `WorkerPool.run`."""
    request, todo = task
    trained: Trained = {}
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
                for run in batch:
                    trained[run.config] = run.header, results[run.config]
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
