"""Training many runs with a bar, for the commands that need them."""

from pathlib import Path
from typing import Any

import typer

from cli.console import SweepView, console
from cli.stopping import stoppable
from mnist_fn.shared.config import Config
from mnist_fn.shared.errors import InputError, Interrupted
from mnist_fn.shared.runs.run import Run, Watch
from mnist_fn.shared.runs.sweep import sweep


def train_all(
    configs: list[Config], backend: str, out: Path, force: bool, where: dict[str, Any]
) -> tuple[list[Run], list[str]]:
    """Train or read every run with a bar; the runs, and what is said of those that diverged.

    Raises:
        InputError: as `sweep`; every run diverged.
        typer.Exit: stopped by a signal, all saved.
    """
    runs: dict[Config, Run] = {}
    lost: list[str] = []
    with stoppable() as stop:
        try:
            with SweepView({config: config.epochs for config in configs}) as view:
                watch = Watch(view.on_start, view.on_epoch, stop)
                for config, run in sweep(
                    configs, backend, out=out, force=force, watch=watch, **where
                ):
                    if isinstance(run, InputError):
                        lost.append(str(run))
                    else:
                        runs[config] = view.done(run)
        except Interrupted as reason:
            console.print(f"{reason}; the same command goes on from there", soft_wrap=True)
            raise typer.Exit(stop.exit_code) from None
    if not runs:
        raise InputError(f"all {len(configs)} runs diverged; the first: {lost[0]}")
    return [runs[config] for config in configs if config in runs], lost
