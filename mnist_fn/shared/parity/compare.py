"""How far apart two arrays are, and where: absolute, relative and in ulps."""

import numpy as np

from mnist_fn.shared.parity.result import Difference
from mnist_fn.shared.state import ParamTree, named_tensors


def compare(name: str, left: np.ndarray, right: np.ndarray) -> Difference:
    """The largest difference of two arrays of one shape and dtype.

    A NaN on either side, or another shape or dtype, is an infinite difference.
    """
    if left.shape != right.shape or left.dtype != right.dtype:
        text = f"{name}: {left.dtype}{list(left.shape)} against {right.dtype}{list(right.shape)}"
        return Difference.infinite(text)
    gap = np.abs(left.astype(np.float64) - right.astype(np.float64))
    gap = np.where(np.isnan(gap), np.inf, gap)
    index = np.unravel_index(int(gap.argmax()), gap.shape)
    absolute = float(gap[index])
    a, b = left[index], right[index]
    largest = max(float(np.abs(left).max()), float(np.abs(right).max()))
    unit = np.spacing(np.maximum(np.abs(a), np.abs(b))) if left.dtype.kind == "f" else 1
    return Difference(
        tensor=name,
        index=tuple(map(int, index)),
        left=float(a),
        right=float(b),
        absolute=absolute,
        relative=absolute / largest if largest else absolute,
        ulps=absolute / float(unit) if absolute else 0.0,
    )


def compare_trees(left: ParamTree, right: ParamTree, prefix: str = "") -> list[Difference]:
    """A Difference for each named tensor of either tree; one that the other lacks is infinite."""
    ours, theirs = dict(named_tensors(left)), dict(named_tensors(right))
    missing = np.zeros(0)
    return [
        compare(prefix + name, ours.get(name, missing), theirs.get(name, missing))
        for name in {**ours, **theirs}
    ]


def divergence(left: ParamTree, right: ParamTree) -> float:
    """The largest absolute difference of any weight."""
    return max(difference.absolute for difference in compare_trees(left, right))
