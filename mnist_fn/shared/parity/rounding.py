"""How far apart rounding may bring two right programs, measured where sums alone can't tell.

The reference is run once more in float32 from the same state. What float32 changes in a tensor,
times 2⁻²⁹, is what float64 may change in it, whatever cancels on the way: a key's bias, a
saturated softmax, a gradient that is 0 in exact arithmetic. Right ports stay within 12 of these
units and within 66 in structural zeros; wrong ones start at 5·10⁹ (see docs/porting.md).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mnist_fn.shared.parity.program import Batch, Step, Tensors, Weights


def single_weights(weights: Weights) -> Weights:
    """Weights rounded to float32."""
    return replace(
        weights, params=single_tensors(weights.params), buffers=single_tensors(weights.buffers)
    )


def single_tensors(tensors: Mapping[str, np.ndarray]) -> Tensors:
    """Tensors by name, rounded to float32."""
    return {name: tensor.astype(np.float32) for name, tensor in tensors.items()}


def single_batch(batch: Batch) -> Batch:
    """A batch whose floating-point inputs and targets are rounded to float32."""
    return Batch(
        tuple(_single(array) for array in batch.inputs),
        {name: _single(array) for name, array in batch.named.items()},
        _single(batch.targets),
    )


def _single(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _single(entry) for key, entry in value.items()}
    if isinstance(value, tuple):
        return tuple(_single(entry) for entry in value)
    if isinstance(value, np.ndarray) and value.dtype == np.float64:
        return value.astype(np.float32)
    return value


def largest_gap(left: np.ndarray | None, right: np.ndarray | None) -> float:
    """The largest difference of two arrays; 0 where they can't be compared or are not finite."""
    if left is None or right is None or left.shape != right.shape or not left.size:
        return 0.0
    gap = float(np.abs(left.astype(np.float64) - right).max())
    return gap if np.isfinite(gap) else 0.0


class Spread:
    """How far other runs of a training are from it: for each tensor the most so far.

    Args:
        lanes: the training itself, then the other runs; all step by step.
    """

    def __init__(self, lanes: list[Iterator[Step]]) -> None:
        self._lanes, self._steps = lanes, 0
        self.params: dict[str, float] = {}
        self.buffers: dict[str, float] = {}

    def advance(self, steps: int) -> "Spread":
        """Train on until so many steps are done; a run that ends or fails adds nothing more."""
        while self._lanes and self._steps < steps:
            try:
                original, *controls = [next(lane) for lane in self._lanes]
            except Exception:  # what can't be computed in float32 has no measure
                self._lanes = []
                break
            self._steps += 1
            for control in controls:
                _widen(self.params, original.params, control.params)
                _widen(self.buffers, original.buffers, control.buffers)
        return self


def _widen(spread: dict[str, float], original: Tensors, control: Tensors) -> None:
    for name in original.keys() & control.keys():
        spread[name] = max(spread.get(name, 0.0), largest_gap(original[name], control[name]))
