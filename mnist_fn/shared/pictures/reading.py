"""What a model reads in a picture: what `mnist-fn predict` and `mnist_fn.read_digits` do.

A picture's digits are found and prepared; the model gives each class a probability; a reading that
may be wrong is marked as of low confidence.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.pictures.illumination import colour_contrast
from mnist_fn.shared.pictures.image_files import Picture, from_pillow, read_image
from mnist_fn.shared.pictures.preparation import is_wide
from mnist_fn.shared.pictures.segmentation import PreparedDigits, find_digits

CONFIDENT = 0.95  # of probability: a reading with less is of low confidence
UNSURE = "unsure: it may be another one, or none"
POSSIBLY_TWO = "or two that touch, which are read as one"  # of one that is wider than tall
LEFT_OUT = "unsure: something as large was left out of the picture"
MANY = 24  # digits: of more, most must be read with confidence, or it is a text


@dataclass(frozen=True)
class DigitReading:
    """One digit of a picture, read by a model."""

    image: str  # the file
    index: int  # from the left, 1 is the first
    count: int  # digits in its picture
    class_names: tuple[str, ...]
    probabilities: np.ndarray  # float64 [classes]
    doubtful: bool  # whether something as large was left out of the picture
    is_wide: bool  # whether it is wider than tall

    @property
    def class_index(self) -> int:
        """The likeliest class."""
        return int(self.probabilities.argmax())

    @property
    def label(self) -> str:
        """The likeliest class's name."""
        return self.class_names[self.class_index]

    @property
    def low_confidence(self) -> bool:
        """Whether it may be wrong."""
        return self.doubtful or bool(self.probabilities.max() < CONFIDENT)

    @property
    def possibly_two(self) -> bool:
        """Whether it may be two digits that touch."""
        return self.is_wide and bool(self.probabilities.max() < CONFIDENT)

    @property
    def ranking(self) -> list[int]:
        """The classes, the likeliest first."""
        return (-self.probabilities).argsort(kind="stable").tolist()

    @property
    def warning(self) -> str:
        """Why it may be wrong, in words; empty where it is read with confidence."""
        if self.possibly_two:
            return f"{UNSURE}, {POSSIBLY_TWO}"
        if self.probabilities.max() < CONFIDENT:
            return UNSURE
        return LEFT_OUT if self.doubtful else ""

    def document(self) -> dict[str, Any]:
        """Return what `mnist-fn predict --json` prints of it."""
        return {
            "image": self.image,
            "index": self.index,
            "count": self.count,
            "class_index": self.class_index,
            "label": self.label,
            "low_confidence": self.low_confidence,
            "possibly_two": self.possibly_two,
            "probabilities": self.probabilities.tolist(),
        }


def read_picture(
    source: Any, *, single: bool = False, ink: str = "auto", thing: str = "digit"
) -> PreparedDigits:
    """Find the digits in a picture and prepare each.

    Args:
        source: an image file's path, or an image of Pillow.
        single: all that is found is one digit.
        ink: whether it is "light" or "dark" on its ground; "auto" tells it from the picture.
        thing: what a digit is called in the errors; see `DataSpec.thing`.

    Raises:
        InputError: no image, a damaged or too large one, or nothing like a digit in it.
    """
    if isinstance(source, (str, Path)):
        name, image = f"{source}: ", read_image(Path(source))
    elif hasattr(source, "convert"):
        name, image = "", from_pillow(source.copy())
    else:
        raise InputError(
            f"a path or an image of Pillow is expected, not a {type(source).__name__}; "
            "arrays of prepared pictures go to run.predict(images)"
        )
    try:
        digits, notes = _find_by_luma_or_colour(image, single, ink, thing)
    except ValueError as error:
        raise InputError(f"{name}{error}; give an image of one {thing} or a few") from error
    return replace(digits, notes=image.notes + notes + digits.notes)


def _find_by_luma_or_colour(
    image: Picture, single: bool, ink: str, thing: str
) -> tuple[PreparedDigits, list[str]]:
    """Find the digits; a note says where they differ from the paper in colour only."""
    try:
        return find_digits(image.grey, single=single, polarity=ink, thing=thing), []
    except ValueError:
        levels = colour_contrast(image.colours)
        if levels is None:
            raise
        digits = find_digits(levels, single=single, thing=thing)
        return digits, ["its ink is as bright as its paper; colour separates the two"]


def to_readings(
    image: str, digits: PreparedDigits, probabilities: np.ndarray, class_names: tuple[str, ...]
) -> list[DigitReading]:
    """Return what a model reads in a picture, a reading for each digit.

    Args:
        image: its file, "" if it has none.
        digits: in it.
        probabilities: of `digits.pictures`, [n, classes].
        class_names: in the order of the classes.

    Raises:
        InputError: many marks, of which few are read with confidence: it is a text.
    """
    count = len(digits.pictures)
    readings: list[DigitReading] = []
    for index, picture in enumerate(digits.pictures):
        row, wide = probabilities[index], is_wide(picture)
        reading = DigitReading(image, index + 1, count, class_names, row, digits.doubtful, wide)
        readings.append(reading)
    unsure = [reading for reading in readings if reading.low_confidence]
    if count > MANY and len(unsure) > 0.5 * count:
        name = f"{image}: " if image else ""
        raise InputError(f"{name}a text, a pattern or noise: few of its marks are digits")
    return readings
