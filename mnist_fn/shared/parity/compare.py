"""How far apart two arrays are, and where: absolute, relative and in ulps."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mnist_fn.shared.state import ParamTree, named_tensors


@dataclass(frozen=True)
class Difference:
    """The largest difference between two arrays of one name, and the entry that has it."""

    tensor: str  # "layer1/kernel"
    index: tuple[int, ...]  # (3, 17); () of a number
    left: float
    right: float
    absolute: float
    relative: float  # to the array's largest entry
    ulps: float  # at that entry, in units in the last place of its larger value

    @property
    def where(self) -> str:
        """The entry in words: `layer1/kernel[3, 17]`."""
        return f"{self.tensor}[{', '.join(map(str, self.index))}]" if self.index else self.tensor

    @classmethod
    def infinite(cls, tensor: str) -> "Difference":
        """Of what can't be compared: missing, of another shape, never computed."""
        return cls(tensor, (), np.nan, np.nan, np.inf, np.inf, np.inf)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a number that is not finite becomes its name."""
        numbers = {
            name: plain(getattr(self, name))
            for name in ("left", "right", "absolute", "relative", "ulps")
        }
        return {"where": self.where, "tensor": self.tensor, "index": list(self.index), **numbers}


def plain(value: float) -> float | str:
    """A number for JSON: what is not finite by its name, which `float` reads back."""
    return float(value) if np.isfinite(value) else str(float(value))


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
