"""`mnist_fn.read_digits`: the digits of a photo, a scan or a drawing, read by a trained run."""

from pathlib import Path
from typing import Any

from mnist_fn.shared.pictures.reading import DigitReading, read_picture, to_readings
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
    data_spec = trained.data_spec
    name = str(source) if isinstance(source, (str, Path)) else ""
    digits = read_picture(source, single=single_digit, ink=ink, thing=data_spec.thing)
    probabilities = trained.predict_proba(data_spec.pose(digits.pictures))
    return to_readings(name, digits, probabilities, data_spec.names)
