"""Connected pieces of ink: their boxes, how thick their strokes are, and how they lie together."""

from dataclasses import dataclass

import numpy as np

FAINTEST = 0.08  # share of light missing: what has less is a blank page
MARGIN = 0.15  # of each side of the picture: what is further in lies in its middle


@dataclass(frozen=True)
class Piece:
    """Connected ink, or the box around several: rows and columns, ends excluded."""

    label: int
    top: int
    bottom: int
    left: int
    right: int
    area: int  # pixels
    stroke: float = 0.0  # how thick its strokes are, in pixels
    middle: float = 0.0  # share of its pixels that lie in the picture's middle
    corners: float = 0.0  # and in its corners

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

    @property
    def solidity(self) -> float:
        """Share of the box that is ink."""
        return self.area / (self.height * self.width)

    def holds(self, piece: "Piece") -> bool:
        """Whether the piece lies in this one's box."""
        return (
            self.top <= piece.top
            and self.left <= piece.left
            and self.bottom >= piece.bottom
            and self.right >= piece.right
        )


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
    margins = [round(MARGIN * side) for side in ink.shape]
    is_outer = [_within(side, margin) for side, margin in zip(ink.shape, margins, strict=True)]
    inner, outer = labels[np.ix_(*(~part for part in is_outer))], labels[np.ix_(*is_outer)]
    middles = np.bincount(inner.ravel(), minlength=length) / areas
    corners = np.bincount(outer.ravel(), minlength=length) / areas
    pieces = []
    for i, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        if strong[i]:
            box = (rows.start, rows.stop, columns.start, columns.stop)
            stroke = max(1.0, float(strokes[i]))
            shape = (int(areas[i]), stroke, float(middles[i]), float(corners[i]))
            pieces.append(Piece(i, *box, *shape))
    return labels, sorted(pieces, key=lambda piece: -piece.size)


def distances_to_paper(ink: np.ndarray) -> np.ndarray:
    """How far each pixel of ink is from paper, in pixels, 0 on paper; ink goes on at the sides."""
    from scipy import ndimage

    padded = np.pad(ink, 1, mode="edge")
    return ndimage.distance_transform_cdt(padded)[1:-1, 1:-1]  # pyright: ignore


def _within(side: int, margin: int) -> np.ndarray:
    """Which of a side's pixels lie within a margin of either end, bool [side]."""
    place = np.arange(side)
    return (place < margin) | (place >= side - margin)


def otsu_threshold(values: np.ndarray) -> float:
    """Threshold between two kinds of values (Otsu 1979, IEEE Trans. SMC 9:62)."""
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


def sides_reached(piece: Piece, shape: tuple[int, int], within: int = 0) -> list[bool]:
    """Which of the picture's sides it reaches but for `within` pixels: top, bottom, left, right."""
    height, width = shape
    return [
        piece.top <= within,
        piece.bottom >= height - within,
        piece.left <= within,
        piece.right >= width - within,
    ]


def bounding_box(pieces: list[Piece]) -> Piece:
    """The box around all of them."""
    area = sum(piece.area for piece in pieces)
    return Piece(
        0,
        min(piece.top for piece in pieces),
        max(piece.bottom for piece in pieces),
        min(piece.left for piece in pieces),
        max(piece.right for piece in pieces),
        area,
        sum(piece.stroke * piece.area for piece in pieces) / area,
        sum(piece.middle * piece.area for piece in pieces) / area,
        sum(piece.corners * piece.area for piece in pieces) / area,
    )


def gap(group: list[Piece], rival: list[Piece]) -> float:
    """How far the nearest boxes of two groups are apart, in pixels."""
    return float(gaps(group, rival).min())


def gaps(pieces: list[Piece], rivals: list[Piece]) -> np.ndarray:
    """How far boxes are apart, in pixels, float [pieces, rivals]."""
    top, bottom, left, right = boxes(pieces).T[:, :, np.newaxis]
    tops, bottoms, lefts, rights = boxes(rivals).T
    across = np.maximum(left, lefts) - np.minimum(right, rights)
    down = np.maximum(top, tops) - np.minimum(bottom, bottoms)
    return np.hypot(np.maximum(across, 0), np.maximum(down, 0))


def boxes(pieces: list[Piece]) -> np.ndarray:
    """Top, bottom, left, right of each piece, int [n, 4]."""
    return np.array([(piece.top, piece.bottom, piece.left, piece.right) for piece in pieces])


def contained(pieces: list[Piece], box: Piece) -> np.ndarray:
    """Which of the pieces lie in a box, bool [n]."""
    top, bottom, left, right = boxes(pieces).T
    return (top >= box.top) & (bottom <= box.bottom) & (left >= box.left) & (right <= box.right)
