"""What rounding may do to a gradient besides the order of its sums: units whose input is so near
to 0 that it decides whether their ReLU is on, and slopes p − 1 where p is nearly 1.
"""

from dataclasses import dataclass, replace

import numpy as np

from mnist_fn.shared.parity.backends import numpy_program
from mnist_fn.shared.parity.backends.numpy_program import Lines, relu_slope
from mnist_fn.shared.parity.bounds import NEAR_BOUNDARY_EPS, ULPS_OF_ONE
from mnist_fn.shared.parity.causes.distance import Tensors, largest_of_all, map_tensors


@dataclass(frozen=True)
class Boundary:
    """Which units these are on one batch, and what they can do to the gradient."""

    units: tuple[str, ...]
    allowed: Tensors  # by how much each entry of the gradient may differ for them

    @property
    def named(self) -> str:
        """What it is in words."""
        if not self.units:
            return "an ulp of 1 in p − 1"
        suffix = f" and {len(self.units) - 2} more" if len(self.units) > 2 else ""
        return "; ".join(self.units[:2]) + f"{suffix}, within rounding of 0,"

    def scaled(self, factor: float) -> "Boundary":
        """What they can do to something that moves so many times as far as the gradient."""
        return replace(self, allowed=map_tensors(lambda a: factor * a, self.allowed))


def near(params: Tensors, x: np.ndarray, y: np.ndarray, eps: float) -> Boundary:
    """The units of a batch whose input is within rounding of 0, though not 0.

    Where the input is 0 to the bit the derivative is a convention, which has to be the same.

    Args:
        params: weights, float64.
        x: pixels of the batch, scaled, [n, pixels].
        y: its labels, [n].
        eps: of the arithmetic.
    """
    inputs = numpy_program.forward(params, x)[:-1]
    largest = max(1.0, largest_of_all([x, *inputs, *params.values()]))
    allowed = map_tensors(lambda t: np.full(t.shape, ULPS_OF_ONE * eps * largest), params)
    named = []
    for layer, h in enumerate(inputs):
        close = (h != 0) & (np.abs(h) <= NEAR_BOUNDARY_EPS * eps * np.abs(h).max(initial=0))
        for example, unit in np.argwhere(close):
            named.append(f"layer{layer + 1} unit {unit} on example {example} of the batch")
            single = x[example : example + 1], y[example : example + 1]
            off = numpy_program.gradients(params, *single, 0.0, _switched(layer, unit, 0.0))
            on = numpy_program.gradients(params, *single, 0.0, _switched(layer, unit, 1.0))
            for name, tensor in allowed.items():
                tensor += np.abs(off[name] - on[name]) / len(y)
    return Boundary(tuple(named), allowed)


def _switched(layer: int, unit: int, slope: float) -> Lines:
    """A pass in which one unit has this slope."""

    def slopes(i: int, h: np.ndarray) -> np.ndarray:
        values = relu_slope(i, h)
        if i == layer:
            values[:, unit] = slope
        return values

    return Lines(slope=slopes)
