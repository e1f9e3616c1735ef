"""The entry of the command `mnist-fn`, which finds `cli` and `figures` among others so named."""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType


def main() -> None:
    """Run the command line.

    `cli` and `figures` are names that anybody's folder may have, and a folder of the user's comes
    before installed packages. So the folder that holds ours is put first: a wheel has them in
    `mnist_fn/rooms`, a checkout next to this package.
    """
    sys.path.insert(0, str(_rooms()))
    try:
        run = import_module("cli.main").main
    except KeyboardInterrupt:  # while it imports; later `run` says the same
        print("mnist-fn: interrupted", file=sys.stderr)
        sys.exit(130)
    run()


def figures() -> ModuleType:
    """Our package `figures`, as `mnist_fn.figures`; where modules are found stays as it was.

    Raises:
        ImportError: another package of that name is imported already.
    """
    rooms = str(_rooms())
    sys.path.insert(0, rooms)
    try:
        module = import_module("figures")
    finally:
        sys.path.remove(rooms)
    if str(Path(module.__path__[0]).resolve().parent) != rooms:
        raise ImportError(f"mnist_fn.figures: another figures is imported, {module.__path__[0]}")
    return module


def _rooms() -> Path:
    package = Path(__file__).resolve().parent
    rooms = package / "rooms"
    return rooms if rooms.is_dir() else package.parent
