"""One tensor in two layouts: parameters by axes, images with channels first or last."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mnist_fn.shared.parity.bounds import NEARER_LAYOUT
from mnist_fn.shared.parity.causes.distance import largest_entry


@dataclass(frozen=True)
class Layout:
    """From the reference's tensor to the port's: axes in another order, then another shape."""

    axes: tuple[int, ...]
    shape: tuple[int, ...]  # the port's
    kept: tuple[int, ...]  # the reference's
    rows: tuple[int, ...] = ()  # (channels, rows, columns) whose order behind a flattening changes

    def to_port(self, tensor: np.ndarray) -> np.ndarray:
        """The reference's as the port has it."""
        if self.rows:  # the last axis of PyTorch's weight counts flattened channels first
            split = tensor.reshape(*tensor.shape[:-1], *self.rows)
            tensor = np.moveaxis(split, tensor.ndim - 1, -1).reshape(tensor.shape)
        return np.asarray(tensor.transpose(self.axes).reshape(self.shape), order="C")

    def to_reference(self, tensor: np.ndarray) -> np.ndarray:
        """The port's as the reference has it."""
        moved = tensor.reshape(_moved(self.kept, self.axes))
        tensor = moved.transpose(np.argsort(self.axes))
        return np.asarray(self.ordered(tensor), order="C")

    def ordered(self, tensor: np.ndarray) -> np.ndarray:
        """A last axis that was flattened with channels last as it is with channels first."""
        if not self.rows:
            return tensor
        c, *spatial = self.rows
        split = tensor.reshape(*tensor.shape[:-1], *spatial, c)
        return np.moveaxis(split, -1, tensor.ndim - 1).reshape(tensor.shape)

    @property
    def moves(self) -> bool:
        """Whether axes change places."""
        return self.axes != tuple(range(len(self.axes)))


# PyTorch's kernels are [out, in, …], Flax's […, in, out]
USUAL = {2: (1, 0), 3: (2, 1, 0), 4: (2, 3, 1, 0), 5: (2, 3, 4, 1, 0)}


def layouts(kept: tuple[int, ...], shape: tuple[int, ...], usual: int) -> list[Layout]:
    """Every way in which a tensor of one shape may be one of the other, the likeliest first.

    Args:
        kept: the reference's shape.
        shape: the port's.
        usual: 1 where kernels are [out, in] here and [in, out] there, -1 the other way about, 0
            where they are alike.
    """
    if math.prod(kept) != math.prod(shape):
        return []
    plain = tuple(range(len(kept)))
    first = USUAL.get(len(kept), plain) if usual else plain
    if usual < 0:
        first = tuple(map(int, np.argsort(first)))
    if len(kept) == len(shape):
        orders = [p for p in itertools.permutations(plain) if _moved(kept, p) == shape]
        orders.sort(key=lambda p: (p != first, p != plain, p))
        return [Layout(p, shape, kept) for p in orders[:24]]
    # heads split, or axes of length 1; from [in, heads, …] and [heads, …, out] the axes are turned
    turned = [plain[n:] + plain[:n] for n in plain[1:]] if usual < 0 and len(kept) > 2 else []
    orders = dict.fromkeys([*turned, first, plain])
    return [Layout(p, shape, kept) for p in orders if _splits(_moved(kept, p), shape)]


def _moved(shape: tuple[int, ...], order: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(shape[axis] for axis in order)


def _splits(shape_a: tuple[int, ...], shape_b: tuple[int, ...]) -> bool:
    """Whether the longer shape splits axes of the shorter: [16, 16] and [16, 4, 4]."""
    short, long = sorted((shape_a, shape_b), key=len)
    axis = 0
    for size in short:
        product = 1
        while axis < len(long) and (product < size or (product == size and long[axis] == 1)):
            product *= long[axis]
            axis += 1
        if product != size:
            return False
    return set(long[axis:]) <= {1}


def channels_last(array: np.ndarray) -> np.ndarray:
    """[n, c, …] as […, c]."""
    return np.ascontiguousarray(np.moveaxis(array, 1, -1))


def channels_first(array: np.ndarray) -> np.ndarray:
    """[n, …, c] as [n, c, …]."""
    return np.ascontiguousarray(np.moveaxis(array, -1, 1))


def _ways(array: np.ndarray, shape: tuple[int, ...], across: int) -> Iterator[np.ndarray]:
    """What has the shape, the likeliest first."""
    moved = []
    if array.ndim >= 3:
        moved = [channels_first(array), channels_last(array), array.swapaxes(0, 1)]
        moved = moved[:2][::across] + moved[2:] if across else moved
    first = [*moved, array] if across and array.ndim >= 4 else [array, *moved]
    for candidate in first:
        if candidate.shape == shape:
            yield candidate
    if array.ndim != len(shape) and array.size == math.prod(shape):
        if _splits(array.shape, shape):
            yield array.reshape(shape)
        if moved and _splits(moved[0].shape, shape):
            yield moved[0].reshape(shape)


def aligned(array: np.ndarray, like: np.ndarray, across: int = 0) -> np.ndarray:
    """A port's activation in the reference's layout: of all that fit the one that agrees, else the
    likeliest. Where none fits, with its channels where the reference's are.

    Args:
        array: the port's.
        like: the reference's.
        across: 1 where the reference has channels first and the port last, -1 the other way about.
    """
    candidates = list(_ways(array, like.shape, across))
    if not candidates:
        move = {1: channels_first, -1: channels_last}.get(across)
        return move(array) if move and array.ndim == like.ndim >= 4 else array
    with np.errstate(all="ignore"):
        gaps = []
        for candidate in candidates:
            gaps.append(largest_entry(np.nan_to_num(candidate - like, nan=np.inf)))
    best = int(np.argmin(gaps))
    return candidates[best if gaps[best] < NEARER_LAYOUT * gaps[0] else 0]
