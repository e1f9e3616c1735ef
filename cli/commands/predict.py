"""`mnist-fn predict`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options
from mnist_fn.shared.errors import InputError, one_line

if TYPE_CHECKING:
    import numpy as np

IN_FULL = 3  # images whose every digit gets a bar; of more, the best two digits


def command(
    run: Annotated[Path, typer.Argument(help="The run's folder.")],
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Image files, or folders of them.")
    ],
    backend: Annotated[
        str | None,
        typer.Option(help="Compute on this backend. Default: the run's own.", show_default=False),
    ] = None,
    show: Annotated[
        Path | None,
        typer.Option(
            help="Write the picture as the model sees it: a .png file, or a folder for several.",
            show_default=False,
        ),
    ] = None,
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Say which digit is in an image, with each digit's probability.

    Any size and colour, light on dark or dark on light, transparent or not: the digit is cut out,
    scaled and centred the way MNIST was. What can't be read is said, the rest goes on (exit 2).
    """
    import numpy as np

    from cli.output import print_json
    from mnist_fn.shared.evaluation import log_probabilities
    from mnist_fn.shared.runs.trainer import predict

    files = _files(images)
    if show is not None and show.suffix.lower() == ".png" and len(files) > 1:
        raise InputError(f"--show {show}: one file for {len(files)} images; give a folder")
    pictures, failed = _read(files)
    if not pictures:
        raise typer.Exit(2)
    name, logits = predict(run, np.stack(list(pictures.values())), backend=backend, device=device)
    found = dict(zip(pictures, np.exp(log_probabilities(logits)), strict=True))
    if show is not None:
        _write(pictures, show)
    _print(found)
    if json:
        print_json(
            {
                "run": str(run),
                "backend": name,
                "predictions": [
                    {
                        "image": str(path),
                        "digit": int(probabilities.argmax()),
                        "probabilities": probabilities.tolist(),
                    }
                    for path, probabilities in found.items()
                ],
                "failed": [{"image": str(path), "error": error} for path, error in failed.items()],
            }
        )
    if failed:
        raise typer.Exit(2)


def _files(images: list[Path]) -> list[Path]:
    """The files that were named, once each, and those in the folders that were."""
    from mnist_fn.shared.data.picture import SUFFIXES

    files: dict[Path, None] = {}
    for path in images:
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
            if not inside:
                raise InputError(f"{path}: no images in this folder ({', '.join(SUFFIXES)})")
            files |= dict.fromkeys(inside)
        else:
            files[path] = None
    return list(files)


def _read(files: list[Path]) -> "tuple[dict[Path, np.ndarray], dict[Path, str]]":
    """Prepared pictures [28, 28], and what was wrong with the files that gave none."""
    from cli.output import fail
    from mnist_fn.shared.data.picture import read_picture

    pictures, failed = {}, {}
    for path in files:
        try:
            pictures[path] = read_picture(path)
        except InputError as error:
            failed[path] = str(error)
            fail(str(error))
    return pictures, failed


def _write(pictures: "dict[Path, np.ndarray]", show: Path) -> None:
    """To the file `show`, or to a folder under each image's name."""
    from mnist_fn.shared.data.picture import to_png
    from mnist_fn.shared.storage import make_folder, write_atomically

    if show.suffix.lower() == ".png":
        (picture,) = pictures.values()
        write_atomically(show, to_png(picture))
        return
    names = [path.stem for path in pictures]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"--show {show}: two images are named {twice[0]}; show them one by one")
    make_folder(show)
    for name, picture in zip(names, pictures.values(), strict=True):
        write_atomically(show / f"{name}.png", to_png(picture))


def _print(found: "dict[Path, Any]") -> None:
    from rich.table import Table
    from rich.text import Text

    from cli.console import console

    for path, probabilities in found.items():
        order = [int(digit) for digit in (-probabilities).argsort(kind="stable")]
        best, second = ((digit, f"{probabilities[digit]:.1%}") for digit in order[:2])
        line = (
            Text(f"{one_line(str(path))}: ")
            .append(f"{best[0]}", style="bold")
            .append(f" ({best[1]}")
        )
        console.print(line.append(f", then {second[0]} {second[1]})"), soft_wrap=True)
        if len(found) <= IN_FULL:
            table = Table.grid(padding=(0, 1))
            for digit, share in enumerate(probabilities):
                style = "bold" if digit == order[0] else "dim"
                table.add_row(f"  {digit}", _bar(share, style), Text(f"{share:.2%}", style=style))
            table.columns[-1].justify = "right"
            console.print(table)


def _bar(share: float, style: str) -> Any:
    from rich.progress_bar import ProgressBar

    return ProgressBar(1, share, 40, complete_style=style, finished_style=style)
