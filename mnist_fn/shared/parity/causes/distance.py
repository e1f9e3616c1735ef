"""How far tensors are from one another, in units of what rounding may do to each entry.

Where rounding is infinite an entry says nothing and is left out.
"""

from collections.abc import Callable, Iterable

import numpy as np

Tensors = dict[str, np.ndarray]  # by name, in the order of the network


def map_tensors(change: Callable[..., np.ndarray], tensors: Tensors, *trees: Tensors) -> Tensors:
    """Apply a function to each tensor and to those of its name in other trees."""
    changed = {}
    for name, tensor in tensors.items():
        changed[name] = change(tensor, *[tree[name] for tree in trees])
    return changed


def global_norm(tensors: Tensors) -> float:
    """The root of the sum of all squares."""
    total = 0.0
    for tensor in tensors.values():
        total += float((tensor * tensor).sum())
    return np.sqrt(total)


def largest_entry(array: np.ndarray) -> float:
    """The largest absolute value of an array; 0 if it is empty."""
    return float(np.abs(array).max(initial=0))


def largest_of_all(tensors: Iterable[np.ndarray]) -> float:
    """The largest absolute value in all tensors; 0 if they have none."""
    return max(map(largest_entry, tensors), default=0.0)


def centered(tensor: np.ndarray) -> np.ndarray:
    """A matrix less the mean of each column; a vector as it is."""
    return tensor - tensor.mean(axis=0, keepdims=True) if tensor.ndim > 1 else tensor


def distance(predicted: Tensors, observed: Tensors, rounding: Tensors) -> tuple[float, float]:
    """(largest absolute difference, largest in units of `rounding`) over all tensors."""
    absolute = units = 0.0
    for name, tensor in observed.items():
        if predicted[name].shape != tensor.shape:
            return np.inf, np.inf
        gap = np.abs(predicted[name] - tensor)
        known = np.isfinite(rounding[name])
        gap = np.where(np.isnan(gap), np.inf, gap)[known]
        if gap.size:
            absolute = max(absolute, float(gap.max()))
            units = max(units, float((gap / rounding[name][known]).max()))
    return absolute, units


def within(expected: np.ndarray, observed: np.ndarray, rounding: np.ndarray) -> bool:
    """Whether two tensors are equal but for rounding."""
    if expected.shape != observed.shape:
        return False
    gap = np.abs(expected - observed)
    return bool(np.all((gap <= rounding) | ~np.isfinite(rounding)))


def best_factor(expected: np.ndarray, observed: np.ndarray, rounding: np.ndarray) -> float | None:
    """Fit `expected` to `observed` by a factor, weighted by rounding; None where there is none."""
    known = np.isfinite(rounding) & (rounding > 0)
    a, b = expected[known] / rounding[known], observed[known] / rounding[known]
    squared = float(a @ a)
    factor = float(a @ b) / squared if squared and np.isfinite(squared) else np.inf
    return factor if np.isfinite(factor) else None


def constant_factor(
    expected: np.ndarray, observed: np.ndarray, rounding: np.ndarray
) -> float | None:
    """The one factor between two tensors, None if there is none."""
    factor = best_factor(expected, observed, rounding)
    if factor is None:
        return None
    unit = rounding * max(1.0, abs(factor))
    return factor if within(factor * expected, observed, unit) else None
