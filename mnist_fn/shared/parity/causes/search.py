"""The search for what was done in place of what was declared: other forms, and their numbers.

A `Form` is another way to compute something. `explain_variants` tries each, solves for the numbers
in them, and claims by the rule of `explanation.judge`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnist_fn.shared.parity.bounds import USUAL_TERMS, sum_bound
from mnist_fn.shared.parity.causes.distance import Tensors, distance
from mnist_fn.shared.parity.causes.explanation import (
    AS_DECLARED,
    Candidate,
    Cause,
    Explanation,
    judge,
)
from mnist_fn.shared.parity.words import difference_text

Residual = Callable[[float], np.ndarray]  # of a value: predicted minus seen, in units of rounding

ITERATIONS = 24
SMALL = 1e-6  # of the numeric derivative, in the parameter's own scale


@dataclass(frozen=True)
class Form(Cause):
    """Another way to compute it; with `starts` there is a number in it, which is solved for."""

    compute: Callable[..., Any]  # of nothing, or of the number; None where it makes no sense here
    starts: tuple[float, ...] = ()  # where to begin
    scale: str = "log"  # one of SCALES
    # (code, role): all lines of a module with such a form are changed at once, "" for its own code;
    # a code with roles takes two of them
    together: tuple[tuple[str, str], ...] = ()


def explain_variants(
    subject: str,
    observed: Tensors,
    declared: Tensors,
    forms: Iterable[Form],
    dtype: str = "float64",
    floor: Tensors | None = None,
) -> Explanation:
    """Which of some ways to compute tensors gives those that were seen.

    Args:
        subject: what was seen, in words.
        observed: the tensors to be explained.
        declared: the same as declared.
        forms: other ways; those with a number are solved for where no other one fits.
        dtype: of the arithmetic, which sets what rounding may do.
        floor: what rounding may do, by tensor, where it is more than that of 784 terms.
    """
    observed, declared = wide(observed, observed), wide(declared, observed)
    search = Search(observed, rounding_of(observed, declared, dtype, floor))
    true = search.candidate(AS_DECLARED, declared)
    tried = () if true.fits else search.tried(forms)
    return judge(subject, true, tried, difference_text(declared, observed, search.unit))


def wide(tensors: Tensors, names: Iterable[str]) -> Tensors:
    """The named tensors in float64."""
    return {name: np.asarray(tensors[name], np.float64) for name in names}


def rounding_of(
    observed: Tensors,
    declared: Tensors,
    dtype: str,
    floor: Tensors | None = None,
    terms: int = USUAL_TERMS,
) -> Tensors:
    """Bound what rounding may do to each entry: a share of its tensor's largest, or the floor."""
    rounding: Tensors = {}
    for name, tensor in observed.items():
        finite = np.abs(tensor[np.isfinite(tensor)])
        largest = max(finite.max(initial=1e-300), np.abs(declared[name]).max(initial=0))
        rounding[name] = np.full(tensor.shape, sum_bound(terms, dtype) * largest)
        if floor and name in floor:
            rounding[name] = np.maximum(rounding[name], floor[name])
    return rounding


@dataclass
class Search:
    """What was seen, and how near something computed otherwise comes to it."""

    observed: Tensors
    unit: Tensors  # what rounding may do to each entry; infinite where one says nothing

    def tensors(self, computed: Any) -> Tensors | None:
        """What a form computes, as tensors like those that were seen."""
        return computed

    def candidate(self, cause: Cause, computed: Any, solved: int = 0) -> Candidate:
        """How far a cause stays from what was seen."""
        residual = units = np.inf
        with np.errstate(all="ignore"):
            predicted = self.tensors(computed)
            if predicted is not None:
                residual, units = self.distance(predicted, computed)
        return Candidate(cause.code, residual, units, solved, **cause.facts)

    def distance(self, predicted: Tensors, computed: Any) -> tuple[float, float]:
        """(residual, in units of rounding) of something predicted."""
        return distance(predicted, self.observed, self.unit)

    def tried(self, forms: Iterable[Form]) -> Iterator[Candidate]:
        """Each form, and where none fits those with a number."""
        with np.errstate(all="ignore"):
            exact, free = [], []
            for form in forms:
                if form.starts:
                    free.append(form)
                else:
                    exact.append(self.candidate(form, form.compute()))
            yield from exact
            # silu is swish at β = 1: a form that fits is not named a second time by its number
            if not any(candidate.fits for candidate in exact):
                yield from map(self.solved, free)

    def solved(self, form: Form) -> Candidate:
        """With its number solved for, and written with as few digits as fit."""
        declared = form.declared if isinstance(form.declared, int | float) else 0.0
        family = form.family or f"{form.code} at {form.at}"

        def candidate(value: float) -> Candidate:
            facts: dict[str, Any] = {**form.facts, "actual": value, "family": family}
            return self.candidate(Cause(form.code, **facts), form.compute(value), 1)

        value = solve(lambda x: self.residual(form.compute(x)), form.starts, form.scale)
        if candidate(value).fits:
            value = simplest(value, declared, lambda x: candidate(x).fits)
        return candidate(value)

    def residual(self, computed: Any, names: Sequence[str] | None = None) -> np.ndarray:
        """Predicted minus seen in units of rounding, as one vector; of some tensors alone."""
        predicted, parts = self.tensors(computed), []
        for name in names or self.observed:
            tensor, unit = self.observed[name], self.unit[name]
            if predicted is None or predicted[name].shape != tensor.shape:
                return np.array([np.inf])
            finite = np.isfinite(unit)
            parts.append((predicted[name] - tensor)[finite] / unit[finite])
        return np.concatenate(parts)


# --- numbers that are solved for -----------------------------------------------------------------


def solve(residual: Residual, starts: Sequence[float], scale: str = "log") -> float:
    """The value nearest to a zero of `residual`, by Gauss and Newton from the best two starts.

    Args:
        residual: of a value, a vector; not finite where the value makes no sense.
        starts: values to begin at.
        scale: "log" for positive numbers, "share" for numbers in (0, 1) near 1, "linear".
    """
    transform, inverse = SCALES[scale]
    sizes = sorted((_size(residual(start)), start) for start in starts)
    best_size, best = sizes[0]
    for _, start in sizes[:2]:
        size, point = _descend(lambda x: residual(inverse(x)), transform(start))
        if size < best_size:
            best_size, best = size, inverse(point)
    return best


def _descend(residual: Residual, x: float) -> tuple[float, float]:
    current = residual(x)
    size = _size(current)
    for _ in range(ITERATIONS):
        if not np.isfinite(size) or size == 0:
            break
        h = SMALL * max(1.0, abs(x))
        slope = (residual(x + h) - current) / h
        slope = np.where(np.isfinite(slope), slope, 0)
        curvature = float(slope @ slope)
        if curvature == 0 or not np.isfinite(curvature):
            break
        step = -float(slope @ current) / curvature
        for _ in range(6):  # halved while it leads nowhere
            trial = residual(x + step)
            if _size(trial) < size:
                break
            step /= 4
        else:
            break
        gained = size / max(_size(trial), 1e-300)
        x, current, size = x + step, trial, _size(trial)
        if gained < 1 + 1e-3:
            break
    return size, x


def _size(residual: np.ndarray) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        size = float(np.sqrt(np.mean(residual * residual))) if residual.size else np.inf
    return size if np.isfinite(size) else np.inf


SCALES: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "linear": (float, float),
    "log": (
        lambda v: float(np.log(max(v, 1e-300))),
        lambda x: float(np.exp(np.clip(x, -100.0, 40.0))),
    ),
    "share": (
        lambda v: float(np.log(max(1 - v, 1e-15))),
        lambda x: float(1 - np.exp(min(x, 0.0))),
    ),
}


def simplest(value: float, declared: float, fits: Callable[[float], bool]) -> float:
    """The value with the fewest digits that still fits, or the fewest digits of its share of the
    declared one, or the declared one rounded to float32; `value` itself if none does.
    """
    for candidate in _rounded(value, declared):
        if np.isfinite(candidate) and fits(candidate):
            return candidate
    return value


def _rounded(value: float, declared: float) -> Iterator[float]:
    yield 0.0
    for digits in range(1, 8):
        if digits == 4:
            yield float(np.float32(declared))
        yield float(f"{value:.{digits}g}")
        if declared:
            yield declared * float(f"{value / declared:.{digits}g}")
