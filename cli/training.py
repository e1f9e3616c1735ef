"""Many runs as a command follows them: a bar, and the end at Ctrl-C."""

import contextlib
from collections.abc import Iterator

import typer

from cli.console import console
from mnist_fn.shared.errors import Interrupted
from mnist_fn.shared.runs.progress import ProgressView
from mnist_fn.shared.runs.run import Callbacks
from mnist_fn.shared.runs.stopping import stoppable


@contextlib.contextmanager
def followed(hint: str = "the same command goes on from there") -> Iterator[Callbacks]:
    """Callbacks that show progress within the block and stop at Ctrl-C.

    Args:
        hint: what follows the reason of a stop: how to go on.

    Raises:
        typer.Exit: stopped by a signal, with the exit code that the shell expects.
    """
    with stoppable() as stop:
        try:
            with ProgressView(console) as view:
                yield view.callbacks(stop.should_stop)
        except Interrupted as reason:
            console.print(f"{reason}; {hint}", soft_wrap=True)
            raise typer.Exit(stop.exit_code) from None
