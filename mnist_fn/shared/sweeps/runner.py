"""Train every run of a request once: finished ones are read, the others trained here or by workers.

Runs that differ only in seed, λ, learning rate and weight decay go through one program together,
as many at a time as fit. Each is an ordinary run on disk.
"""

import itertools
import math
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

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
    WorkersStarted,
)
from mnist_fn.shared.runs.folder import RunFolder
from mnist_fn.shared.runs.loop import LOST, Diverged, TrainingJob, change_of_threads
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.runs.store import RunStore, check_same_config, is_beginning, open_run
from mnist_fn.shared.storage import flush_folder, locked
from mnist_fn.shared.sweeps.request import SweepRequest
from mnist_fn.shared.sweeps.workers import TaskLost, WorkerPool, worker_pool

TrainResult = tuple[SweepRequest, Config, Run | InputError]  # the error of a run without an end
Pending = dict[Config, int]  # runs that are to be trained, and how many epochs of each are saved
Trained = dict[Config, Run | Diverged]  # by one program or worker
Programs = dict[Hashable, tuple[Dataset, Group]]  # compiled, with the data that they train on


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
                counting.on_event(RunEnded(result if isinstance(result, Run) else None))
                yield request, config, result


@contextmanager
def start_workers(
    request: SweepRequest, total: int, callbacks: Callbacks, then: str = ""
) -> Iterator[tuple[Callbacks, Callable[[], WorkerPool]]]:
    """Announce many runs; within the block Interrupted says how many of them are done.

    Args:
        request: names the workers, their device and the data.
        total: how many runs there are.
        callbacks: hear that the workers have started.
        then: what the same request does after an interrupt, if not the default.

    Yields the callbacks to use, whose `should_stop` raises, and what starts the workers when it is
    first called.

    Raises:
        InputError: see `workers.worker_pool`.
    """
    ended = 0
    callbacks.on_event(RunsScheduled(total))

    def on_event(event: Event) -> None:
        nonlocal ended
        ended += isinstance(event, RunEnded)
        callbacks.on_event(event)

    def should_stop() -> bool:
        if callbacks.should_stop():
            raise Interrupted("stopped")
        return False

    with ExitStack() as stack:

        @cache
        def pool() -> WorkerPool:
            assert request.workers is not None  # noqa: S101 - it is asked for by who has some
            data = _full_dataset(request)
            pool = stack.enter_context(worker_pool(request.workers, data, request.device))
            on_event(WorkersStarted(pool.size, request.workers.threads, pool.place))
            return pool

        try:
            yield replace(callbacks, on_event=on_event, should_stop=should_stop), pool
        except Interrupted:
            text = f"stopped with {ended} of {total} runs done; "
            default = LOST if request.out is None else "the same request goes on from there"
            raise Interrupted(text, then or default) from None


def _full_dataset(request: SweepRequest) -> Dataset:
    """The data of a request's runs, with nothing held out."""
    return load_for(request.configs[0].replace(validation=0, batch_size=1), request.data_dir)


@dataclass
class _Trainer:
    """The runs of one request and their folders."""

    request: SweepRequest
    callbacks: Callbacks
    store: RunStore | None  # None keeps the runs in memory
    pool: Callable[[], WorkerPool]
    paths: Mapping[Config, Path] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        if self.store is not None:
            self.paths = self.store.assign_folders(self.request.configs, self.request.backend)

    def train(self) -> Iterator[tuple[Config, Run | InputError]]:
        """Yield the finished runs, then train the others, the shortest first."""
        stages: dict[int, Pending] = {}  # the runs of each number of epochs
        for config in self.request.configs:
            saved = self._look_up(config)
            if isinstance(saved, Run):
                yield config, saved
            else:
                stages.setdefault(config.epochs, {})[config] = saved
        train = self._train_here if self.request.workers is None else self._hand_over
        for _, stage in sorted(stages.items()):
            if self.store is not None and self.request.extends:
                self._extend(stage, self.store)
            for config, result in train(stage):
                if self.store is not None and isinstance(result, Run | Diverged):
                    self.store.add(self.paths[config], result.header)
                yield config, result

    def _look_up(self, config: Config) -> Run | int:
        """A finished run, or how many of its epochs are saved."""
        if self.store is None or self.request.overwrite:
            return 0
        path = self.paths[config]
        header = self.store.header_at(path)
        if header is not None:
            check_same_config(config, header, path)
            if header.finished:
                return RunFolder(path).load(header)
        if note := self.store.note_of(config, self.request.backend):
            self.callbacks.on_event(Notice(note))
        return 0 if header is None else len(RunFolder(path).read(header).rows)

    def _extend(self, pending: Pending, store: RunStore) -> None:
        """Begin each run that is not there with the longest finished one that is its beginning.

        After a kill at any moment the longer run is there completely or not at all.
        """
        finished = store.finished_here(self.request.backend)
        for config in pending:
            path = self.paths[config]
            shorter = [run for run in finished if is_beginning(run, config)]
            if not shorter or path.exists():
                continue
            longest = max(shorter, key=lambda run: run.epochs)
            header = store.header_at(finished[longest])
            assert header is not None  # noqa: S101 - the store has just said that it is finished
            run = RunFolder(finished[longest]).read(header)
            run = replace(run, header=replace(header, config=config, status="unfinished"))
            temporary = path.with_name(f".extending-{path.name}")
            with locked(temporary):
                RunFolder(temporary).write(run)
                try:
                    temporary.rename(path)
                    flush_folder(path.parent)
                except OSError as error:
                    raise InputError(f"{path}: can't be written ({error.strerror})") from error
            pending[config] = longest.epochs

    def _open(self, config: Config, locks: ExitStack) -> Run:
        """A run as far as it is saved, its folder locked."""
        path = self.paths.get(config)
        if path is not None:
            locks.enter_context(locked(path))
        return open_run(config, path, overwrite=self.request.overwrite)

    def _train_here(self, pending: Pending) -> Iterator[tuple[Config, Run | InputError]]:
        """Train in this process."""
        full_dataset = _full_dataset(self.request)
        for configs, job in _jobs(self.request, full_dataset, pending, self.callbacks, {}):
            self.callbacks.should_stop()
            with ExitStack() as locks:
                opened = [self._open(config, locks) for config in configs]
                # another command may have trained some meanwhile
                todo = [run for run in opened if not run.finished]
                trained = job.train(todo) if todo else {}
            for run in opened:
                yield run.config, trained.get(run.config, run)

    def _hand_over(self, pending: Pending) -> Iterator[tuple[Config, Run | InputError]]:
        """Have every run trained by a worker, and write what comes back."""
        pool = self.pool()
        request = replace(self.request, configs=(), device=pool.device, data_dir=None)
        tasks: list[Sequence[Config]] = []
        for configs in _by_shape(pending).values():
            # each GPU's share of them is trained together
            size = 1 if pool.device == "cpu" else math.ceil(len(configs) / pool.size)
            tasks += _in_step(configs, pending, size)
        with ExitStack() as stack:  # the first lock made the outer folder, so it is the last to go

            def inputs() -> Iterator[tuple[tuple[list[Run], ExitStack], WorkerTask]]:
                for configs in tasks:
                    locks = stack.enter_context(ExitStack())
                    opened = [self._open(config, locks) for config in configs]
                    todo = [replace(run, path=None) for run in opened if not run.finished]
                    yield (opened, locks), (request, todo)

            for (opened, locks), trained in pool.run(train_task, inputs(), self.callbacks):
                with locks:
                    for run in opened:
                        yield run.config, run if run.finished else self._write(run, trained)

    def _write(self, run: Run, trained: Trained | TaskLost) -> Run | InputError:
        """Write what a worker made of a run into its folder."""
        if isinstance(trained, TaskLost):
            message = f"{run.path}: its workers were lost: {trained.reason}"
            return InputError(f"{message}; the same command trains it again")
        folder, result = RunFolder.of(run), trained[run.config]
        if warning := change_of_threads(run.header, result.header, len(run.rows)):
            self.callbacks.on_event(Notice(f"{run.path}: {warning}"))
        if not run.header.begun:
            folder.clear()
        if isinstance(result, Diverged):
            folder.write_header(result.header)
            if not run.rows:
                return result
            error = Diverged((result, f"; {run.path} keeps the state after epoch {len(run.rows)}"))
            error.header = result.header
            return error
        result = replace(result, path=run.path)
        folder.write_header(replace(result.header, status="unfinished"))  # a kill: it resumes
        folder.write(result)
        return result


WorkerTask = tuple[SweepRequest, list[Run]]

# Of a worker's process, the last: tasks of one shape follow one another, and none compiles anew.
_program: Programs = {}


def train_task(full_dataset: Dataset, task: WorkerTask) -> Trained:
    """Train opened runs of one shape in memory. A worker's function, see `WorkerPool.run`."""
    request, opened = task
    runs = {run.config: run for run in opened}
    pending = {config: len(run.rows) for config, run in runs.items()}
    trained: Trained = {}
    with backends.enough_memory():
        for configs, job in _jobs(request, full_dataset, pending, Callbacks(), _program):
            trained |= job.train([runs[config] for config in configs])
    return trained


def _jobs(
    request: SweepRequest,
    full_dataset: Dataset,
    pending: Pending,
    callbacks: Callbacks,
    programs: Programs,
) -> Iterator[tuple[list[Config], TrainingJob]]:
    """Each load of a program's runs, and the job to train them; programs are compiled in between.

    Args:
        request: of the runs.
        full_dataset: their data, with nothing held out.
        pending: the runs to train.
        callbacks: of the jobs; `should_stop` is asked before a program is compiled.
        programs: the last one, for the next call; it is used again if it fits.
    """
    has_groups = backends.find_group(request.backend) is not None
    for shape, configs in _by_shape(pending, has_groups).items():
        callbacks.should_stop()
        started, compile_seconds = time.perf_counter(), 0.0
        key = full_dataset.sha256, shape, request.backend, request.device, len(configs)
        if key not in programs:
            programs.clear()
            dataset = hold_out(full_dataset, shape)
            programs[key] = dataset, _compile(request, configs, dataset)
            compile_seconds = (time.perf_counter() - started) / len(configs)
        dataset, group = programs[key]
        for load in _in_step(configs, pending, group.size):
            spent = {"compile": compile_seconds, "train": 0.0, "total": compile_seconds}
            yield load, TrainingJob(group, dataset, callbacks, spent)


def _compile(request: SweepRequest, configs: Sequence[Config], dataset: Dataset) -> Group:
    """The program for runs of a shape; a backend without groups trains one by one."""
    make = backends.find_group(request.backend)
    if make is None:
        return GroupOfOne(backends.find(request.backend)(configs[0], dataset, request.device))
    return make(configs[0], dataset, request.device, len(configs), request.max_memory)


def _by_shape(configs: Iterable[Config], has_groups: bool = True) -> dict[Config, list[Config]]:
    """The runs that one program can train, by their shape; each alone if not `has_groups`."""
    shapes: dict[Config, list[Config]] = {}
    for config in configs:
        shapes.setdefault(shape_of(config) if has_groups else config, []).append(config)
    return shapes


def _in_step(configs: Sequence[Config], pending: Pending, size: int) -> Iterator[list[Config]]:
    """Runs with equally many epochs done, `size` at a time; the furthest first."""
    ordered = sorted(configs, key=lambda config: -pending[config])
    for _, equal in itertools.groupby(ordered, key=pending.__getitem__):
        while batch := list(itertools.islice(equal, size)):
            yield batch
