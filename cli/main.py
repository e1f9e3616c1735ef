"""The app: its commands, and what becomes of an error."""

import json
import sys
from typing import Any

import typer

from cli import bench, data, evaluate, sweep, train
from mnist_fn.shared.errors import InputError

app = typer.Typer(
    name="mnist-fn",
    help="A PyTorch study of MNIST in pure-functional JAX, and proof that the two agree.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("train")(train.command)
app.command("sweep")(sweep.command)
app.command("bench")(bench.command)
app.command("evaluate")(evaluate.command)
app.add_typer(data.app, name="data")


def main() -> None:
    """Run the command line: exit 0 well, 1 judged and failed, 2 bad input or environment."""
    try:
        code = app(standalone_mode=False)
    except InputError as error:
        code = fail(str(error))
    except KeyboardInterrupt:
        code = fail("interrupted", 130)
    except BrokenPipeError:  # the reader of our stdout has gone, as `| head` does
        sys.stderr.close()
        code = 141
    except Exception as error:
        # Click's usage errors; newer typers carry click inside them, so not by class.
        if not hasattr(error, "format_message"):
            raise
        code = fail(f"{error.format_message().rstrip('.')}; try --help")  # pyright: ignore
    sys.exit(code if isinstance(code, int) else 0)


def fail(message: str, code: int = 2) -> int:
    """Print one line on stderr and return the exit code."""
    print(f"mnist-fn: {' '.join(message.split())}", file=sys.stderr)
    return code


def print_json(document: Any) -> None:
    """The one JSON document on stdout."""
    print(json.dumps(document, ensure_ascii=False))


if __name__ == "__main__":
    main()
