"""The digits in a picture, each cut out of it as ink: from a phone's photo as from a drawing.

Ink comes from illumination.py, without the printed lines that lines.py takes out. Its connected
pieces are judged by size and place, and grouped to digits from left to right.
"""

from dataclasses import dataclass, field

import numpy as np

from mnist_fn.shared.pictures.illumination import ink_of
from mnist_fn.shared.pictures.lines import without_lines

FAINTEST = 0.08  # share of light missing: what has less is a blank page
LINE = 0.012  # share of light that a printed line takes at least
LEFT_OUT = "ink at the picture's edge was left out"
MOST = 24  # digits in a picture; more pieces than this are a texture, a text or noise
MAX_PIECES = 2000  # pieces of ink that are gathered to digits: bounds time and memory
MAX_ROUNDS = 20  # of taking off edges and frames, before what is left is read as it is
LEAST = 0.025  # of the picture's longer side: a smaller digit is a speck
SIZE = 0.45  # of the tallest piece: what is lower is no digit of its own
NEAR = 0.2  # of the tallest piece: strokes of one digit are no further apart
SPECK = 0.08  # of the largest piece: what is smaller is dirt


@dataclass
class Piece:
    """Connected ink: its label, its box (rows and columns, ends excluded), how many pixels."""

    label: int
    top: int
    bottom: int
    left: int
    right: int
    area: int

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

    def holds(self, other: "Piece") -> bool:
        """Whether the other lies in this one's box."""
        return (
            self.top <= other.top
            and self.left <= other.left
            and self.bottom >= other.bottom
            and self.right >= other.right
        )


@dataclass(frozen=True)
class Digits:
    """What was found in a picture, from left to right (rows of them from the top)."""

    inks: list[np.ndarray] = field(repr=False)  # float [rows, columns] each, 0 to 1
    notes: list[str]  # what was left out and why


def find_digits(
    grey: np.ndarray, *, single: bool = False, polarity: str = "auto", thing: str = "digit"
) -> Digits:
    """Find the digits in a picture.

    Args:
        grey: brightness [rows, columns], 0 to 255; light on dark or dark on light.
        single: all that is found is one digit.
        polarity: see `paper.ink_of`.
        thing: what a digit is called in the errors.

    Raises:
        ValueError: nothing to see, or nothing like a digit; says which.
    """
    ink = ink_of(grey, polarity)
    if ink.max() < FAINTEST:
        raise ValueError("nothing to see in it, it is all of one brightness")
    notes: list[str] = []
    bare, lines = without_lines(ink, LINE)
    # a 1 or two may be taken for lines themselves
    for kept in (bare, ink) if 0 < lines <= 2 else (bare,):
        labels, pieces = _pieces(kept, notes)
        if pieces:
            groups = [pieces] if single else _gathered(pieces, thing)
            return Digits([_cut(kept, labels, group) for group in groups], notes)
    raise ValueError(f"nothing like a {thing} in it")


def _pieces(ink: np.ndarray, notes: list[str]) -> tuple[np.ndarray, list[Piece]]:
    """Connected pieces that may be of a digit, largest first; frames and edges are taken off,
    and the threshold found anew without them.
    """
    ink = ink.copy()
    labels, pieces = _connected(ink)
    for _ in range(MAX_ROUNDS):
        away = [piece for piece in pieces if _is_edge(piece, ink.shape)]
        away = away or _cut_off(pieces, ink.shape)
        if away:
            notes[:] = [LEFT_OUT]
        away += _frames(pieces)
        if not away:
            break
        ink[_near(np.isin(labels, [piece.label for piece in away]), 2)] = 0
        labels, pieces = _connected(ink)
    pieces = _worth(pieces, ink.shape)
    if any(any(_touched(piece, ink.shape)) for piece in pieces):
        notes.append("it reaches the picture's edge and may be cut off")
    return labels, pieces


def _connected(ink: np.ndarray) -> tuple[np.ndarray, list[Piece]]:
    """Pieces of ink, largest first, and the pixels of each by its label."""
    from scipy import ndimage

    if ink.max() < FAINTEST:
        return np.zeros(ink.shape, np.int32), []
    high = max(_otsu(ink[ink > FAINTEST / 2]), FAINTEST)
    low = 0.5 * high
    labels = np.zeros(ink.shape, np.int32)
    count = int(ndimage.label(ink > low, np.ones((3, 3)), output=labels))  # pyright: ignore
    strong = np.bincount(labels[ink > high], minlength=count + 1)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    pieces = [
        Piece(i, rows.start, rows.stop, columns.start, columns.stop, int(areas[i]))
        for i, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1)
        if strong[i]
    ]
    return labels, sorted(pieces, key=lambda piece: -piece.size)


def _otsu(values: np.ndarray) -> float:
    """The threshold between two kinds of values (Otsu 1979, IEEE Trans. SMC 9:62)."""
    if not len(values):
        return 0.0
    counts, edges = np.histogram(values, 128)
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * middles)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(edges[1:][np.nanargmax(np.nan_to_num(apart))])


def _touched(piece: Piece, shape: tuple[int, int]) -> list[bool]:
    """Which of the picture's sides it reaches: top, bottom, left, right."""
    height, width = shape
    return [piece.top <= 1, piece.bottom >= height - 1, piece.left <= 1, piece.right >= width - 1]


def _cut_off(pieces: list[Piece], shape: tuple[int, int]) -> list[Piece]:
    """Large pieces that reach the picture's edge, where there is a large one that does not: a
    finger, a neighbour.
    """
    large = [piece for piece in pieces if piece.size > SIZE * pieces[0].size]
    there = [piece for piece in large if any(_touched(piece, shape))]
    return there if len(there) < len(large) else []


def _is_edge(piece: Piece, shape: tuple[int, int]) -> bool:
    """Whether it is a table's or a shadow's edge: it lies along the picture's side."""
    height, width = shape
    touched = [
        piece.top <= 1,
        piece.bottom >= height - 1,
        piece.left <= 1,
        piece.right >= width - 1,
    ]
    across, down = touched[2] and touched[3], touched[0] and touched[1]
    if (
        sum(touched) >= 3
        or (across and piece.height < 0.2 * width)
        or (down and piece.width < 0.2 * height)
    ):
        return True
    flat = piece.height < 0.2 * piece.width or piece.width < 0.2 * piece.height
    along = (touched[0] or touched[1]) and piece.width > 0.3 * width
    upright = (touched[2] or touched[3]) and piece.height > 0.3 * height
    corner = (touched[0] or touched[1]) and (touched[2] or touched[3])
    return (flat or corner) and (along or upright)


def _frames(pieces: list[Piece]) -> list[Piece]:
    """Hollow pieces that are drawn around another that is large enough for a digit."""
    hollow = [piece for piece in pieces if piece.area < 0.3 * piece.height * piece.width]
    if not hollow:
        return []
    boxes = _boxes(pieces)
    sizes = np.array([piece.size for piece in pieces])
    labels = np.array([piece.label for piece in pieces])
    return [
        piece
        for piece in hollow
        if ((labels != piece.label) & _inside(boxes, piece) & (sizes > 0.25 * piece.size)).any()
    ]


def _inside(boxes: np.ndarray, piece: Piece) -> np.ndarray:
    """Which of the boxes [n, 4] lie in a piece's box, bool [n]."""
    top, bottom, left, right = boxes.T
    return (
        (top >= piece.top)
        & (bottom <= piece.bottom)
        & (left >= piece.left)
        & (right <= piece.right)
    )


def _worth(pieces: list[Piece], shape: tuple[int, int]) -> list[Piece]:
    """Without specks, largest first."""
    least = max(5, LEAST * max(shape))
    if not pieces or pieces[0].size < least:
        return []
    return [piece for piece in pieces if piece.size > SPECK * pieces[0].size]


def _gathered(pieces: list[Piece], thing: str) -> list[list[Piece]]:
    """Pieces of one digit together, digits in reading order.

    Raises:
        ValueError: more pieces than digits can have.
    """
    tallest = max(piece.height for piece in pieces)
    tall = [piece for piece in pieces if piece.height > SIZE * tallest]
    small = [piece for piece in pieces if piece.height <= SIZE * tallest]
    if len(tall) > 10 * MOST or len(pieces) > MAX_PIECES:
        raise _too_many(len(pieces), thing)
    groups = _joined([[piece] for piece in tall])
    if len(groups) > MOST:
        raise _too_many(len(groups), thing)
    strays = []
    for piece in small:
        gaps = [_gap([piece], group) for group in groups]
        nearest = groups[int(np.argmin(gaps))]
        if min(gaps) >= NEAR * tallest:
            strays.append(piece)
        elif not _underlines(piece, _box(nearest)):
            nearest.append(piece)
    broken = _clusters(strays, NEAR * tallest)
    groups += [group for group in broken if _box(group).height > SIZE * tallest]
    if len(groups) > MOST:
        raise _too_many(len(groups), thing)
    return _in_reading_order(groups)


def _too_many(marks: int, thing: str) -> ValueError:
    return ValueError(f"{marks} marks in it, more than {thing}s: a text, a pattern or noise")


def _underlines(part: Piece, digit: Piece) -> bool:
    """Whether it is a line under a digit; one over it is the bar of a 5 or a 7."""
    return part.top >= digit.bottom and part.width >= 1.2 * digit.width


def _joined(groups: list[list[Piece]]) -> list[list[Piece]]:
    """Merge groups until no two of them are strokes of one digit."""
    waiting, apart = groups[::-1], []
    while waiting:
        group = waiting.pop()
        partner = next((i for i, other in enumerate(apart) if _is_same(group, other)), None)
        if partner is None:
            apart.append(group)
        else:  # a larger group may meet others
            waiting.append(apart.pop(partner) + group)
    return apart


def _clusters(pieces: list[Piece], reach: float) -> list[list[Piece]]:
    """Pieces that are linked by gaps of less than `reach`."""
    from scipy.sparse.csgraph import connected_components

    if not pieces:
        return []
    count, cluster = connected_components(_gaps(pieces, pieces) < reach, directed=False)
    clusters: list[list[Piece]] = [[] for _ in range(count)]
    for piece, index in zip(pieces, cluster, strict=True):
        clusters[index].append(piece)
    return clusters


def _is_same(one: list[Piece], other: list[Piece]) -> bool:
    """Whether they are strokes of one digit: near, and over rather than beside each other."""
    a, b = _box(one), _box(other)
    across = min(a.right, b.right) - max(a.left, b.left)
    down = min(a.bottom, b.bottom) - max(a.top, b.top)
    return (
        (
            across > 0.2 * min(a.width, b.width)
            and down < 0.5 * min(a.height, b.height)
            and _gap(one, other) < NEAR * max(a.size, b.size)
        )
        or a.holds(b)
        or b.holds(a)
    )


def _box(group: list[Piece]) -> Piece:
    return Piece(
        0,
        min(piece.top for piece in group),
        max(piece.bottom for piece in group),
        min(piece.left for piece in group),
        max(piece.right for piece in group),
        sum(piece.area for piece in group),
    )


def _gap(group: list[Piece], other: list[Piece]) -> float:
    """How far the nearest boxes of two groups are apart."""
    return float(_gaps(group, other).min())


def _gaps(pieces: list[Piece], others: list[Piece]) -> np.ndarray:
    """How far boxes are apart, float [pieces, others]."""
    top, bottom, left, right = _boxes(pieces).T[:, :, np.newaxis]
    tops, bottoms, lefts, rights = _boxes(others).T
    across = np.maximum(left, lefts) - np.minimum(right, rights)
    down = np.maximum(top, tops) - np.minimum(bottom, bottoms)
    return np.hypot(np.maximum(across, 0), np.maximum(down, 0))


def _boxes(pieces: list[Piece]) -> np.ndarray:
    """Top, bottom, left, right of each piece, int [n, 4]."""
    return np.array([(piece.top, piece.bottom, piece.left, piece.right) for piece in pieces])


def _in_reading_order(groups: list[list[Piece]]) -> list[list[Piece]]:
    rows: list[list[list[Piece]]] = []
    for group in sorted(groups, key=lambda group: _box(group).top):
        box = _box(group)
        for row in rows:
            last = _box(row[-1])
            if min(box.bottom, last.bottom) - max(box.top, last.top) > 0.4 * min(
                box.height, last.height
            ):
                row.append(group)
                break
        else:
            rows.append([group])
    return [group for row in rows for group in sorted(row, key=lambda group: _box(group).left)]


def _cut(ink: np.ndarray, labels: np.ndarray, group: list[Piece]) -> np.ndarray:
    """A digit's ink with its soft edges, the strokes at one strength."""
    box = _box(group)
    strokes = np.isin(labels, [piece.label for piece in group])
    reach = max(2, round(0.06 * box.size))
    digit = np.where(_near(strokes, reach), ink, 0)
    full = float(np.quantile(digit[strokes], 0.75))
    rows, columns = (
        slice(max(0, start - reach), end + reach)
        for start, end in ((box.top, box.bottom), (box.left, box.right))
    )
    return np.minimum(digit[rows, columns] / full, 1)


def _near(mask: np.ndarray, reach: int) -> np.ndarray:
    from scipy import ndimage

    return ndimage.maximum_filter(mask, 2 * reach + 1)
