"""`mnist-fn predict`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options
from cli.suggesting import check_is_run
from mnist_fn.shared.config import INKS
from mnist_fn.shared.errors import InputError, in_shell, one_line

if TYPE_CHECKING:
    import numpy as np

    from mnist_fn.shared.pictures.reading import DigitReading, PreparedDigits

IN_FULL = 3  # digits that get a bar for each class; of more, the best two classes
MAX_BARS = 12  # classes that get one, the likeliest


def command(
    run: Annotated[Path, typer.Argument(help="The run's folder.")],
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    single_digit: Annotated[
        bool, typer.Option("--single-digit", help="Take all that is in an image for one digit.")
    ] = False,
    ink: Annotated[
        str,
        typer.Option(help="Whether it is dark or light on its ground. auto: each picture tells."),
    ] = "auto",
    save_crops: Annotated[
        Path | None,
        typer.Option(
            help="Write each digit as the model gets it: a .png file, or a folder for several.",
            show_default=False,
        ),
    ] = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Read the digits in an image, with each class's probability.

    A photo or a drawing of any size and colour: the digits are found, cut out, scaled and centred
    the way MNIST was, and read from left to right, line by line. An image that can't be read gets a
    message, and the others are read (then exit 2).
    """
    _check_run(run, images)  # before the imports that take longer
    from cli.console import answer
    from cli.output import print_json
    from mnist_fn.shared.pictures.reading import all_pictures, is_text, to_readings
    from mnist_fn.shared.runs.folder import RunFolder
    from mnist_fn.shared.runs.prediction import predict_probabilities

    files = _image_files(images)
    if save_crops is not None:
        _check_crops(save_crops, files, overwrite)
    folder = RunFolder(run)
    header = folder.read_header()
    weights, data_spec = folder.read_state(header).params, header.data_spec
    if ink not in INKS:
        raise InputError("ink", ink, INKS)
    prepared, failed = _prepare(files, single_digit, ink, data_spec.thing)
    if not prepared:
        raise typer.Exit(2)
    by_name = {str(path): digits for path, digits in prepared.items()}
    probabilities = predict_probabilities(weights, data_spec.pose(all_pictures(by_name)))
    readings = to_readings(by_name, probabilities, data_spec.names)
    for path in list(prepared):
        if is_text([reading for reading in readings if reading.image == str(path)]):
            _fail(failed, path, f"{path}: a text, a pattern or noise: few of its marks are digits")
            readings = [reading for reading in readings if reading.image != str(path)]
            del prepared[path]
    if json:
        print_json(
            {
                "run": str(run),
                "predictions": [reading.document() for reading in readings],
                "notes": [
                    {"image": str(path), "note": note}
                    for path, digits in prepared.items()
                    for note in digits.notes
                ],
                "failed": [{"image": str(path), "error": error} for path, error in failed.items()],
            }
        )
    _print(readings, answer(json))
    if save_crops is not None and prepared:
        outputs = _outputs(save_crops, files)
        _write({outputs[path]: digits.pictures for path, digits in prepared.items()}, save_crops)
    if failed:
        raise typer.Exit(2)


def _check_run(run: Path, images: list[Path]) -> None:
    """InputError where no run is there, or it and an image were given in the other order."""
    if run.is_file():
        from mnist_fn.shared.pictures.image_files import SUFFIXES

        if run.suffix.lower() in SUFFIXES:
            runs = [path for path in images if (path / "run.json").is_file()]
            example = runs[0] if runs else "RUN"
            raise InputError(
                f"{run}: an image, where the run's folder is expected first: "
                f"mnist-fn predict {example} {run}"
            )
    check_is_run(run)


def _check_crops(crops: Path, files: list[Path], overwrite: bool) -> None:
    """InputError for one file of several images, for one of another format, which would be made a
    folder of that name, and for what would be lost: an image that is read, or another's file.
    """
    from mnist_fn.shared.pictures.image_files import SUFFIXES
    from mnist_fn.shared.storage import check_output

    suffix = crops.suffix.lower()
    if suffix == ".png" and len(files) > 1:
        raise InputError(f"--save-crops {crops}: one file for {len(files)} images; give a folder")
    if suffix in set(SUFFIXES) - {".png"} and not crops.is_dir():
        raise InputError(f"--save-crops {crops}: must end with .png, or be a folder")
    images = {file.resolve() for file in files}
    for output in _outputs(crops, files).values():
        if output.resolve() in images:
            raise InputError(
                f"--save-crops {crops}: would replace the image {output}; give a new folder"
            )
        check_output(output, overwrite=overwrite)


def _image_files(images: list[Path]) -> list[Path]:
    """The files that were given, once each, and those in the folders that were."""
    from mnist_fn.shared.pictures.image_files import SUFFIXES

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


def _prepare(
    files: list[Path], single: bool, ink: str, thing: str
) -> "tuple[dict[Path, PreparedDigits], dict[Path, str]]":
    """The digits in each file, and what is wrong with each file that gave none."""
    from cli.console import console
    from mnist_fn.shared.pictures.reading import read_picture

    prepared: dict[Path, PreparedDigits] = {}
    failed: dict[Path, str] = {}
    for path in files:
        try:
            digits = read_picture(path, single=single, ink=ink, thing=thing)
        except InputError as error:
            _fail(failed, path, in_shell(error))
            continue
        prepared[path] = digits
        notes = list(digits.notes)
        if (count := len(digits.pictures)) > 1:
            notes.append(f"{count} {thing}s, read from left to right; --single-digit reads one")
        for note in notes:
            console.print(f"{one_line(str(path))}: {note}", soft_wrap=True, markup=False)
    return prepared, failed


def _fail(failed: dict[Path, str], path: Path, error: str) -> None:
    from cli.output import fail

    failed[path] = error
    fail(error)


def _outputs(crops: Path, files: list[Path]) -> dict[Path, Path]:
    """Where each image's panels go: to the file `crops`, or to a folder under the image's name."""
    if crops.suffix.lower() == ".png":
        return dict.fromkeys(files, crops)
    names = [crops / f"{name}.png" for name in _names(files)]
    return dict(zip(files, names, strict=True))


def _write(pictures: "dict[Path, np.ndarray]", crops: Path) -> None:
    """Write the panels of each file, by its path."""
    from mnist_fn.shared.pictures.preparation import panels
    from mnist_fn.shared.storage import made_folder, write_atomically

    with made_folder(crops.parent if crops.suffix.lower() == ".png" else crops):
        for path, array in pictures.items():
            write_atomically(path, panels(array))


def _names(paths: list[Path]) -> Iterator[str]:
    """A name for each file: its stem if no other has it, else its name, numbered if need be."""
    stems, names = [path.stem for path in paths], [path.name for path in paths]
    for i, path in enumerate(paths):
        if stems.count(path.stem) == 1:
            yield path.stem
        else:
            yield path.name if names.count(path.name) == 1 else f"{path.name}-{i + 1}"


def _print(readings: "list[DigitReading]", console: Any) -> None:
    from rich.table import Table
    from rich.text import Text

    for reading in readings:
        if reading.count > 1 and reading.index == 1:
            labels = [digit.label for digit in readings if digit.image == reading.image]
            text = Text(f"{one_line(reading.image)}: ")
            text.append(" ".join(labels), style="bold")
            console.print(text, soft_wrap=True)
        console.print(_line(reading), soft_wrap=True)
        if len(readings) <= IN_FULL:
            table = Table.grid(padding=(0, 1))
            for i in sorted(reading.ranking[:MAX_BARS]):
                share = reading.probabilities[i]
                style = "bold" if i == reading.class_index else "dim"
                text = Text(f"{share:.2%}", style=style)
                table.add_row(f"  {reading.class_names[i]}", _bar(share, style), text)
            table.columns[-1].justify = "right"
            console.print(table)


def _line(reading: "DigitReading") -> Any:
    from rich.text import Text

    candidates = [
        (reading.class_names[i], f"{reading.probabilities[i]:.1%}") for i in reading.ranking[:2]
    ]
    label, share = candidates[0]
    line = Text(f"{one_line(reading.image)}: " if reading.count == 1 else f"  {reading.index}. ")
    line.append(label, style="bold").append(f" ({share}")
    for runner_up, other_share in candidates[1:]:
        line.append(f", then {runner_up} {other_share}")
    line.append(")")
    if reading.warning:
        line.append(f", {reading.warning}")
    return line


def _bar(share: float, style: str) -> Any:
    from rich.progress_bar import ProgressBar

    return ProgressBar(1, share, 40, complete_style=style, finished_style=style)
