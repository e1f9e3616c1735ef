"""How pixels were scaled where weights were trained, folded into the first layer.

Here pixels are in 0 to 1. A network trained on (x - mean) / std does the same on x with the kernel
W / std and the bias b - Σ W mean / std, the sum over the inputs.
"""

import math
from dataclasses import dataclass

import numpy as np

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.state import ParamTree

USUAL = (0.1307, 0.3081)  # MNIST's mean and standard deviation, as PyTorch's examples have them


@dataclass(frozen=True)
class Scaling:
    """(x - mean) / std of pixels x in 0 to 1."""

    mean: float = 0.0
    std: float = 1.0

    def __str__(self) -> str:
        return f"{self.mean:g},{self.std:g}"


def read_scaling(text: str | None) -> Scaling:
    """Read `0-1`, `mean-std` (MNIST's usual two numbers) or two numbers `MEAN,STD`.

    Raises:
        InputError: none of these; nothing is assumed.
    """
    known = {"0-1": Scaling(), "mean-std": Scaling(*USUAL)}
    if text in known:
        return known[text]
    try:
        mean, std = (float(part) for part in (text or "").split(","))
        if not (math.isfinite(mean) and math.isfinite(std) and std > 0):
            raise ValueError
    except ValueError as error:
        value = "" if text is None else f" {text[:40]!r}"
        raise InputError(
            f"--pixels{value}: say how pixels were scaled where it was trained: 0-1, mean-std "
            f"({USUAL[0]} and {USUAL[1]}), or MEAN,STD such as 0.5,0.5"
        ) from error
    return Scaling(mean, std)


def folded(params: ParamTree, scaling: Scaling) -> ParamTree:
    """Return the same network for pixels in 0 to 1, computed in float64 and rounded once."""
    if scaling == Scaling():
        return params
    (name, first), *later_layers = params.items()
    kernel = first["kernel"].astype(np.float64) / scaling.std
    bias = first["bias"].astype(np.float64) - scaling.mean * kernel.sum(axis=0)
    dtype = first["kernel"].dtype
    return {
        name: {"kernel": kernel.astype(dtype), "bias": bias.astype(dtype)},
        **dict(later_layers),
    }
