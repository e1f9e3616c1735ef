"""The same search for anything that can be computed: other forms, and numbers to be solved for."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnist_fn.shared.parity.bounds import USUAL_TERMS, sum_bound
from mnist_fn.shared.parity.causes.explanation import (
    AS_DECLARED,
    Candidate,
    Cause,
    Explanation,
    Tensors,
    distance,
    judge,
    number,
)
from mnist_fn.shared.parity.causes.numbers import simplest, solve
from mnist_fn.shared.parity.causes.pattern import describe


@dataclass(frozen=True)
class Form(Cause):
    """Another way to compute it."""

    compute: Callable[[], Any]  # gives None where it makes no sense here
    # (cause, role): all lines of a module with such a form are changed at once; a cause with roles
    # takes two of them
    together: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Number(Cause):
    """A way to compute it with a number in it, {} in the text, which is solved for."""

    compute: Callable[[float], Any]
    starts: tuple[float, ...]
    scale: str = "log"  # one of numbers.SCALES
    together: tuple[tuple[str, str], ...] = ()  # see Form

    @property
    def plain(self) -> float:
        """The number that is declared, 0 where none is."""
        return self.declared if isinstance(self.declared, int | float) else 0.0


def explain_variants(
    of: str,
    seen: Tensors,
    declared: Tensors,
    ways: Iterable[Form | Number],
    dtype: str = "float64",
    floor: Tensors | None = None,
) -> Explanation:
    """Which of some ways to compute tensors gives those that were seen.

    Args:
        of: what was seen, in words.
        seen: the tensors to be explained.
        declared: the same as declared.
        ways: other ways; those with a number are solved for where no form fits.
        dtype: of the arithmetic, which sets what rounding may do.
        floor: what rounding may do, by tensor, where it is more than that of 784 terms.
    """
    seen, declared = (
        {name: np.asarray(tree[name], np.float64) for name in seen} for tree in (seen, declared)
    )
    search = Search(seen, declared, dtype, floor or {})
    true = search.candidate(AS_DECLARED, declared)
    tried = () if true.fits else search.tried(ways)
    return judge(of, true, tried, describe(declared, seen, search.unit))


class Search:
    """What was seen, and how near something computed otherwise comes to it.

    Args:
        seen, declared, dtype, floor: see `explain_variants`.
        terms: of the sums that these are made of: see `bounds.sum_bound`.
    """

    def __init__(
        self,
        seen: Tensors,
        declared: Tensors,
        dtype: str,
        floor: Tensors,
        terms: int = USUAL_TERMS,
    ) -> None:
        self.seen, self.unit = seen, dict[str, np.ndarray]()
        for name, tensor in seen.items():
            finite = np.abs(tensor[np.isfinite(tensor)])
            largest = max(finite.max(initial=1e-300), np.abs(declared[name]).max(initial=0))
            unit = np.full(tensor.shape, sum_bound(terms, dtype) * largest)
            self.unit[name] = np.maximum(unit, floor[name]) if name in floor else unit

    def candidate(
        self, cause: Cause, predicted: Tensors | None, value: float | None = None
    ) -> Candidate:
        """How far it stays from what was seen; with the value of a number that is solved for."""
        facts, text = cause.facts, cause.text
        if value is not None:
            facts |= {"actual": value, "family": cause.family or text}
            text = text.format(number(value))
        if predicted is None:
            return Candidate(text, np.inf, np.inf, **facts)
        with np.errstate(all="ignore"):
            residual, units = distance([predicted], [self.seen], [self.unit])
        return Candidate(text, residual, units, int(value is not None), **facts)

    def tried(self, ways: Iterable[Form | Number]) -> Iterator[Candidate]:
        """Each form, and where none fits each number."""
        with np.errstate(all="ignore"):
            exact, numbers = [], []
            for way in ways:
                if isinstance(way, Number):
                    numbers.append(way)
                else:
                    exact.append(self.candidate(way, way.compute()))
            yield from exact
            # silu is swish at β = 1: a form that fits is not named a second time by its number
            if not any(candidate.fits for candidate in exact):
                for free in numbers:
                    yield self.solved(free)

    def solved(self, free: Number) -> Candidate:
        """With its number solved for, and written with as few digits as fit."""

        def candidate(x: float) -> Candidate:
            return self.candidate(free, free.compute(x), x)

        value = solve(lambda x: self._residual(free.compute(x)), free.starts, free.scale)
        if candidate(value).fits:
            value = simplest(value, free.plain, lambda x: candidate(x).fits)
        return candidate(value)

    def _residual(self, predicted: Tensors | None) -> np.ndarray:
        if predicted is None or any(predicted[n].shape != t.shape for n, t in self.seen.items()):
            return np.array([np.inf])
        return np.concatenate(
            [((predicted[n] - t) / self.unit[n]).ravel() for n, t in self.seen.items()]
        )
