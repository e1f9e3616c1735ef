"""Training many runs with a bar, for the commands that need them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cli.console import console
from cli.stopping import stoppable
from cli.workers import crew_of, view_of
from mnist_fn.shared.backend import check
from mnist_fn.shared.config import Config
from mnist_fn.shared.errors import InputError, Interrupted
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.runs.sweep import sweep

if TYPE_CHECKING:
    from mnist_fn.shared.runs.cluster import Staff


def train_all(
    configs: list[Config],
    backend: str,
    out: Path,
    force: bool,
    where: dict[str, Any],
    staff: "Staff | None" = None,
) -> tuple[list[Run], list[str]]:
    """Train or read every run with a bar; the runs, and what is said of those that were not trained
    to their end: they diverged, or their workers were lost.

    Raises:
        InputError: as `sweep`; no run came to its end.
        typer.Exit: stopped by a signal, all saved.
    """
    runs: dict[Config, Run] = {}
    lost: list[str] = []
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
                        lost.append(str(run))
                    else:
                        runs[config] = view.done(run)
        except Interrupted as reason:
            console.print(f"{reason}; the same command goes on from there", soft_wrap=True)
            raise typer.Exit(stop.exit_code) from None
    if not runs:
        raise InputError(f"none of {len(configs)} runs came to its end; the first: {lost[0]}")
    return [runs[config] for config in configs if config in runs], lost
