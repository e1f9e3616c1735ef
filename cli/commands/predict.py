"""`mnist-fn predict`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options
from mnist_fn.shared.config import INKS
from mnist_fn.shared.errors import InputError, one_line

if TYPE_CHECKING:
    import numpy as np

    from mnist_fn.shared.data.form import Form
    from mnist_fn.shared.pictures.preparation import Seen

IN_FULL = 3  # digits that get a bar for each class; of more, the best two classes
BARS = 12  # classes that get one, the likeliest


@dataclass(frozen=True)
class Read:
    """One digit of an image, read."""

    image: Path
    place: int  # from the left, 1 is the first
    of: int  # digits in its image
    names: tuple[str, ...]  # of the classes
    probabilities: "np.ndarray"  # [classes]
    unsure: bool
    wide: bool  # than it is tall

    @property
    def may_be_two(self) -> bool:
        """Digits that touch."""
        return self.unsure and self.wide

    @property
    def order(self) -> list[int]:
        """The classes, the likeliest first."""
        return [int(label) for label in (-self.probabilities).argsort(kind="stable")]

    def document(self) -> dict[str, Any]:
        """As --json has it."""
        return {
            "image": str(self.image),
            "place": self.place,
            "of": self.of,
            "digit": self.order[0],
            "name": self.names[self.order[0]],
            "unsure": self.unsure,
            "may_be_two": self.may_be_two,
            "probabilities": self.probabilities.tolist(),
        }


def command(
    run: Annotated[Path, typer.Argument(help="The run's folder.")],
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Image files, or folders of them.")
    ],
    backend: Annotated[
        str | None,
        typer.Option(help="Compute on this backend. Default: the run's own.", show_default=False),
    ] = None,
    single: Annotated[
        bool, typer.Option("--single", help="Take all that is in an image for one digit.")
    ] = False,
    ink: Annotated[
        str,
        typer.Option(help="Whether it is dark or light on its ground. auto: each picture tells."),
    ] = "auto",
    show: Annotated[
        Path | None,
        typer.Option(
            help="Write what the model sees, a panel a digit: a .png file; a folder for several.",
            show_default=False,
        ),
    ] = None,
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Say which digits are in an image, with each digit's probability.

    A photo or a drawing of any size and colour: the digits are found, cut out, scaled and centred
    the way MNIST was, and read from left to right. What can't be read is said, the rest goes on
    (exit 2).
    """
    from cli.console import answer
    from cli.output import print_json
    from mnist_fn.shared.runs.folder import RunFolder

    files = _files(images)
    if show is not None:
        _check_show(show, len(files))
    form = RunFolder(run).read_header().form
    if ink not in INKS:
        raise InputError(f"--ink {ink[:40]!r}: must be one of {', '.join(INKS)}")
    how = {"single": single, "ink": ink}
    seen, failed = _see(files, how, form.thing)
    if not seen:
        raise typer.Exit(2)
    name, found = _read(run, form, seen, backend, device)
    if json:
        print_json(
            {
                "run": str(run),
                "backend": name,
                "predictions": [one.document() for one in found],
                "notes": [
                    {"image": str(path), "note": note}
                    for path, one in seen.items()
                    for note in one.notes
                ],
                "failed": [{"image": str(path), "error": error} for path, error in failed.items()],
            }
        )
    _print(found, answer(json))
    if show is not None:
        _write({path: one.pictures for path, one in seen.items()}, show)
    if failed:
        raise typer.Exit(2)


def _check_show(show: Path, images: int) -> None:
    """InputError for one file of several images, or of another format, which would be made a
    folder of that name.
    """
    from mnist_fn.shared.pictures.preparation import SUFFIXES

    suffix = show.suffix.lower()
    if suffix == ".png" and images > 1:
        raise InputError(f"--show {show}: one file for {images} images; give a folder")
    if suffix in set(SUFFIXES) - {".png"} and not show.is_dir():
        raise InputError(f"--show {show}: must end with .png, or be a folder")


def _files(images: list[Path]) -> list[Path]:
    """The files that were named, once each, and those in the folders that were."""
    from mnist_fn.shared.pictures.preparation import SUFFIXES

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


def _see(
    files: list[Path], how: dict[str, Any], thing: str
) -> "tuple[dict[Path, Seen], dict[Path, str]]":
    """The digits in each file, and what was wrong with the files that gave none."""
    from cli.console import console
    from cli.output import fail
    from mnist_fn.shared.pictures.preparation import read_picture

    seen, failed = {}, {}
    for path in files:
        try:
            seen[path] = read_picture(path, **how, thing=thing)
        except InputError as error:
            failed[path] = str(error)
            fail(str(error))
            continue
        notes = list(seen[path].notes)
        if (count := len(seen[path].pictures)) > 1:
            notes.append(f"{count} {thing}s, read from left to right; --single takes them for one")
        for note in notes:
            console.print(f"{one_line(str(path))}: {note}", soft_wrap=True, markup=False)
    return seen, failed


def _read(
    run: Path, form: "Form", seen: "dict[Path, Seen]", backend: str | None, device: str
) -> tuple[str, list[Read]]:
    """The backend's name and every digit of the images, in their order."""
    import numpy as np

    from mnist_fn.shared.evaluation import log_probabilities
    from mnist_fn.shared.pictures.preparation import UNSURE, is_wide
    from mnist_fn.shared.runs.trainer import predict

    upright = np.concatenate([one.pictures for one in seen.values()])
    name, logits = predict(run, form.pose(upright), backend=backend, device=device)
    places = [
        (path, place + 1, len(one.pictures))
        for path, one in seen.items()
        for place in range(len(one.pictures))
    ]
    return name, [
        Read(*where, form.names, shares, bool(shares.max() < UNSURE), is_wide(picture))
        for where, shares, picture in zip(
            places, np.exp(log_probabilities(logits)), upright, strict=True
        )
    ]


def _write(pictures: "dict[Path, np.ndarray]", show: Path) -> None:
    """To the file `show`, or to a folder under each image's name."""
    from mnist_fn.shared.pictures.preparation import panels
    from mnist_fn.shared.storage import made_folder, write_atomically

    alone = show.suffix.lower() == ".png"
    names = [show] if alone else [show / f"{name}.png" for name in _names(list(pictures))]
    with made_folder(show.parent if alone else show):
        for name, one in zip(names, pictures.values(), strict=True):
            write_atomically(name, panels(one))


def _names(paths: list[Path]) -> Iterator[str]:
    """A name for each file: its stem if no other has it, else its name, numbered if need be."""
    stems, names = [path.stem for path in paths], [path.name for path in paths]
    for i, path in enumerate(paths):
        if stems.count(path.stem) == 1:
            yield path.stem
        else:
            yield path.name if names.count(path.name) == 1 else f"{path.name}-{i + 1}"


def _print(found: list[Read], to: Any) -> None:
    from rich.table import Table
    from rich.text import Text

    for one in found:
        if one.of > 1 and one.place == 1:
            row = [each for each in found if each.image == one.image]
            text = Text(f"{one_line(str(one.image))}: ")
            text.append(" ".join(each.names[each.order[0]] for each in row), style="bold")
            to.print(text, soft_wrap=True)
        to.print(_line(one), soft_wrap=True)
        if len(found) <= IN_FULL:
            table = Table.grid(padding=(0, 1))
            for label in sorted(one.order[:BARS]):
                share = one.probabilities[label]
                style = "bold" if label == one.order[0] else "dim"
                text = Text(f"{share:.2%}", style=style)
                table.add_row(f"  {one.names[label]}", _bar(share, style), text)
            table.columns[-1].justify = "right"
            to.print(table)


def _line(one: Read) -> Any:
    from rich.text import Text

    from mnist_fn.shared.pictures.preparation import DOUBT, TOUCH

    best, *others = (
        (one.names[label], f"{one.probabilities[label]:.1%}") for label in one.order[:2]
    )
    line = Text(f"{one_line(str(one.image))}: " if one.of == 1 else f"  {one.place}. ")
    line.append(best[0], style="bold").append(f" ({best[1]}")
    for other in others:
        line.append(f", then {other[0]} {other[1]}")
    line.append(")")
    if one.unsure:
        line.append(f", {DOUBT}" + (f", {TOUCH}" if one.may_be_two else ""))
    return line


def _bar(share: float, style: str) -> Any:
    from rich.progress_bar import ProgressBar

    return ProgressBar(1, share, 40, complete_style=style, finished_style=style)
