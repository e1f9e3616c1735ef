"""Many runs at once: those of one shape share a program, each is an ordinary run on disk."""

import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from mnist_fn.shared import backend as backends
from mnist_fn.shared.backend import Group
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset, load_for
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.runs.crew import Crew
from mnist_fn.shared.runs.folders import own_folders
from mnist_fn.shared.runs.loop import Job
from mnist_fn.shared.runs.opening import Opened, open_run
from mnist_fn.shared.runs.received import Received
from mnist_fn.shared.runs.records import RunDirectory
from mnist_fn.shared.runs.run import Run, Watch
from mnist_fn.shared.runs.shapes import batched, by_shape, shared_group, single_group
from mnist_fn.shared.storage import locked

Result = tuple[Config, Run | InputError]  # the error of a run that diverged


def grid(
    base: Config,
    *,
    seeds: int,
    l2: Sequence[float] = (),
    learning_rate: Sequence[float] = (),
    hidden: Sequence[tuple[int, ...]] = (),
) -> list[Config]:
    """Every combination, seeds fastest; what is not given stays as in `base`.

    The seeds are `base.seed` and those after it, the same for every combination, so that
    combinations can be compared seed by seed.

    Raises:
        InputError: fewer than one seed, a value given twice, or out of its range.
    """
    if not 1 <= seeds <= 1_000_000:
        raise InputError(f"`seeds={seeds}`: must be between 1 and 1000000")
    axes = {"hidden": hidden, "learning_rate": learning_rate, "l2": l2}
    for name, values in axes.items():
        if len(set(values)) < len(values):
            raise InputError(f"`{name}`: a value is given twice")
    given = {name: values for name, values in axes.items() if values}
    return [
        base.replace(**dict(zip(given, values, strict=True)), seed=base.seed + seed)
        for values in itertools.product(*given.values())
        for seed in range(seeds)
    ]


def sweep(
    configs: Sequence[Config],
    backend: str = "jax",
    *,
    device: str = "auto",
    data_dir: Path | str | None = None,
    out: Path | str | None = None,
    memory: int | None = None,
    force: bool = False,
    watch: Watch | None = None,
    crew: Crew | None = None,
) -> Iterator[Result]:
    """Train every config and yield each run when it is done; finished ones are read.

    Runs that differ in seed, λ, learning rate and weight decay alone go through one program
    together, shape after shape, as many at a time as fit. With a validation split only runs of
    one seed do, since the split is the seed's own. A run that diverges yields its error, the
    others go on.

    Args:
        configs: the runs, no two equal.
        backend: one without groups trains them one by one.
        device: "auto", "cpu" or "gpu".
        data_dir: as for `train`.
        out: a folder for each run is made in it, named by `folders.slug`. None keeps nothing.
        memory: bytes that the models and the data may take on all devices together.
        force: train finished runs anew.
        watch: `on_start` and `on_epoch` are called for each run.
        crew: workers that train; this process then only writes. `device` is theirs, and `out` a
            folder. A run whose worker was lost too often yields that as its error.

    Raises:
        InputError: bad data, device or folder; another run in a run's folder, or two of these.
        Interrupted: `watch.should_stop` asked for it; the same call goes on from there.
    """
    backends.check_device(device)
    campaign = _Campaign(
        backend,
        device,
        None if data_dir is None else Path(data_dir),
        None if out is None else own_folders(configs, backend, Path(out)),
        memory,
        force,
        watch or Watch(),
    )
    backends.check(backend) if crew else backends.find(backend)
    # all folders are looked at before anything is trained: a damaged one is known now
    shapes = [[campaign.glance(config) for config in shape] for shape in by_shape(configs)]
    if crew is not None:
        yield from campaign.hand_out(shapes, crew)
        return
    for shape in shapes:
        yield from campaign.train_shape(shape)


@dataclass(frozen=True)
class _Glance:
    """What a first look at a run's folder shows."""

    config: Config
    done: int  # epochs
    finished: bool


def _equally_far(todo: Sequence[_Glance]) -> Iterator[list[_Glance]]:
    """Those with equally many epochs done, the furthest first."""
    by_progress = sorted(todo, key=lambda glance: -glance.done)
    for _, equal in itertools.groupby(by_progress, key=lambda glance: glance.done):
        yield list(equal)


@dataclass(frozen=True)
class _Campaign:
    """What all runs of a sweep share."""

    backend: str
    device: str
    data_dir: Path | None
    folders: dict[Config, Path] | None  # None keeps nothing
    memory: int | None
    force: bool
    watch: Watch

    def glance(self, config: Config) -> _Glance:
        directory = self._directory(config)
        if self.force or directory is None or not directory.exists():
            return _Glance(config, 0, finished=False)
        opened = open_run(config, directory)
        return _Glance(config, len(opened.rows), opened.finished)

    def _stored(self, shape: Sequence[_Glance]) -> Iterator[Result]:
        for glance in shape:
            if glance.finished:
                yield (
                    glance.config,
                    open_run(glance.config, self._directory(glance.config)).stored(),
                )

    def hand_out(self, shapes: Sequence[Sequence[_Glance]], crew: Crew) -> Iterator[Result]:
        """Have all trained by workers, as they come to be free."""
        works = []
        for shape in shapes:
            yield from self._stored(shape)
            for equal in _equally_far([glance for glance in shape if not glance.finished]):
                for chunk in batched(equal, crew.models(len(equal))):
                    works.append(self._work([glance.config for glance in chunk], crew))
        yield from crew.work(works, self.watch)

    def _work(self, configs: list[Config], crew: Crew) -> Received:
        if self.folders is None:
            raise ValueError("workers need a folder to write to")
        runs = [(config, RunDirectory(self.folders[config])) for config in configs]
        how = (self.backend, crew.device, self.memory, crew.dataset)
        return Received(runs, *how, self.watch, self.force)

    def train_shape(self, shape: Sequence[_Glance]) -> Iterator[Result]:
        yield from self._stored(shape)
        todo = [glance for glance in shape if not glance.finished]
        if not todo:
            return
        dataset = load_for(todo[0].config, self.data_dir)
        for group, chunk, compiled in self._chunks(todo, dataset):
            yield from self._train(group, chunk, dataset, compiled)

    def _chunks(
        self, todo: Sequence[_Glance], dataset: Dataset
    ) -> Iterator[tuple[Group, list[Config], float]]:
        """Runs that are equally far, as many as the group takes; what compiling them took."""
        started, device = time.perf_counter(), self.device
        group = shared_group(self.backend, todo[0].config, dataset, device, len(todo), self.memory)
        if group is None:
            for glance in todo:
                started = time.perf_counter()
                group = single_group(self.backend, glance.config, dataset, device)
                yield group, [glance.config], time.perf_counter() - started
            return
        compiled = (time.perf_counter() - started) / len(todo)
        for equal in _equally_far(todo):
            for chunk in batched([glance.config for glance in equal], group.size):
                yield group, list(chunk), compiled

    def _train(
        self, group: Group, chunk: list[Config], dataset: Dataset, compiled: float
    ) -> Iterator[Result]:
        started = time.perf_counter()
        with ExitStack() as locks:
            opened = [self._open(config, locks) for config in chunk]
            members = [run.begin(dataset, group, compiled) for run in opened]
            starts = [run.start(dataset) for run in opened]
            ended = Job(group, dataset, members, self.watch, started).run(starts)
        yield from zip(chunk, ended, strict=True)

    def _open(self, config: Config, locks: ExitStack) -> Opened:
        directory = self._directory(config)
        if directory is not None:
            locks.enter_context(locked(directory.path))
        return open_run(config, directory, force=self.force)

    def _directory(self, config: Config) -> RunDirectory | None:
        return None if self.folders is None else RunDirectory(self.folders[config])
