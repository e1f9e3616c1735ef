"""Many runs as a command follows them: a bar, and the end at Ctrl-C."""

import contextlib
from collections.abc import Iterator

import typer

from cli.console import console
from mnist_fn.shared.errors import Interrupted, in_shell
from mnist_fn.shared.runs.callbacks import Callbacks, stoppable
from mnist_fn.shared.runs.progress import ProgressView


@contextlib.contextmanager
def followed() -> Iterator[Callbacks]:
    """Callbacks that show progress within the block and stop at Ctrl-C.

    Raises:
        typer.Exit: stopped by a signal, with the exit code that the shell expects.
    """
    with stoppable() as stop:
        try:
            with ProgressView(console) as view:
                yield view.callbacks(stop.should_stop)
        except Interrupted as reason:
            console.print(in_shell(reason), soft_wrap=True)
            raise typer.Exit(stop.exit_code) from None
