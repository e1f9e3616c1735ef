"""Connected pieces of ink: their boxes, how thick their strokes are, and how they lie together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FAINTEST = 0.08  # share of light missing: what has less is a blank page
MARGIN = 0.15  # of each side of the picture: what is further in lies in its middle


@dataclass(frozen=True)
class Box:
    """Rows and columns of a picture, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    @property
    def size(self) -> int:
        """The longer side."""
        return max(self.height, self.width)

    def holds(self, box: "Box") -> bool:
        """Return whether another box lies in this one."""
        rows = self.top <= box.top and box.bottom <= self.bottom
        return rows and self.left <= box.left and box.right <= self.right

    def sides_reached(self, shape: tuple[int, int], within: int = 0) -> list[bool]:
        """Return for each side of the picture whether the box is within so many pixels of it."""
        height, width = shape
        return [
            self.top <= within,
            self.bottom >= height - within,
            self.left <= within,
            self.right >= width - within,
        ]


@dataclass(frozen=True)
class Piece(Box):
    """Connected ink."""

    label: int
    area: int  # pixels
    stroke: float  # how thick its strokes are, in pixels
    middle: float  # share of its pixels that lie in the picture's middle
    corners: float  # and in its corners

    @property
    def solidity(self) -> float:
        """Share of the box that is ink."""
        return self.area / (self.height * self.width)


def connected_pieces(ink: np.ndarray) -> tuple[np.ndarray, list[Piece]]:
    """Find the connected pieces of ink.

    A piece begins where ink is above Otsu's threshold and goes on down to half of it.

    Args:
        ink: [rows, columns], 0 to 1.

    Returns:
        int32 [rows, columns] with the label of each pixel's piece, 0 for paper; and the pieces,
        largest first.
    """
    from scipy import ndimage

    labels = np.zeros(ink.shape, np.int32)
    if ink.max() < FAINTEST:
        return labels, []
    high = max(otsu_threshold(ink[ink > FAINTEST / 2]), FAINTEST)
    count = int(ndimage.label(ink > 0.5 * high, np.ones((3, 3)), output=labels))  # pyright: ignore
    depths = distances_to_paper(labels > 0)
    flat, length = labels.ravel(), count + 1
    strong = np.bincount(labels[ink > high], minlength=length)
    areas = np.maximum(np.bincount(flat, minlength=length), 1)
    # across a stroke of w pixels the distances to its sides have a mean of w / 4 + 1 / 2
    strokes = 4 * np.bincount(flat, depths.ravel(), minlength=length) / areas - 2
    rows, columns = _is_outer(ink.shape[0]), _is_outer(ink.shape[1])
    middles = np.bincount(labels[np.ix_(~rows, ~columns)].ravel(), minlength=length) / areas
    corners = np.bincount(labels[np.ix_(rows, columns)].ravel(), minlength=length) / areas
    pieces = []
    for i, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        if strong[i]:
            piece = Piece(
                *(rows.start, rows.stop, columns.start, columns.stop),
                label=i,
                area=int(areas[i]),
                stroke=max(1.0, float(strokes[i])),
                middle=float(middles[i]),
                corners=float(corners[i]),
            )
            pieces.append(piece)
    return labels, sorted(pieces, key=lambda piece: -piece.size)


def distances_to_paper(ink: np.ndarray) -> np.ndarray:
    """Return how far each pixel of ink is from paper, in pixels. Ink goes on beyond the sides."""
    from scipy import ndimage

    padded = np.pad(ink, 1, mode="edge")
    return ndimage.distance_transform_cdt(padded)[1:-1, 1:-1]  # pyright: ignore


def _is_outer(side: int) -> np.ndarray:
    """Return which of a side's pixels lie within the MARGIN of either end, bool [side]."""
    index, margin = np.arange(side), round(MARGIN * side)
    return (index < margin) | (index >= side - margin)


def otsu_threshold(values: np.ndarray) -> float:
    """Return the threshold between two kinds of values (Otsu 1979, IEEE Trans. SMC 9:62)."""
    if not len(values):
        return 0.0
    counts, edges = np.histogram(values, 128)
    middles = (edges[:-1] + edges[1:]) / 2
    lower = np.cumsum(counts)
    upper = lower[-1] - lower
    sums = np.cumsum(counts * middles)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = lower * upper * (sums / lower - (sums[-1] - sums) / upper) ** 2
    return float(edges[1:][np.nanargmax(np.nan_to_num(between))])


def bounding_box(pieces: Sequence[Box]) -> Box:
    """Return the box around some pieces."""
    top, bottom, left, right = boxes(pieces).T
    return Box(int(top.min()), int(bottom.max()), int(left.min()), int(right.max()))


def gap(group: Sequence[Box], rival: Sequence[Box]) -> float:
    """Return how far the nearest boxes of two groups are apart, in pixels."""
    return float(gaps(group, rival).min())


def gaps(pieces: Sequence[Box], rivals: Sequence[Box]) -> np.ndarray:
    """Return how far boxes are apart, in pixels, float [pieces, rivals]."""
    top, bottom, left, right = boxes(pieces).T[:, :, np.newaxis]
    tops, bottoms, lefts, rights = boxes(rivals).T
    across = np.maximum(left, lefts) - np.minimum(right, rights)
    down = np.maximum(top, tops) - np.minimum(bottom, bottoms)
    return np.hypot(np.maximum(across, 0), np.maximum(down, 0))


def mask_of(pieces: Sequence[Piece], labels: np.ndarray) -> np.ndarray:
    """Return which pixels belong to some pieces, by the label of each pixel's piece."""
    return np.isin(labels, [piece.label for piece in pieces])


def boxes(pieces: Sequence[Box]) -> np.ndarray:
    """Return top, bottom, left and right of each piece, int [n, 4]."""
    return np.array([(piece.top, piece.bottom, piece.left, piece.right) for piece in pieces])


def contained(pieces: Sequence[Box], box: Box) -> np.ndarray:
    """Return which of the pieces lie in a box, bool [n]."""
    top, bottom, left, right = boxes(pieces).T
    return (top >= box.top) & (bottom <= box.bottom) & (left >= box.left) & (right <= box.right)
