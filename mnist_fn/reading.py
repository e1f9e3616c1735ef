"""`mnist_fn.read_digits`: the digits of a photo, a scan or a drawing, read by a trained run."""

from pathlib import Path
from typing import Any

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.evaluation import forward
from mnist_fn.shared.pictures.reading import (
    DigitReading,
    all_pictures,
    is_text,
    read_picture,
    to_readings,
)
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.runs.trainer import load_run


def read_digits(
    source: Any, run: Run | Path | str, *, single_digit: bool = False, ink: str = "auto"
) -> list[DigitReading]:
    """Read the digits in a picture, as `mnist-fn predict` does.

    Args:
        source: an image file's path, or an image of Pillow: of any size and colour.
        run: a trained run on images of 28 x 28, or its folder.
        single_digit: take all that is in the picture for one digit.
        ink: whether it is "light" or "dark" on its ground; "auto" tells it from the picture.

    Returns:
        The digits from left to right, line by line. Each has its `label`, `class_index`,
        `probabilities`, and `low_confidence`, which says that it may be wrong.

    Raises:
        InputError: no image, nothing like a digit in it, or a run on images of another size.
    """
    trained = run if isinstance(run, Run) else load_run(run)
    if not trained.weights:
        raise InputError("this run's weights are not in memory; load it with load_run(run.path)")
    form = trained.form
    name = str(source) if isinstance(source, (str, Path)) else ""
    images = {name: read_picture(source, single=single_digit, ink=ink, thing=form.thing)}
    pictures = form.pose(all_pictures(images))
    pixels = pictures.reshape(len(pictures), -1) / 255
    input_size = trained.weights["layer1"]["kernel"].shape[0]
    if pixels.shape[1] != input_size:
        raise InputError(
            f"the run was trained on images of {input_size} pixels, digits of pictures have "
            f"{pixels.shape[1]}; give a run on images of that size"
        )
    readings = to_readings(images, forward(trained.weights, pixels), form.names)
    if is_text(readings):
        raise InputError(f"{name}: a text, a pattern or noise: few of its marks are digits")
    return readings
