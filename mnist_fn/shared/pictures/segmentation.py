"""The digits in a picture, each cut out of it as ink: from a phone's photo as from a drawing.

Ink comes from `illumination`, without the printed lines that `lines` takes out. Its connected
pieces (`pieces`) are judged by size and place (`clutter`) and grouped to digits (`grouping`).
"""

from dataclasses import dataclass, field, replace

import numpy as np

from mnist_fn.shared.pictures.clutter import (
    Clutter,
    find_dust,
    inner_picture,
    take_out_clutter,
)
from mnist_fn.shared.pictures.grouping import MAX_PIECES, group_digits, in_reading_order
from mnist_fn.shared.pictures.illumination import ink_of
from mnist_fn.shared.pictures.lines import without_lines
from mnist_fn.shared.pictures.pieces import (
    FAINTEST,
    Piece,
    bounding_box,
    connected_pieces,
    mask_of,
)
from mnist_fn.shared.pictures.preparation import prepare

LINE = 0.012  # share of light that a printed line takes at least
MAX_ROUNDS = 20  # of taking off edges and frames, before what is left is read as it is
AS_LARGE = 0.8  # of a digit's size: what is left out may have been one
TURNED = 0.07  # slope of a line of digits from which they are turned back: 4 degrees


@dataclass(frozen=True)
class PreparedDigits:
    """The digits of a picture as a network sees them, from left to right, row by row."""

    pictures: np.ndarray = field(repr=False)  # uint8 [n, 28, 28], light on black
    doubtful: bool  # whether something as large as a digit was left out that may be one
    notes: list[str]  # what was left out of the picture, and why


def find_digits(
    grey: np.ndarray, *, single: bool = False, polarity: str = "auto", thing: str = "digit"
) -> PreparedDigits:
    """Find the digits in a picture and prepare each.

    Args:
        grey: brightness [rows, columns], 0 to 255; light on dark or dark on light.
        single: all that is found is one digit.
        polarity: see `illumination.ink_of`.
        thing: what a digit is called in the errors.

    Raises:
        ValueError: nothing to see, or nothing like a digit; says which.
    """
    notes = []
    inner = inner_picture(grey.astype(np.float32) / 255)
    if inner is not None:
        grey = grey[inner]
        notes = ["the picture within the page was read, the rest was left out"]
    ink = ink_of(grey, polarity)
    if ink.max() < FAINTEST:
        raise ValueError("nothing to see in it, it is all of one brightness")
    bare, lines = without_lines(ink, LINE)
    # a 1 or two may be taken for lines themselves
    for cleaned in (bare, ink) if 0 < lines <= 2 else (bare,):
        clutter = Clutter()
        labels, pieces = _without_clutter(cleaned, clutter)
        if pieces:
            digits = _cut_digits(cleaned, labels, pieces, clutter, single, thing)
            return replace(digits, notes=[*notes, *digits.notes])
    raise ValueError(f"nothing like a {thing} in it")


def _without_clutter(ink: np.ndarray, clutter: Clutter) -> tuple[np.ndarray, list[Piece]]:
    """Find the pieces that may be of a digit, largest first.

    Each time edges and frames are taken off, the threshold is found again without them.
    """
    ink = ink.copy()
    labels, pieces = connected_pieces(ink)
    for _round in range(MAX_ROUNDS):
        removed = take_out_clutter(pieces[:MAX_PIECES], ink.shape, clutter)
        if not removed:
            break
        ink[_near(mask_of(removed, labels), 2)] = 0
        labels, pieces = connected_pieces(ink)
    dust = find_dust(pieces, ink.shape)
    clutter.marks += dust  # the smallest: pieces are sorted
    return labels, pieces[: len(pieces) - len(dust)]


def _cut_digits(
    ink: np.ndarray,
    labels: np.ndarray,
    pieces: list[Piece],
    clutter: Clutter,
    single: bool,
    thing: str,
) -> PreparedDigits:
    """Group pieces to digits, cut each out and prepare it."""
    if single:
        digits, slope = [pieces], 0.0
    else:
        digits, strays = group_digits(labels, pieces, thing)
        clutter.marks += strays
        digits, slope = in_reading_order(digits)
    pictures, sizes, is_cut_off = [], [], False
    for digit in digits:
        box = bounding_box(digit)
        sizes.append(box.size)
        is_cut_off = is_cut_off or any(box.sides_reached(ink.shape))
        cut = _cut(ink, labels, digit)
        pictures.append(prepare(_turned_back(cut, slope) if abs(slope) > TURNED else cut))
    may_be_digits = clutter.neighbours + clutter.outside + clutter.marks
    largest_left_out = max((piece.size for piece in may_be_digits), default=0)
    notes = clutter.notes()
    if is_cut_off:
        notes.append("it reaches the picture's edge and may be cut off")
    doubtful = bool(largest_left_out > AS_LARGE * np.median(sizes))  # a plain one, for JSON
    return PreparedDigits(np.stack(pictures), doubtful, notes)


def _cut(ink: np.ndarray, labels: np.ndarray, digit: list[Piece]) -> np.ndarray:
    """Cut out a digit's ink with its soft edges, the strokes at one strength."""
    box = bounding_box(digit)
    reach = max(2, round(0.06 * box.size))
    rows = slice(max(0, box.top - reach), box.bottom + reach)
    columns = slice(max(0, box.left - reach), box.right + reach)
    strokes = mask_of(digit, labels[rows, columns])
    cut = np.where(_near(strokes, reach), ink[rows, columns], 0)
    full = float(np.quantile(cut[strokes], 0.75))
    return np.minimum(cut / full, 1)


def _near(mask: np.ndarray, reach: int) -> np.ndarray:
    from scipy import ndimage

    return ndimage.maximum_filter(mask, 2 * reach + 1)


def _turned_back(ink: np.ndarray, slope: float) -> np.ndarray:
    """Turn a digit of a sloping line until the line is level."""
    from scipy import ndimage

    turned = ndimage.rotate(ink, float(np.degrees(np.arctan(slope))), order=1)
    return np.clip(turned, 0, 1)
