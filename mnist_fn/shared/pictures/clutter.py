"""Ink that is no digit: a table's edge, a frame, the rest of a form's box, a finger, dust."""

from dataclasses import dataclass, field

import numpy as np

from mnist_fn.shared.pictures.pieces import Box, Piece, boxes, contained
from mnist_fn.shared.wording import counted

LARGE = 0.45  # of the largest piece: may be a digit of its own
FILLING = 0.3  # share of a piece in the picture's middle: it is no edge of something larger
EMPTY_CORNERS = 0.02  # share of a 0 in the picture's corners; a frame has more
SOLID = 0.65  # share of its box that is ink: a surface, no strokes
HOLLOW = 0.3  # share of its box that is ink, at most, for a frame
SMALLEST = 0.025  # of the picture's longer side: a smaller mark is dust
DUST = 0.08  # of the largest piece
RECTANGLE = 0.82  # share of its box that a rectangle fills at least; an ellipse 0.785
RIM = 0.02  # of a rectangle: the line around it
THIN = 0.06  # of its length: how wide a straight line's box may be


@dataclass
class Clutter:
    """What was left out of a picture, by kind."""

    edges: list[Piece] = field(default_factory=list)  # a table, a shadow
    neighbours: list[Piece] = field(default_factory=list)  # cut off at the picture's side
    outside: list[Piece] = field(default_factory=list)  # of a frame
    lines: list[Piece] = field(default_factory=list)
    marks: list[Piece] = field(default_factory=list)  # dust, commas

    def notes(self) -> list[str]:
        """Return what was left out, in words."""
        notes = []
        if self.edges or self.neighbours:
            notes.append("ink at the picture's edge was left out")
        if self.outside:
            notes.append("what lies outside the frame was left out")
        for pieces, name in ((self.lines, "straight line"), (self.marks, "small mark")):
            if pieces:
                verb = "was" if len(pieces) == 1 else "were"
                notes.append(f"{counted(len(pieces), name)} {verb} left out")
        return notes


def take_out_clutter(pieces: list[Piece], shape: tuple[int, int], clutter: Clutter) -> list[Piece]:
    """Find edges, frames, lines or neighbours among pieces, largest first; adds to `clutter`."""
    if not pieces:
        return []
    if edges := [piece for piece in pieces if is_edge(piece, shape)]:
        if len(pieces) == 1 and _may_be_upright_stroke(pieces[0], shape):
            return []
        clutter.edges += edges
        return edges
    if frames := find_frames(pieces):
        is_inside = np.any([contained(pieces, frame) for frame in frames], axis=0)
        outside = [pieces[i] for i in np.flatnonzero(~is_inside)]
        clutter.outside += outside
        return frames + outside
    if lines := find_ruled_lines(pieces, shape):
        clutter.lines += lines
        return lines
    neighbours = find_neighbours(pieces, shape)
    clutter.neighbours += neighbours
    return neighbours


def is_edge(piece: Piece, shape: tuple[int, int]) -> bool:
    """Return whether a piece is a table's or a shadow's edge: it lies along the picture's side."""
    height, width = shape
    top, bottom, left, right = piece.sides_reached(shape, within=1)
    across, down = left and right, top and bottom
    if (across and piece.height < 0.2 * width) or (down and piece.width < 0.2 * height):
        return True
    flat = piece.height < 0.2 * piece.width or piece.width < 0.2 * piece.height
    reached = sum((top, bottom, left, right))
    fills = piece.middle > FILLING or (reached >= 3 and piece.corners < EMPTY_CORNERS)
    if not flat and fills and piece.solidity < SOLID:
        return False  # a digit that fills the picture
    if reached >= 3:
        return True
    along = (top or bottom) and piece.width > 0.3 * width
    upright = (left or right) and piece.height > 0.3 * height
    corner = (top or bottom) and (left or right)
    return (flat or corner) and (along or upright)


def _may_be_upright_stroke(piece: Piece, shape: tuple[int, int]) -> bool:
    """Return whether the only piece in a picture may be a 1 at its side."""
    height, width = shape
    return piece.width < 0.3 * width and piece.height < 0.9 * height and piece.solidity > 0.3


def find_frames(pieces: list[Piece]) -> list[Piece]:
    """Find hollow pieces that are drawn around another that is large enough for a digit."""
    sizes = np.array([piece.size for piece in pieces])
    frames = []
    for i, piece in enumerate(pieces):
        if piece.solidity < HOLLOW:
            # sorted by size: what is large enough comes first
            large = pieces[: int((sizes > 0.25 * piece.size).sum())]
            if contained(large, piece).sum() > (i < len(large)):
                frames.append(piece)
    return frames


def find_ruled_lines(pieces: list[Piece], shape: tuple[int, int]) -> list[Piece]:
    """Find straight thin lines near digits: the rest of a form's box, an axis.

    A 1 is about as tall and as thick as the digits near it.
    """
    if not pieces:
        return []
    height, width = shape
    top, bottom, left, right = boxes(pieces).T
    heights, widths = bottom - top, right - left
    strokes = np.array([piece.stroke for piece in pieces])
    sizes = np.maximum(heights, widths)
    is_broad = np.minimum(heights, widths) > THIN * sizes
    lines = []
    for i, piece in enumerate(pieces):
        upright = piece.width <= max(2, THIN * piece.height)
        level = piece.height <= max(2, THIN * piece.width)
        if not (upright or level):
            continue
        digits = is_broad & (sizes > 0.25 * piece.size)
        digits[i] = False
        if not digits.any():
            continue
        if level:
            if piece.width > 0.6 * width or piece.width > 1.5 * widths[digits].max():
                lines.append(piece)
            continue
        sides = piece.sides_reached(shape, within=max(1, round(0.06 * width)))
        longer = piece.height > 1.2 * heights[digits].max()
        thinner = piece.stroke < 0.6 * np.median(strokes[digits])
        if longer and (thinner or any(sides[2:]) or piece.height > 0.8 * height):
            lines.append(piece)
    return lines


def find_neighbours(pieces: list[Piece], shape: tuple[int, int]) -> list[Piece]:
    """Find large pieces at the picture's side that are unlike the digits inside.

    They are fingers, or halves of neighbouring digits.
    """
    reaching: list[Piece] = []
    inner: list[Piece] = []
    for piece in pieces:
        if piece.size > LARGE * pieces[0].size:
            (reaching if any(piece.sides_reached(shape)) else inner).append(piece)
    if not inner:
        return []
    stroke, height = np.median([(piece.stroke, piece.height) for piece in inner], axis=0)
    neighbours = []
    for piece in reaching:
        if not (0.5 < piece.stroke / stroke < 2 and 0.7 < piece.height / height < 1.5):
            neighbours.append(piece)
    return neighbours


def find_dust(pieces: list[Piece], shape: tuple[int, int]) -> list[Piece]:
    """Find the pieces that are too small for a digit or a stroke of one."""
    if not pieces:
        return []
    least = max(5, SMALLEST * max(shape))
    if pieces[0].size < least:
        return pieces
    return [piece for piece in pieces if piece.size <= DUST * pieces[0].size]


def inner_picture(light: np.ndarray) -> tuple[slice, slice] | None:
    """Find a filled rectangle inside a page, as `plt.imshow` draws a digit: its rows and columns.

    `light` is the brightness [rows, columns], 0 to 1.
    """
    from scipy import ndimage

    border = np.concatenate([light[0], light[-1], light[:, 0], light[:, -1]])
    contrast = np.abs(light - np.median(border))
    if contrast.max() < 0.3:
        return None
    surface = contrast > 0.5 * contrast.max()
    filled = ndimage.binary_fill_holes(surface)
    labels = np.zeros(light.shape, np.int32)
    ndimage.label(filled, output=labels)
    regions = ndimage.find_objects(labels)
    if not regions:
        return None
    areas = np.bincount(labels.ravel())[1:]
    largest = int(areas.argmax())
    rows, columns = regions[largest]
    height, width = rows.stop - rows.start, columns.stop - columns.start
    box = Box(rows.start, rows.stop, columns.start, columns.stop)
    touches = any(box.sides_reached(light.shape, within=1))
    if touches or min(height, width) < 14 or height * width < 0.1 * light.size:
        return None
    is_filled = areas[largest] > RECTANGLE * height * width
    is_surface = surface[rows, columns].mean() > 0.5
    if not (is_filled and is_surface and 0.5 < height / width < 2):
        return None
    margin = 1 + round(RIM * min(height, width))
    return (
        slice(rows.start + margin, rows.stop - margin),
        slice(columns.start + margin, columns.stop - margin),
    )
