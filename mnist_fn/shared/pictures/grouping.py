"""Which pieces of ink are strokes of one digit, and the order in which digits are read."""

import numpy as np

from mnist_fn.shared.pictures.pieces import Box, Piece, bounding_box, boxes, gap, gaps, mask_of

TALL = 0.45  # of the tallest piece: what is taller is a digit or most of one
SMALLEST = 0.33  # of the tallest piece: a lower mark is no digit
NEAR = 0.2  # of the tallest piece: strokes of one digit are no further apart
BROKEN = 0.25  # of the larger piece: the pieces of a broken stroke are no further apart
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
    """Put the pieces of each digit together; `labels` has the label of each pixel's piece.

    Returns:
        The digits in no order, and the pieces that belong to none.

    Raises:
        ValueError: more marks than a picture of digits has, or marks of all sizes.
    """
    tallest = max(piece.height for piece in pieces)
    tall: list[Piece] = []
    small: list[Piece] = []
    for piece in pieces:
        (tall if piece.height > TALL * tallest else small).append(piece)
    if len(tall) > MAX_TALL or len(pieces) > MAX_PIECES:
        raise _too_many(len(pieces), thing)
    bonds = _almost_touching(labels, pieces, max(1, round(CRACK * tallest)))
    digits = _merge(tall, bonds)
    if len(digits) * len(small) > MAX_PAIRS:
        raise _too_many(len(pieces), thing)
    bodies = list(digits)
    small_digits, dashes = [], []
    for piece in small:
        distances = [gap([piece], digit) for digit in digits]
        nearest = digits[int(np.argmin(distances))]
        if min(distances) >= NEAR * tallest or _is_separate(piece, bodies, tallest):
            (small_digits if _is_small_digit(piece, tallest) else dashes).append(piece)
        elif not _underlines(piece, bounding_box(nearest)):
            nearest.append(piece)
    digits += _merge(small_digits, bonds)
    fragments = []
    for cluster in _clusters(dashes, NEAR * tallest):
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
    """Return whether most digits are about equally tall, as on a sheet."""
    top, bottom, _, _ = boxes(list(map(bounding_box, digits))).T
    ratios = (bottom - top) / np.median(bottom - top)
    return bool(np.mean((ratios > ALIKE[0]) & (ratios < ALIKE[1])) > 0.8)


def _is_small_digit(box: Box, tallest: int) -> bool:
    """Return whether a box is large enough for a digit, compared with the tallest, and no dash."""
    return box.height > SMALLEST * tallest and box.height > 0.8 * box.width


def _is_separate(piece: Piece, digits: list[list[Piece]], tallest: int) -> bool:
    """Return whether a piece is a small digit, and no stroke above or below one of the digits."""
    if not _is_small_digit(piece, tallest):
        return False
    for digit in digits:
        box = bounding_box(digit)
        overlap = min(piece.right, box.right) - max(piece.left, box.left)
        if overlap > 0 and gap([piece], digit) < NEAR * tallest:
            return False
    return True


def _underlines(piece: Piece, digit: Box) -> bool:
    """Return whether a piece is a line under a digit; one over it is the bar of a 5 or a 7."""
    return piece.top >= digit.bottom and piece.width >= 1.2 * digit.width


def _almost_touching(labels: np.ndarray, pieces: list[Piece], reach: int) -> dict[int, int]:
    """Number the pieces, by label, so that those less than 2 * `reach` pixels apart share one."""
    from scipy import ndimage

    mask = mask_of(pieces, labels)
    wide = np.zeros(labels.shape, np.int32)
    ndimage.label(ndimage.maximum_filter(mask, 2 * reach + 1), output=wide)
    numbers, first = np.unique(labels[mask], return_index=True)
    return dict(zip(numbers.tolist(), wide[mask][first].tolist(), strict=True))


def _merge(pieces: list[Piece], bonds: dict[int, int]) -> list[list[Piece]]:
    """Group pieces until no two groups are strokes of one digit."""
    merged: list[list[Piece]] = []
    for piece in pieces:
        group, i = [piece], 0
        while i < len(merged):
            if _is_same(group, merged[i], bonds):
                group, i = merged.pop(i) + group, 0  # a larger group may meet others
            else:
                i += 1
        merged.append(group)
    return merged


def _is_same(group: list[Piece], rival: list[Piece], bonds: dict[int, int]) -> bool:
    """Return whether two groups are strokes of one digit: near, and one above the other."""
    a, b = bounding_box(group), bounding_box(rival)
    across = min(a.right, b.right) - max(a.left, b.left)
    down = min(a.bottom, b.bottom) - max(a.top, b.top)
    stacked = across > 0.2 * min(a.width, b.width) and down < 0.5 * min(a.height, b.height)
    if stacked and gap(group, rival) < BROKEN * max(a.size, b.size):
        return True
    if a.holds(b) or b.holds(a):
        return True
    bonds_of_group = {bonds[piece.label] for piece in group}
    is_cracked = any(bonds[piece.label] in bonds_of_group for piece in rival)
    return is_cracked and across > 0.2 * min(a.width, b.width)


def _clusters(pieces: list[Piece], reach: float) -> list[list[Piece]]:
    """Cluster pieces that are linked by gaps of less than `reach` pixels."""
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
    frames = boxes(list(map(bounding_box, digits)))
    slope = line_slope(frames)
    top, bottom, left, right = frames.T
    drop = slope * (left + right) / 2
    tops, bottoms = top - drop, bottom - drop
    lines: list[list[int]] = []
    for i in np.argsort(tops, kind="stable").tolist():
        for line in lines:
            both = [i, line[-1]]
            common = bottoms[both].min() - tops[both].max()
            if common > 0.4 * (bottom - top)[both].min():
                line.append(i)
                break
        else:
            lines.append([i])
    ordered = []
    for line in lines:
        ordered += [digits[i] for i in sorted(line, key=lambda i: left[i])]
    return ordered, slope


def line_slope(frames: np.ndarray) -> float:
    """Return the slope of lines of digits: the median over each digit's neighbour to the right.

    Of fewer than four digits, or where neighbours disagree, it is 0. `frames` are the digits'
    boxes, see `boxes`.
    """
    if len(frames) < 4:
        return 0.0
    top, bottom, left, right = frames.T
    rows, columns = (top + bottom) / 2, (left + right) / 2
    height = float(np.median(bottom - top))
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
