"""`mnist-fn data`: fetch, verify, path, cache."""

from pathlib import Path
from typing import Annotated

import typer

from cli import options
from cli.options import option
from mnist_fn.shared.wording import counted

app = typer.Typer(help="The datasets' files: fetch, verify, path, cache.", no_args_is_help=True)
Name = Annotated[
    str,
    option(
        "mnist, fashion-mnist, kmnist, or a set in --data-dir such as emnist-letters.", "--dataset"
    ),
]


@app.command()
def fetch(dataset: Name = "mnist") -> None:
    """Download a dataset into the user's cache and check it. What is there is not fetched again."""
    _load(dataset, None, download=True)


@app.command()
def verify(dataset: Name = "mnist", data_dir: options.DataDir = None) -> None:
    """Read a dataset's files and check their content; nothing is downloaded."""
    _load(dataset, data_dir, download=False)


@app.command()
def path(dataset: Name = "mnist", data_dir: options.DataDir = None) -> None:
    """Print where the files are, one on a line."""
    from mnist_fn.shared.config import Config
    from mnist_fn.shared.data.files import find, not_found
    from mnist_fn.shared.errors import InputError

    if Config(dataset=dataset).dataset == "digits":
        raise InputError("digits has no files: it comes with scikit-learn")
    files = find(dataset, data_dir)
    if files is None:
        raise not_found(dataset, data_dir)
    for file in files.paths:
        print(file)


@app.command()
def cache(
    clear: Annotated[bool, option("Remove it.", "--clear")] = False,
    json: options.Json = False,
) -> None:
    """Show how much is kept decompressed in the user's cache, to be read faster; or remove it."""
    from cli.console import show
    from mnist_fn.shared.data.cache import FOLDER, MAX_BYTES, cache_dir, entries
    from mnist_fn.shared.data.cache import clear as clear_cache

    folder = cache_dir() / FOLDER
    cached = entries(folder)
    size = sum(size for _, size, _ in cached)
    if clear:
        clear_cache()
    files = counted(len(cached), "file")
    state = "removed" if clear else f"at most {MAX_BYTES:,} are kept, the oldest go first"
    document = {"folder": str(folder), "files": len(cached), "bytes": size, "removed": clear}
    show(f"{folder}: {files}, {size:,} bytes; {state}", document, json)


def _load(dataset: str, data_dir: Path | None, download: bool) -> None:
    from cli.console import answer, console

    with console.status("starting"):
        from mnist_fn.shared.config import Config
        from mnist_fn.shared.data.datasets import load
        from mnist_fn.shared.data.files import TORCHVISION
        from mnist_fn.shared.runs.progress import print_notes

        loaded = load(Config(dataset=dataset).dataset, data_dir, download)
    known = "as it should be" if dataset in TORCHVISION else "read whole"
    answer().print(
        f"{loaded.name}: {len(loaded.train):,} train and {len(loaded.test):,} test images of "
        f"{'x'.join(map(str, loaded.train.images.shape[1:]))}, "
        f"{loaded.classes} classes, content {known} (SHA-256 {loaded.sha256[:16]})"
    )
    print_notes(loaded, console)
