"""Fetching a dataset through torchvision into the user's cache."""

import contextlib
import sys
import tempfile
from pathlib import Path

from mnist_fn.shared.data.sources import FILES, TORCHVISION, cache_dir
from mnist_fn.shared.errors import InputError


def fetch(name: str) -> Path:
    """Download a dataset into the cache and return the folder that holds it.

    torchvision shows its progress, here on stderr, so that stdout stays free for --json.

    Raises:
        InputError: no network, a broken download, or a cache that can't be written.
    """

    folder = cache_dir() / "data"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: can't be written ({error.strerror}); name another place with --data-dir "
            "or MNIST_FN_DATA, or run with --dataset digits"
        ) from error
    # The library that knows the mirrors; imported only where a download is needed.
    from torchvision import datasets

    try:
        # torchvision takes half a file for a whole one once it is there: so fetch aside, then move
        with (
            tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder) as aside,
            contextlib.redirect_stdout(sys.stderr),
        ):
            getattr(datasets, TORCHVISION[name])(root=aside, download=True)
            place = Path(TORCHVISION[name]) / "raw"
            (folder / place).mkdir(parents=True, exist_ok=True)
            for file in (Path(aside) / place).iterdir():
                file.replace(folder / place / file.name)
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{name}: not on this machine and the download failed ({reason[:120]}); put "
            f"{', '.join(FILES)} (.gz or not) into {folder}, or name their folder with --data-dir "
            "or MNIST_FN_DATA, or run with --dataset digits, which needs no files"
        ) from error
    return folder
