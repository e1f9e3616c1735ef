"""Training many runs with a bar, for the commands that need them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from cli.console import console
from cli.stopping import stoppable
from cli.workers import crew_of, view_of
from mnist_fn.shared.backend import check
from mnist_fn.shared.config import Config
from mnist_fn.shared.errors import InputError, Interrupted
from mnist_fn.shared.runs.crew import GivenUp
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.runs.sweep import sweep

if TYPE_CHECKING:
    from mnist_fn.shared.runs.cluster import Staff

T = TypeVar("T")


@dataclass
class Unfinished:
    """What is said of runs that did not come to their end, by why."""

    diverged: list[str] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)  # their workers were lost again and again

    def add(self, error: InputError) -> None:
        """A run's error in the place of the run."""
        (self.given_up if isinstance(error, GivenUp) else self.diverged).append(str(error))

    @property
    def all(self) -> list[str]:
        """A line for each."""
        return [*self.diverged, *self.given_up]


def train_all(
    configs: list[Config],
    backend: str,
    out: Path,
    force: bool,
    where: dict[str, Any],
    staff: "Staff | None" = None,
    *,
    keep: Callable[[Run], T],
) -> tuple[list[T], Unfinished]:
    """Train or read every run with a bar; what `keep` makes of each, and why others were not.

    Of thousands of runs no more stays in memory than it keeps; weights it does not see.

    Raises:
        InputError: as `sweep`; no run came to its end.
        typer.Exit: stopped by a signal, all saved.
    """
    kept: dict[Config, T] = {}
    unfinished = Unfinished()
    check(backend)  # before workers are started
    with stoppable() as stop:
        try:
            with (
                crew_of(staff, configs[0].dataset, where["data_dir"], where["device"]) as crew,
                view_of(crew, {config: config.epochs for config in configs}) as view,
            ):
                how = {**where, "watch": view.watch(stop), "crew": crew}
                for config, run in sweep(configs, backend, out=out, force=force, **how):
                    if isinstance(run, InputError):
                        unfinished.add(run)
                    else:
                        kept[config] = keep(view.done(run))
        except Interrupted as reason:
            console.print(f"{reason}; the same command goes on from there", soft_wrap=True)
            raise typer.Exit(stop.exit_code) from None
    if not kept:
        first = unfinished.all[0]
        raise InputError(f"none of {len(configs)} runs came to its end; the first: {first}")
    return [kept[config] for config in configs if config in kept], unfinished
