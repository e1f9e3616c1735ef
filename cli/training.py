"""Many runs as a command follows them: a bar, and what becomes of Ctrl-C."""

import contextlib
from collections.abc import Iterator

import typer

from cli.console import console
from mnist_fn.shared.errors import Interrupted
from mnist_fn.shared.runs.progress import SweepView
from mnist_fn.shared.runs.progress_workers import view_of
from mnist_fn.shared.runs.run import Watch
from mnist_fn.shared.runs.staff import Staff
from mnist_fn.shared.runs.stopping import stoppable


@contextlib.contextmanager
def shown(
    staff: Staff | None = None, way_on: str = "the same command goes on from there"
) -> Iterator[tuple[SweepView, Watch]]:
    """A bar within the block, and the watch that tells it and hears of Ctrl-C.

    Args:
        staff: the workers, if any.
        way_on: what is said after a stop.

    Raises:
        typer.Exit: stopped by a signal, as the shell expects it.
    """
    with stoppable() as stop:
        try:
            with view_of(staff, console) as view:
                yield view, view.watch(stop)
        except Interrupted as reason:
            console.print(f"{reason}; {way_on}", soft_wrap=True)
            raise typer.Exit(stop.exit_code) from None
