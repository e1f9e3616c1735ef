"""Remove printed lines from the ink: those of ruled and squared paper, and of forms.

A line is thin, straight, nearly level or upright, and goes through most of the picture. What is
left where it crosses a stroke is the ink over it, or the stroke above and below it.
"""

from collections.abc import Iterator

import numpy as np

CELLS = 48  # pieces that a picture's width is averaged to: a line is in nearly all of them
THROUGH = 0.7  # of them that a line must be in
CORNER = 0.9  # of the cells up to the picture's side, for a line that leaves it at a corner
TILT = 0.09  # rows a column, either way: 5 degrees
THICK = 0.03  # of the longer side at most


def without_lines(ink: np.ndarray, least: float) -> tuple[np.ndarray, int]:
    """Remove lines stronger than `least` from ink [rows, columns]; also return how many."""
    level, lines = _without_level_lines(ink, least)
    upright, upright_lines = _without_level_lines(level.T, least)
    return np.ascontiguousarray(upright.T), lines + upright_lines


def _without_level_lines(ink: np.ndarray, least: float) -> tuple[np.ndarray, int]:
    height, width = ink.shape
    if width < CELLS or height < 8:
        return ink, 0
    cuts = np.linspace(0, width, CELLS + 1).astype(int)
    cells = np.add.reduceat(ink, cuts[:-1], axis=1) / np.diff(cuts)  # (height, CELLS)
    centres = (cuts[:-1] + cuts[1:]) / 2 - width / 2
    page, lines = ink.copy(), 0
    for row, slope in _lines(cells, centres, least):
        lines += _take_out(page, cells, cuts, row + np.rint(slope * centres).astype(int))
    return page, lines


def _lines(cells: np.ndarray, centres: np.ndarray, least: float) -> Iterator[tuple[int, float]]:
    """Yield the row in the middle and the slope of each line, the strongest at each place."""
    height = len(cells)
    reach = TILT * centres[-1]
    slopes = np.arange(-reach, reach + 1) / centres[-1]  # a row more at the picture's side
    # which share of the cells along each slope has ink, and how much all of them have
    beyond = int(reach)  # one that leaves at a corner may meet the middle column outside
    middle = np.arange(-beyond, height + beyond)
    through = np.zeros((len(slopes), len(middle)), np.float32)
    strength = np.zeros_like(through)
    for i, slope in enumerate(slopes):
        rows = middle[:, None] + np.rint(slope * centres).astype(int)
        inside = (rows >= 0) & (rows < height)
        along = np.where(inside, cells[np.clip(rows, 0, height - 1), np.arange(CELLS)], np.nan)
        count = inside.sum(axis=1)
        share = (along > least).sum(axis=1) / np.maximum(count, 1)
        # one that leaves at a corner is in few cells, but in all of them up to the picture's side
        through[i] = share * ((count > CELLS / 2) | ((count > CELLS / 10) & (share > CORNER)))
        strength[i] = np.nan_to_num(np.where(inside, along, 0)).sum(axis=1) / np.maximum(count, 1)
    best = np.where(through >= THROUGH, strength, 0)
    peaks = best.max(axis=0)
    near = max(2, int(THICK * max(height, 2 * centres[-1])))
    while (row := int(peaks.argmax())) >= 0 and peaks[row] > 0:
        yield int(middle[row]), float(slopes[best[:, row].argmax()])
        peaks[max(0, row - near // 2) : row + near // 2 + 1] = 0


def _take_out(page: np.ndarray, cells: np.ndarray, cuts: np.ndarray, rows: np.ndarray) -> bool:
    """Take one line out of `page`, at `rows` in each cell. Returns False if it is too thick."""
    height, width = page.shape
    half = max(2, int(THICK * max(height, width)) // 2 + 1)
    offsets = np.arange(-half - 2, half + 3)
    rows_near = np.clip(rows[:, None] + offsets, 0, height - 1)  # (CELLS, offsets)
    inside = (rows >= 0) & (rows < height)
    profile = np.median(cells[rows_near, np.arange(CELLS)[:, None]][inside], axis=0)
    peak = int(profile.argmax())
    top, bottom = peak, peak
    while top > 0 and profile[top - 1] > 0.15 * profile[peak]:
        top -= 1
    while bottom < len(profile) - 1 and profile[bottom + 1] > 0.15 * profile[peak]:
        bottom += 1
    if top == 0 or bottom == len(profile) - 1 or bottom - top >= 2 * half:  # a surface
        return False
    top, bottom = top - 1, bottom + 1  # it may waver by a row
    line_of = np.repeat(rows, np.diff(cuts))  # (width,)
    columns = np.arange(width)
    thick = bottom - top + 1
    ink_above = page[np.clip(line_of + offsets[0] + top - 1, 0, height - 1), columns]
    ink_below = page[np.clip(line_of + offsets[0] + bottom + 1, 0, height - 1), columns]
    bridge = np.minimum(_widened(ink_above, thick), _widened(ink_below, thick))
    strongest = profile[max(0, top) : bottom + 1].max()
    for index in range(top, bottom + 1):
        row = line_of + offsets[0] + index
        inside = (row >= 0) & (row < height)
        place = row[inside], columns[inside]
        line = min(0.95, 1.25 * strongest)
        over = np.clip((page[place] - line) / (1 - line), 0, 1)
        page[place] = np.minimum(page[place], np.maximum(over, bridge[inside]))
    return True


def _widened(values: np.ndarray, width: int) -> np.ndarray:
    """Return the largest value within `width` // 2: a stroke may cross a line at an angle."""
    from scipy import ndimage

    return ndimage.maximum_filter1d(values, 2 * (width // 2) + 1)
