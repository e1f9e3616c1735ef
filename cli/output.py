"""What every command says in one way: an error, a JSON document."""

import contextlib
import json
import sys
from typing import Any

from mnist_fn.shared.errors import in_shell, one_line


def fail(message: object, code: int = 2) -> int:
    """Print one line on stderr, if there is one, and return the exit code."""
    if sys.stderr is not None:  # else print would take stdout
        with contextlib.suppress(OSError):
            print(f"mnist-fn: {one_line(in_shell(message))}", file=sys.stderr)
    return code


def print_json(document: Any) -> None:
    """The one JSON document on stdout, in ASCII: right in every locale."""
    print(json.dumps(document))
