"""`mnist-fn predict`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options
from cli.options import option
from cli.output import fail
from cli.suggesting import check_is_run
from mnist_fn.shared.config import INKS
from mnist_fn.shared.errors import InputError, in_shell, one_line

if TYPE_CHECKING:
    from mnist_fn.shared.pictures.reading import DigitReading, PreparedDigits

IN_FULL = 3  # digits that get a bar for each class; of more, the best two classes
MAX_BARS = 12  # classes that get one, the likeliest


def command(
    run: options.RunPath,
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    single_digit: Annotated[
        bool, option("Take all that is in an image for one digit.", "--single-digit")
    ] = False,
    ink: Annotated[
        str, option("Whether it is dark or light on its ground. auto: each picture tells.")
    ] = "auto",
    save_crops: Annotated[
        Path | None,
        option("Write each digit as the model gets it: a .png file, or a folder for several."),
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
    from cli.console import answer, console
    from cli.output import print_json

    with console.status("starting"):
        import numpy as np

        from mnist_fn.shared.pictures.preparation import SIDE
        from mnist_fn.shared.pictures.reading import read_picture, to_readings
        from mnist_fn.shared.runs.folder import RunFolder
        from mnist_fn.shared.runs.prediction import predict_probabilities

        files = _image_files(images)
        outputs = {} if save_crops is None else _outputs(save_crops, files, overwrite)
        folder = RunFolder(run)
        header = folder.read_header()
        data_spec = header.data_spec
        if header.input_dim != SIDE**2:
            raise InputError(
                f"{run}: was trained on pictures of {header.input_dim:,} pixels; a photo is "
                f"read by a run on {SIDE} × {SIDE}, such as MNIST's"
            )
        weights = folder.read_state(header).params
        if ink not in INKS:
            raise InputError("ink", ink, INKS)
        data_spec.pose(np.zeros((0, SIDE, SIDE), np.uint8))  # refused before an image is read
        thing = data_spec.thing
        failed: list[dict[str, str]] = []
        prepared: dict[Path, PreparedDigits] = {}
        readings: list[DigitReading] = []
        for path in files:
            try:
                digits = read_picture(path, single=single_digit, ink=ink, thing=thing)
            except InputError as error:
                failed.append({"image": str(path), "error": in_shell(error)})
                fail(error)
                continue
            probabilities = predict_probabilities(weights, data_spec.pose(digits.pictures))
            readings += to_readings(str(path), digits, probabilities, data_spec.names)
            prepared[path] = digits
            notes = list(digits.notes)
            if (count := len(digits.pictures)) > 1:
                notes.append(f"{count} {thing}s, read from left to right; --single-digit reads one")
            for note in notes:
                console.print(f"{one_line(str(path))}: {note}")
    if not prepared:
        raise typer.Exit(2)
    if json:
        notes_of: list[dict[str, str]] = []
        for path, digits in prepared.items():
            notes_of += [{"image": str(path), "note": note} for note in digits.notes]
        document = {
            "run": str(run),
            "predictions": [reading.document() for reading in readings],
            "notes": notes_of,
            "failed": failed,
        }
        print_json(document)
    _print(readings, answer(json))
    if save_crops is not None:
        from mnist_fn.shared.pictures.preparation import panels
        from mnist_fn.shared.storage import made_folder, write_atomically

        with made_folder(next(iter(outputs.values())).parent):
            for path, digits in prepared.items():
                write_atomically(outputs[path], panels(digits.pictures))
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


def _image_files(images: list[Path]) -> list[Path]:
    """The files that were given, once each, and those in the folders that were."""
    from mnist_fn.shared.pictures.image_files import SUFFIXES

    files: dict[Path, None] = {}
    for path in images:
        inside = [path]
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
            if not inside:
                raise InputError(f"{path}: no images in this folder ({', '.join(SUFFIXES)})")
        files |= dict.fromkeys(inside)
    return list(files)


def _outputs(crops: Path, files: list[Path], overwrite: bool) -> dict[Path, Path]:
    """Where each image's digits go: the file `crops`, or one in that folder under its name.

    Raises:
        InputError: one file for several images, or one of another format, which would be made a
            folder of that name; an image that is read, or another's file, would be lost.
    """
    from mnist_fn.shared.pictures.image_files import SUFFIXES
    from mnist_fn.shared.storage import check_output

    suffix = crops.suffix.lower()
    if suffix == ".png":
        if len(files) > 1:
            raise InputError(
                f"--save-crops {crops}: one file for {len(files)} images; give a folder"
            )
        outputs = {files[0]: crops}
    elif suffix in SUFFIXES and not crops.is_dir():
        raise InputError(f"--save-crops {crops}: must end with .png, or be a folder")
    else:
        outputs = _in_folder(crops, files)
    images = {file.resolve() for file in files}
    for output in outputs.values():
        if output.resolve() in images:
            raise InputError(
                f"--save-crops {crops}: would replace the image {output}; give a new folder"
            )
        check_output(output, overwrite=overwrite)
    return outputs


def _in_folder(folder: Path, files: list[Path]) -> dict[Path, Path]:
    """A file for each image: its stem if no other has it, else its name, numbered if need be."""
    stems, names = [path.stem for path in files], [path.name for path in files]
    outputs: dict[Path, Path] = {}
    for number, path in enumerate(files, 1):
        name = path.name if names.count(path.name) == 1 else f"{path.name}-{number}"
        if stems.count(path.stem) == 1:
            name = path.stem
        outputs[path] = folder / f"{name}.png"
    return outputs


def _print(readings: "list[DigitReading]", console: Any) -> None:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    for reading in readings:
        if reading.count > 1 and reading.index == 1:
            labels = [digit.label for digit in readings if digit.image == reading.image]
            text = Text(f"{one_line(reading.image)}: ")
            console.print(text.append(" ".join(labels), style="bold"), soft_wrap=True)
        console.print(_line(reading), soft_wrap=True)
        if len(readings) > IN_FULL:
            continue
        table = Table.grid(padding=(0, 1))
        for i in sorted(reading.ranking[:MAX_BARS]):
            share = reading.probabilities[i]
            style = "bold" if i == reading.class_index else "dim"
            bar = ProgressBar(1, share, 40, complete_style=style, finished_style=style)
            table.add_row(f"  {reading.class_names[i]}", bar, Text(f"{share:.2%}", style=style))
        table.columns[-1].justify = "right"
        console.print(table)


def _line(reading: "DigitReading") -> Any:
    from rich.text import Text

    line = Text(f"{one_line(reading.image)}: " if reading.count == 1 else f"  {reading.index}. ")
    line.append(reading.label, style="bold")
    shares: list[str] = []
    for i in reading.ranking[:2]:
        name = f"then {reading.class_names[i]} " if shares else ""
        shares.append(f"{name}{reading.probabilities[i]:.1%}")
    line.append(f" ({', '.join(shares)})")
    if reading.warning:
        line.append(f", {reading.warning}")
    return line
