"""What can be said of a difference that nothing explains: where it is, and of what shape."""

from collections.abc import Sequence

import numpy as np

from mnist_fn.shared.parity.causes.explanation import Tensors, number, which


def describe(expected: Tensors, seen: Tensors, rounding: Tensors) -> str:
    """Which tensors differ and which hold; for each that differs a constant factor, or whole
    rows or columns, where there are such.

    `rounding` is what a difference may be, by tensor; infinite where an entry says nothing.
    """
    parted = [name for name in seen if not within(expected[name], seen[name], rounding[name])]
    if not parted:
        return "no tensor is out of what rounding may do to it here"
    held = "" if len(parted) == len(seen) else " (all others agree)"
    shapes = [f"{name} {_shape(expected[name], seen[name], rounding[name])}" for name in parted]
    return f"differs in {which(parted, seen)}{held}: " + "; ".join(shapes)


def within(expected: np.ndarray, seen: np.ndarray, rounding: np.ndarray) -> bool:
    """Whether two tensors are equal but for rounding."""
    if expected.shape != seen.shape:
        return False
    gap = np.abs(expected - seen)
    return bool(np.all((gap <= rounding) | ~np.isfinite(rounding)))


def _shape(expected: np.ndarray, observed: np.ndarray, rounding: np.ndarray) -> str:
    if expected.shape != observed.shape:
        return f"has the shape {list(observed.shape)} for {list(expected.shape)}"
    gap = np.abs(observed - expected)
    largest = float(np.nanmax(gap)) if gap.size else 0.0
    phrases = [f"by up to {largest:.1e}"]
    if not np.all(np.isfinite(observed)):
        phrases = [
            f"is not finite in {int((~np.isfinite(observed)).sum())} of {observed.size} entries"
        ]
    factor = constant_factor(expected, observed, rounding)
    if within(np.zeros_like(observed), observed, rounding):
        phrases.append("is 0 but for rounding")
    elif factor is not None:
        phrases.append(f"{number(factor)} times as large throughout")
    differs = (gap > rounding) & np.isfinite(rounding)
    if observed.ndim >= 2 and differs.any() and not differs.all():
        for axis, kind in ((tuple(range(observed.ndim - 1)), "column"), (-1, "row")):
            lines = differs.any(axis=axis)
            if 0 < lines.sum() <= max(1, lines.size // 2):
                indices = [int(i) for i in np.flatnonzero(lines)[:4]]
                phrases.append(
                    f"in {int(lines.sum())} of {lines.size} {kind}s ({indices[0]} first)"
                )
                break
    elif differs.any() and not differs.all():
        phrases.append(f"in {int(differs.sum())} of {differs.size} entries")
    return ", ".join(phrases)


def constant_factor(expected: np.ndarray, seen: np.ndarray, rounding: np.ndarray) -> float | None:
    """The one factor between two tensors, None if there is none."""
    known = np.isfinite(rounding) & (rounding > 0)
    a, b, unit = expected[known], seen[known], rounding[known]
    squared = float(((a / unit) ** 2).sum())
    if not squared or not np.isfinite(squared):
        return None
    factor = float((a * b / unit**2).sum()) / squared
    residual = np.abs(b - factor * a) / (unit * max(1.0, abs(factor)))
    return factor if np.isfinite(factor) and residual.max() <= 1 else None


def since(parted: Sequence[bool]) -> str:
    """From which step on, in words."""
    if all(parted):
        return "from the first step on"
    first = list(parted).index(True) + 1
    if all(parted[first - 1 :]):
        return f"from step {first} on"
    steps = ", ".join(str(i + 1) for i, differs in enumerate(parted) if differs)
    return f"at step {steps} alone"
