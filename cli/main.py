"""The app: its commands, and what becomes of an error."""

import contextlib
import inspect
import io
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from cli.commands import data
from cli.options import option
from cli.output import fail
from cli.suggesting import usage
from mnist_fn.shared import faults
from mnist_fn.shared.errors import InputError


@contextlib.contextmanager
def _abort_on_ctrl_c() -> Iterator[None]:
    """Ctrl-C within it, before typer hears of it, which would end with 130 and say nothing."""
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Abort from None


class _PlainFlags:
    """A command whose flags show no type in the help: they take no value."""

    def get_params(self, ctx: Any) -> Any:
        parameters = super().get_params(ctx)  # pyright: ignore[reportAttributeAccessIssue]
        for parameter in parameters:
            if getattr(parameter, "is_flag", False):
                parameter.metavar = ""
        return parameters


class _Command(_PlainFlags, TyperCommand):
    pass


class _Commands(_PlainFlags, TyperGroup):
    def make_context(self, *arguments: Any, **extra: Any) -> Any:
        with _abort_on_ctrl_c():
            return super().make_context(*arguments, **extra)

    def invoke(self, ctx: Any) -> Any:
        with _abort_on_ctrl_c():
            return super().invoke(ctx)


app = typer.Typer(
    name="mnist-fn",
    cls=_Commands,
    help="A PyTorch study of MNIST in pure-functional JAX, and how closely the two agree.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["--help", "-h"]},
    pretty_exceptions_enable=False,
)


def _show_version(requested: bool) -> None:
    if requested:
        print(f"mnist-fn {faults.version_of('mnist-fn')}")
        raise typer.Exit


@app.callback()
def _before(
    _: Annotated[
        bool,
        option("Show it and exit.", "--version", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    pass


PANELS = {  # each command in a module of its name in cli.commands
    "Train": ("train", "sweep", "study"),
    "Judge": ("parity", "port", "evaluate", "bench", "doctor"),
    "Look": ("predict", "report", "figures", "runs"),
    "Files": ("import", "export"),
}
KEYWORDS = {"import": "importing", "export": "exporting"}  # no names of modules
for panel, commands in PANELS.items():
    for name in commands:
        run = import_module(f"cli.commands.{KEYWORDS.get(name, name)}").command
        # typer keeps the line breaks of all paragraphs but the first
        text = re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.cleandoc(run.__doc__ or ""))
        app.command(name, cls=_Command, rich_help_panel=panel, help=text)(run)
for command in data.app.registered_commands:
    command.cls = _Command
app.add_typer(data.app, name="data", cls=_Commands, rich_help_panel="Files")


def main() -> None:
    """Run the command line: exit 0 well, 1 judged and failed, 2 bad input or environment."""
    warnings.showwarning = partial(_warn, warnings.showwarning)
    try:
        if isinstance(sys.stdout, io.TextIOWrapper):  # as stderr: what an encoding lacks is escaped
            sys.stdout.reconfigure(errors="backslashreplace")
        code = app(sys.argv[1:], prog_name="mnist-fn", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()  # so that what can't be written is known here
    except InputError as error:
        code = fail(error)
    except MemoryError:
        code = fail("no memory left; free some, raise the limit (ulimit -v), or work on less")
    except KeyboardInterrupt:
        code = fail("interrupted", 130)
    except BrokenPipeError:  # the reader of our stdout has gone, as `| head` does
        _drop_stdout()
        code = 141
    except OSError as error:  # without a file's name it is stdout: a full disk behind a `>`
        if error.filename is None:
            _drop_stdout()
        code = fail(f"{error.filename or 'standard output'}: {error.strerror or error}")
    except Exception as error:
        code = _explain(error)
    sys.exit(code if isinstance(code, int) else 0)


def _explain(error: Exception) -> int:
    """Click's own errors; newer typers carry click inside them, so not by class."""
    if type(error).__name__ == "Abort":  # what click makes of Ctrl-C
        return fail("interrupted", 130)
    if not hasattr(error, "format_message"):
        raise error
    if type(error).__name__ == "NoArgsIsHelpError":  # the help has been shown
        return 2
    return fail(usage(error))


def _warn(
    shown: Callable[..., None], message: Warning | str, *arguments: Any, **options: Any
) -> None:
    """A fault of an installed version is for the user, on one line; other warnings as ever."""
    if isinstance(message, faults.KnownFault):
        fail(str(message))
    else:
        shown(message, *arguments, **options)


def _drop_stdout() -> None:
    """Keep the interpreter from failing once more when it flushes stdout at its end."""
    with contextlib.suppress(OSError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
