"""Which pieces of ink are strokes of one digit, and the order in which digits are read."""

import numpy as np

from mnist_fn.shared.pictures.pieces import Piece, bounding_box, gap, gaps

TALL = 0.45  # of the tallest piece: what is taller is a digit or a large part of one
SMALLEST = 0.33  # of the tallest piece: a lower mark is no digit beside it
NEAR = 0.2  # of the tallest piece: strokes of one digit are no further apart
BROKEN = 0.25  # of the larger part: two parts of a broken stroke are no further apart
CRACK = 0.03  # of the tallest piece: half the width of a gap in a stroke
MAX_PIECES = 2000  # bounds time and memory
MAX_DIGITS = 300
MAX_PAIRS = 50_000  # of digits and small pieces that are compared
MAX_TALL = 400  # pieces that are compared with each other
MANY = 24  # digits: of more, most must be of about one height
ALIKE = (0.5, 1.6)  # of the median height
MAX_SLOPE = 0.36  # of a line of digits: 20 degrees


def group_digits(
    labels: np.ndarray, pieces: list[Piece], thing: str
) -> tuple[list[list[Piece]], list[Piece]]:
    """Put the pieces of each digit together.

    Args:
        labels: the label of each pixel's piece, int32 [rows, columns]; see `connected_pieces`.
        pieces: those to be grouped.
        thing: what a digit is called in the errors.

    Returns:
        The digits in no order, and the pieces that belong to none.

    Raises:
        ValueError: more marks than a picture of digits has, or marks of all sizes.
    """
    tallest = max(piece.height for piece in pieces)
    tall = [piece for piece in pieces if piece.height > TALL * tallest]
    small = [piece for piece in pieces if piece.height <= TALL * tallest]
    if len(tall) > MAX_TALL or len(pieces) > MAX_PIECES:
        raise _too_many(len(pieces), thing)
    bonds = _almost_touching(labels, pieces, max(1, round(CRACK * tallest)))
    digits = _merge([[piece] for piece in tall], bonds)
    if len(digits) * len(small) > MAX_PAIRS:
        raise _too_many(len(pieces), thing)
    bodies = list(digits)
    strays = []
    for piece in small:
        distances = [gap([piece], digit) for digit in digits]
        nearest = digits[int(np.argmin(distances))]
        if min(distances) >= NEAR * tallest or _is_beside(piece, bodies, tallest):
            strays.append(piece)
        elif not _underlines(piece, bounding_box(nearest)):
            nearest.append(piece)
    small_digits = [piece for piece in strays if _is_small_digit(piece, tallest)]
    digits += _merge([[piece] for piece in small_digits], bonds)
    fragments = []
    parts = [piece for piece in strays if piece not in small_digits]
    for cluster in _clusters(parts, NEAR * tallest):
        if _is_small_digit(bounding_box(cluster), tallest):
            digits.append(cluster)
        else:
            fragments += cluster
    if len(digits) > MAX_DIGITS or (len(digits) > MANY and not _are_alike(digits)):
        raise _too_many(len(digits), thing)
    return digits, fragments


def _too_many(marks: int, thing: str) -> ValueError:
    return ValueError(f"{marks} marks in it that are no {thing}s: a text, a pattern or noise")


def _are_alike(digits: list[list[Piece]]) -> bool:
    """Whether most of them are of about one height, as digits on a sheet are."""
    heights = np.array([bounding_box(digit).height for digit in digits])
    ratios = heights / np.median(heights)
    return bool(np.mean((ratios > ALIKE[0]) & (ratios < ALIKE[1])) > 0.8)


def _is_small_digit(box: Piece, tallest: int) -> bool:
    """Whether it is large enough to be read beside the tallest digit, and no dash."""
    return box.height > SMALLEST * tallest and box.height > 0.8 * box.width


def _is_beside(piece: Piece, digits: list[list[Piece]], tallest: int) -> bool:
    """Whether it is a small digit beside the others, not a part above or below one of them."""
    if not _is_small_digit(piece, tallest):
        return False
    for digit in digits:
        box = bounding_box(digit)
        overlap = min(piece.right, box.right) - max(piece.left, box.left)
        if overlap > 0 and gap([piece], digit) < NEAR * tallest:
            return False
    return True


def _underlines(piece: Piece, digit: Piece) -> bool:
    """Whether it is a line under a digit; one over it is the bar of a 5 or a 7."""
    return piece.top >= digit.bottom and piece.width >= 1.2 * digit.width


def _almost_touching(labels: np.ndarray, pieces: list[Piece], reach: int) -> dict[int, int]:
    """For each piece's label a number that pieces less than two `reach` pixels apart share."""
    from scipy import ndimage

    mask = np.isin(labels, [piece.label for piece in pieces])
    wide = np.zeros(labels.shape, np.int32)
    ndimage.label(ndimage.maximum_filter(mask, 2 * reach + 1), output=wide)
    numbers, first = np.unique(labels[mask], return_index=True)
    return dict(zip(numbers.tolist(), wide[mask][first].tolist(), strict=True))


def _merge(groups: list[list[Piece]], bonds: dict[int, int]) -> list[list[Piece]]:
    """Merge groups until no two of them are strokes of one digit."""
    waiting, merged = groups[::-1], []
    while waiting:
        group = waiting.pop()
        partner = next((i for i, rival in enumerate(merged) if _is_same(group, rival, bonds)), None)
        if partner is None:
            merged.append(group)
        else:  # a larger group may meet others
            waiting.append(merged.pop(partner) + group)
    return merged


def _is_same(group: list[Piece], rival: list[Piece], bonds: dict[int, int]) -> bool:
    """Whether they are strokes of one digit: near, and over rather than beside each other."""
    a, b = bounding_box(group), bounding_box(rival)
    across = min(a.right, b.right) - max(a.left, b.left)
    down = min(a.bottom, b.bottom) - max(a.top, b.top)
    stacked = across > 0.2 * min(a.width, b.width) and down < 0.5 * min(a.height, b.height)
    if stacked and gap(group, rival) < BROKEN * max(a.size, b.size):
        return True
    if a.holds(b) or b.holds(a):
        return True
    is_cracked = {bonds[piece.label] for piece in group} & {bonds[piece.label] for piece in rival}
    return bool(is_cracked) and across > 0.2 * min(a.width, b.width)


def _clusters(pieces: list[Piece], reach: float) -> list[list[Piece]]:
    """Pieces that are linked by gaps of less than `reach`, in pixels."""
    from scipy.sparse.csgraph import connected_components

    if not pieces:
        return []
    count, cluster = connected_components(gaps(pieces, pieces) < reach, directed=False)
    clusters: list[list[Piece]] = [[] for _ in range(count)]
    for piece, index in zip(pieces, cluster, strict=True):
        clusters[index].append(piece)
    return clusters


def in_reading_order(digits: list[list[Piece]]) -> tuple[list[list[Piece]], float]:
    """Sort digits into lines from the top, each from left to right.

    Returns:
        The digits, and the slope of their lines: rows down for each column to the right.
    """
    frames = [bounding_box(digit) for digit in digits]
    slope = line_slope(frames)
    lines: list[list[int]] = []
    tops = np.array([box.top - slope * (box.left + box.right) / 2 for box in frames])
    bottoms = np.array([box.bottom - slope * (box.left + box.right) / 2 for box in frames])
    for i in np.argsort(tops, kind="stable").tolist():
        for line in lines:
            last = line[-1]
            common = min(bottoms[i], bottoms[last]) - max(tops[i], tops[last])
            if common > 0.4 * min(frames[i].height, frames[last].height):
                line.append(i)
                break
        else:
            lines.append([i])
    order = [i for line in lines for i in sorted(line, key=lambda i: frames[i].left)]
    return [digits[i] for i in order], slope


def line_slope(frames: list[Piece]) -> float:
    """The slope of lines of digits: the median over each digit's neighbour to the right.

    Of fewer than four digits, or where neighbours disagree, it is 0.
    """
    if len(frames) < 4:
        return 0.0
    rows = np.array([(box.top + box.bottom) / 2 for box in frames])
    columns = np.array([(box.left + box.right) / 2 for box in frames])
    height = float(np.median([box.height for box in frames]))
    slopes = []
    for row, column in zip(rows, columns, strict=True):
        across, down = columns - column, rows - row
        ahead = (across > 0.4 * height) & (np.abs(down) < MAX_SLOPE * across + 0.2 * height)
        if ahead.any():
            nearest = np.where(ahead, np.hypot(across, down), np.inf).argmin()
            slopes.append(down[nearest] / across[nearest])
    if len(slopes) < 3:
        return 0.0
    slope = float(np.median(slopes))
    spread = float(np.median(np.abs(np.array(slopes) - slope)))
    return slope if spread < 0.5 * abs(slope) else 0.0
