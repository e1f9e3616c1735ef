"""The door of the command `mnist-fn`, which finds its rooms whatever else has their names."""

import sys
from importlib import import_module
from pathlib import Path


def main() -> None:
    """Run the command line.

    `cli` and `figures` are names that anybody's folder may have, and a folder of the user's comes
    before installed packages. So the folder that holds ours is put first: a wheel has them in
    `mnist_fn/rooms`, a checkout beside this package.
    """
    package = Path(__file__).resolve().parent
    rooms = package / "rooms"
    sys.path.insert(0, str(rooms if rooms.is_dir() else package.parent))
    import_module("cli.main").main()
