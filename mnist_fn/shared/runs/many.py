"""Training many runs for whoever asks, at workers or here; each that ends is told."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from mnist_fn.shared.backend import check
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import load
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.runs.crew import Crew, GivenUp
from mnist_fn.shared.runs.run import Run, Watch
from mnist_fn.shared.runs.staff import Staff
from mnist_fn.shared.runs.sweep import sweep

T = TypeVar("T")


@dataclass
class Unfinished:
    """What is said of runs that did not come to their end, by why."""

    diverged: list[str] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)  # their workers were lost again and again

    def add(self, error: InputError) -> None:
        """A run's error in the place of the run."""
        (self.given_up if isinstance(error, GivenUp) else self.diverged).append(str(error))

    def to_dict(self, say: Callable[[str], str] = str) -> dict[str, list[str]]:
        """For a JSON document, in Python's words or as `say` has them."""
        return {
            "diverged": [say(line) for line in self.diverged],
            "given_up": [say(line) for line in self.given_up],
        }

    @property
    def all(self) -> list[str]:
        """A line for each."""
        return [*self.diverged, *self.given_up]


@contextlib.contextmanager
def crew_of(
    staff: Staff | None, dataset: str, data_dir: Path | None, device: str, watch: Watch
) -> Iterator[Crew | None]:
    """The workers that were asked for, if any; errors as for `cluster.crew`."""
    if staff is None:
        yield None
        return
    from mnist_fn.shared.runs import cluster

    with cluster.crew(staff, load(dataset, data_dir), device) as crew:
        watch.on_crew(crew.size)
        yield crew


def train_all(
    configs: Sequence[Config],
    backend: str,
    keep: Callable[[Run], T],
    *,
    device: str,
    data_dir: Path | None,
    out: Path | None,
    watch: Watch,
    memory: int | None = None,
    force: bool = False,
    staff: Staff | None = None,
) -> tuple[list[T], Unfinished]:
    """Train or read every run; what `keep` makes of each, in their order, and why others were not.

    Of thousands of runs no more stays in memory than it keeps; weights that are on disk it does
    not see.

    Args:
        configs: the runs, no two equal.
        backend: its name.
        keep: called with each run.
        device, data_dir, out, memory, force: as for `sweep`.
        watch: follows and stops.
        staff: workers; they need `out`.

    Raises:
        InputError: as `sweep`; no run came to its end.
        Interrupted: the watch asked for it, all is saved in `out`.
    """
    if staff is not None and out is None:
        raise InputError("`out`: workers need a folder for the runs")
    kept: dict[Config, T] = {}
    unfinished = Unfinished()
    check(backend)  # before workers are started
    watch.on_plan([{config: config.epochs for config in configs}])
    with crew_of(staff, configs[0].dataset, data_dir, device, watch) as crew:
        how = {"device": device, "data_dir": data_dir, "memory": memory, "force": force}
        for config, run in sweep(configs, backend, out=out, watch=watch, crew=crew, **how):
            if isinstance(run, InputError):
                unfinished.add(run)
            else:
                watch.on_run(run)
                kept[config] = keep(run if out is None else run.without_weights())
    if not kept:
        first = unfinished.all[0]
        raise InputError(f"none of {len(configs)} runs came to its end; the first: {first}")
    return [kept[config] for config in configs if config in kept], unfinished
