"""How far apart rounding may bring two right programs, measured where sums alone can't tell.

The reference is run once more in float32 from the same state. What float32 changes in a tensor,
times 2⁻²⁹, is what float64 may change in it, whatever cancels on the way: a key's bias, a
saturated softmax, a gradient that is 0 in exact arithmetic. Right ports stay within 12 of these
units and within 66 in structural zeros; wrong ones start at 5·10⁹ (see docs/porting.md).
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator

import numpy as np

from mnist_fn.shared.parity.program import Batch, Step


def single_batch(batch: Batch) -> Batch:
    """A batch whose floating-point inputs and targets are rounded to float32."""
    return batch.changed(_single, _single)


def _single(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype == np.float64 else array


def largest_gap(first: np.ndarray | None, second: np.ndarray | None) -> float:
    """The largest difference of two arrays; 0 where they can't be compared or are not finite."""
    if first is None or second is None or first.shape != second.shape or not first.size:
        return 0.0
    gap = float(np.abs(first.astype(np.float64) - second).max())
    return gap if np.isfinite(gap) else 0.0


Lanes = tuple[Iterator[Step], Iterator[Step]]  # a training and another run of it
Largest = dict[str, float]  # of each tensor


class Spread:
    """How far other runs of a training are from it: for each tensor the most so far. One run after
    another, so that no more than two are held at once.

    Args:
        start: gives each of the other runs with the training itself, from their start.
    """

    def __init__(self, start: Callable[[], Iterator[Lanes]]) -> None:
        self._start = start
        self._largest: list[tuple[Largest, Largest]] = []  # of parameters and buffers, by step

    def after(self, steps: int, until: int) -> tuple[Largest, Largest]:
        """Of parameters and of buffers after so many steps; `until` are to come at most. A run that
        ends or fails adds nothing more.
        """
        if len(self._largest) < steps:  # from the start again, so each time twice as far
            self._largest = self._measured(max(steps, min(until, 2 * steps)))
        return self._largest[steps - 1]

    def _measured(self, steps: int) -> list[tuple[Largest, Largest]]:
        largest: list[tuple[Largest, Largest]] = [({}, {}) for _ in range(steps)]
        for original, control in self._start():
            with contextlib.suppress(Exception):  # a run ends, or can't be in float32
                for params, buffers in largest:
                    _widen(params, buffers, next(original), next(control))
        for previous, current in itertools.pairwise(largest):
            for earlier, later in zip(previous, current, strict=True):
                for name, gap in earlier.items():
                    later[name] = max(gap, later.get(name, 0.0))
        return largest


def _widen(params: Largest, buffers: Largest, step: Step, other: Step) -> None:
    for largest, ours, theirs in (
        (params, step.params, other.params),
        (buffers, step.buffers, other.buffers),
    ):
        for name in ours.keys() & theirs.keys():
            largest[name] = max(largest.get(name, 0.0), largest_gap(ours[name], theirs[name]))
