"""The same search for anything that can be computed: other forms, and numbers to be solved for."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from mnist_fn.shared.parity.bounds import USUAL_TERMS, sum_bound
from mnist_fn.shared.parity.causes.explanation import (
    Candidate,
    Explanation,
    Tensors,
    distance,
    judge,
    number,
)
from mnist_fn.shared.parity.causes.numbers import simplest, solve
from mnist_fn.shared.parity.causes.pattern import describe


@dataclass(frozen=True)
class Form:
    """Another way to compute it."""

    text: str
    made: Callable[[], Tensors | None]  # None where it makes no sense here
    family: str = ""


@dataclass(frozen=True)
class Number:
    """A way to compute it with a number in it, which is solved for."""

    text: str  # with {} for the number
    made: Callable[[float], Tensors | None]
    starts: tuple[float, ...]
    scale: str = "log"  # one of numbers.SCALES
    declared: float = 0.0
    family: str = ""


def explain_variants(
    of: str,
    seen: Tensors,
    declared: Tensors,
    forms: Iterable[Form],
    numbers: Iterable[Number] = (),
    dtype: str = "float64",
    floor: Tensors | None = None,
) -> Explanation:
    """Which of some ways to compute tensors gives those that were seen.

    Args:
        of: what was seen, in words.
        seen: the tensors to be explained.
        declared: the same as declared.
        forms: other ways.
        numbers: ways with a number that is solved for.
        dtype: of the arithmetic, which sets what rounding may do.
        floor: what rounding may do, by tensor, where it is more than that of 784 terms.
    """
    seen, declared = (
        {name: np.asarray(tree[name], np.float64) for name in seen} for tree in (seen, declared)
    )
    search = Search(seen, declared, dtype, floor or {})
    true = search.candidate("as declared", "declared", declared)
    tried = () if true.fits else search.tried(forms, numbers)
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
        self, text: str, family: str, predicted: Tensors | None, solved: int = 0
    ) -> Candidate:
        """How far it stays from what was seen."""
        if predicted is None:
            return Candidate(text, np.inf, np.inf, family, solved)
        with np.errstate(all="ignore"):
            return Candidate(text, *distance([predicted], [self.seen], [self.unit]), family, solved)

    def tried(self, forms: Iterable[Form], numbers: Iterable[Number]) -> Iterator[Candidate]:
        """Each form, and where none fits each number."""
        with np.errstate(all="ignore"):
            exact = [self.candidate(form.text, form.family, form.made()) for form in forms]
            yield from exact
            # silu is swish at β = 1: a form that fits is not named a second time by its number
            if not any(candidate.fits for candidate in exact):
                for free in numbers:
                    yield self.solved(free)

    def solved(self, free: Number) -> Candidate:
        """With its number solved for, and written with as few digits as fit."""

        def candidate(x: float) -> Candidate:
            text = free.text.format(number(x))
            return self.candidate(text, free.family or free.text, free.made(x), 1)

        value = solve(lambda x: self._residual(free.made(x)), free.starts, free.scale)
        if candidate(value).fits:
            value = simplest(value, free.declared, lambda x: candidate(x).fits)
        return candidate(value)

    def _residual(self, predicted: Tensors | None) -> np.ndarray:
        if predicted is None or any(predicted[n].shape != t.shape for n, t in self.seen.items()):
            return np.array([np.inf])
        return np.concatenate(
            [((predicted[n] - t) / self.unit[n]).ravel() for n, t in self.seen.items()]
        )
