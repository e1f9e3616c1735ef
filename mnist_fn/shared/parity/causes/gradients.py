"""Name the algebra behind a gradient's difference, tensor by tensor."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnist_fn.shared.parity.bounds import USUAL_TERMS, sum_bound
from mnist_fn.shared.parity.causes.distance import (
    Tensors,
    centered,
    global_norm,
    largest_entry,
    largest_of_all,
    map_tensors,
    within,
)
from mnist_fn.shared.parity.causes.explanation import (
    AS_DECLARED,
    Candidate,
    Cause,
    Explanation,
    as_declared,
    judge,
)
from mnist_fn.shared.parity.causes.precision import FORMATS, mantissa_bits, round_to_bits
from mnist_fn.shared.parity.causes.search import Search, rounding_of, simplest, wide
from mnist_fn.shared.parity.words import difference_text, layer_of, place, ranks_of


def explain_gradients(
    expected: Tensors,
    observed: Tensors,
    weights: Tensors,
    batch: int | None = None,
    dtype: str = "float64",
    subject: str = "gradients",
    floor: Tensors | None = None,
    decay: float = 0.0,
    also: Mapping[str, Tensors] | None = None,
) -> Explanation:
    """Which change to the expected gradient gives the one that was seen.

    Tried are multiples of the gradient, of the weights and of their sign added to it, clipping by
    norm and by value, transpositions and reversals, tensors that are exchanged, zeros from a layer
    on, lower precision.

    Args:
        expected: the gradient as declared, or another program's.
        observed: the one to be explained.
        weights: at which both were taken.
        batch: examples in the batch, so that a factor can be named after it.
        dtype: of the arithmetic, which sets what rounding may do.
        subject: what this is, in words.
        floor: what rounding may do, by tensor, where it is more than that of 784 terms.
        decay: the multiple of the weights that the expected gradient has in it, to be named after.
        also: other gradients to try, by what they are in words.
    """
    missing = [name for name in expected if observed.get(name) is None]
    if missing:
        pattern = f"no gradient {place(missing, ranks_of(expected))}"
        return judge(subject, as_declared(), (), pattern)
    names = list(expected)
    expected, observed, weights = wide(expected, names), wide(observed, names), wide(weights, names)
    unit = _rounding_of(expected, observed, dtype, floor)
    search = _Gradients(observed, unit, expected, weights, {"batch": batch, "decay": decay})
    true = search.candidate(AS_DECLARED, expected)
    tried = () if true.fits else search.changes(also or {})
    return judge(subject, true, tried, difference_text(expected, observed, unit))


def _rounding_of(
    expected: Tensors, observed: Tensors, dtype: str, floor: Tensors | None
) -> Tensors:
    """What rounding may do: see `search.rounding_of`; to a gradient that is 0 but for rounding, as
    that of a bias before a norm, what it may do to the others.
    """
    unit, share = rounding_of(observed, expected, dtype), sum_bound(USUAL_TERMS, dtype)
    most = largest_of_all(unit.values())
    for name, value in unit.items():
        if largest_entry(value) <= share * most:
            unit[name] = np.full(value.shape, most)
        if floor and name in floor:
            unit[name] = np.maximum(unit[name], floor[name])
    return unit


@dataclass
class _Gradients(Search):
    """Ways in which a gradient may be another one."""

    expected: Tensors
    weights: Tensors
    naming: Mapping[str, Any]  # the batch and the decay, which numbers are named after

    @property
    def ranks(self) -> dict[str, int]:
        """Of the tensors, to name them."""
        return ranks_of(self.observed)

    def named(
        self, code: str, names: Sequence[str], predicted: Tensors, family: str = "", **values: Any
    ) -> Candidate:
        """A change to some of the tensors."""
        details = {"on": names, "ranks": self.ranks, **values.pop("details", {})}
        return self.candidate(Cause(code, details=details, family=family, **values), predicted)

    def changes(self, also: Mapping[str, Tensors]) -> Iterator[Candidate]:
        """All that is tried."""
        for code, predicted in also.items():
            yield self.candidate(Cause(code), predicted)
        yield from self.zeros()
        yield from self.moved()
        yield from self.rounded()
        yield from self.clipped()
        g, w = self.expected, self.weights
        for a, b in itertools.combinations(self.observed, 2):
            if self.observed[a].shape == self.observed[b].shape:
                cause = Cause("exchanged", declared=a, actual=b, family="exchanged")
                yield self.candidate(cause, {**g, a: g[b], b: g[a]})
        single = [
            self.fitted("factor", {"factor": g}, {}),
            self.fitted("decay", {"weights": w}, g),
            self.fitted("l1", {"sign": map_tensors(np.sign, w)}, g),
            self.fitted("constant", {"constant": map_tensors(np.ones_like, w)}, g),
        ]
        yield from single
        if not any(candidate.fits for candidate in single):
            # the gradient without its decay, so that either of the two may be wrong
            decay = map_tensors(lambda t: (self.naming["decay"] if t.ndim > 1 else 0.0) * t, w)
            bare = map_tensors(np.subtract, g, decay)
            yield self.fitted("factor and decay", {"factor": bare}, decay)
            yield self.fitted("factor and decay", {"factor": bare, "weights": w}, decay)
        cause = Cause("centered: each column's mean taken off")
        yield self.candidate(cause, map_tensors(centered, g))

    def fitted(self, family: str, directions: Mapping[str, Tensors], base: Tensors) -> Candidate:
        """The best multiples of some directions, tensor by tensor, added to `base`."""
        multiples: dict[str, dict[str, float]] = {}
        counts: Counter[tuple[float, ...]] = Counter()
        predicted: Tensors = {}
        for name, gradient in self.observed.items():
            start = base.get(name, np.zeros_like(gradient))
            if np.all(np.abs(gradient) <= self.unit[name]):  # any multiple of nothing fits
                predicted[name], multiples[name] = start, {}
                continue
            columns = [tree[name].ravel() for tree in directions.values()]
            values = _least_squares(columns, (gradient - start).ravel())
            values = self.simplified(name, start, columns, values)
            counts[tuple(values)] += 1
            multiples[name] = dict(zip(directions, values, strict=True))
            predicted[name] = start + _combined(values, columns).reshape(gradient.shape)
        if not counts:  # there is no gradient, of which any multiple would do
            return self.candidate(Cause("multiples", family=family), None)
        commonest = dict(zip(directions, counts.most_common(1)[0][0], strict=True))
        written = set()  # the multiples in 10 digits
        for name in multiples:
            multiples[name] = multiples[name] or commonest
            written.add(tuple(map("{:.10g}".format, multiples[name].values())))
        details = {**self.naming, "ranks": self.ranks}
        cause = Cause("multiples", actual=multiples, details=details, family=family)
        return self.candidate(cause, predicted, len(written) * len(directions))

    def simplified(
        self, name: str, start: np.ndarray, columns: list[np.ndarray], values: list[float]
    ) -> list[float]:
        """Coefficients with as few digits as fit."""
        unit, observed = self.unit[name].ravel(), self.observed[name].ravel()

        def fits(chosen: Sequence[float]) -> bool:
            predicted = start.ravel() + _combined(chosen, columns)
            return bool(np.all(np.abs(predicted - observed) <= unit))

        if not fits(values):
            return values
        for i, value in enumerate(values):
            values[i] = simplest(
                value, 0.0, lambda x, i=i: fits([*values[:i], x, *values[i + 1 :]])
            )
        return values

    def zeros(self) -> Iterator[Candidate]:
        """No gradient of some tensors, such as all below a layer."""
        names, zeroed, predicted = list(self.observed), [], dict(self.expected)
        for name in names:
            if not self.observed[name].any():
                zeroed.append(name)
                predicted[name] = np.zeros_like(predicted[name])
        if not zeroed:
            return
        if zeroed == names[: len(zeroed)] and len(zeroed) < len(names):
            above = {"layer": layer_of(names[len(zeroed)])}
            yield self.named("no gradient below", zeroed, predicted, "factor", details=above)
        else:
            yield self.named("no gradient", zeroed, predicted, "factor")

    def moved(self) -> Iterator[Candidate]:
        """The same numbers in other places of a tensor."""
        parted = []
        for name, tensor in self.observed.items():
            if not within(self.expected[name], tensor, self.unit[name]):
                parted.append(name)
        for text, move in MOVES.items():
            predicted = dict(self.expected)
            for name in parted:
                moved = move(self.expected[name], self.observed[name].shape)
                if moved is None or moved.shape != self.observed[name].shape:
                    break
                predicted[name] = moved
            else:
                yield self.named("moved", parted, predicted, f"moved {text}", actual=text)

    def rounded(self) -> Iterator[Candidate]:
        """Fewer bits, where some tensors have no more."""
        for bits, name in FORMATS.items():
            coarse, predicted = [], dict(self.expected)
            for tensor, gradient in self.observed.items():
                if mantissa_bits(gradient) <= bits and gradient.any():
                    coarse.append(tensor)
                    predicted[tensor] = round_to_bits(self.expected[tensor], bits)
            if coarse:
                yield self.named("rounded", coarse, predicted, "rounded", actual=name)

    def clipped(self) -> Iterator[Candidate]:
        """Clipped by norm or by value."""
        norm = float(global_norm(self.expected))
        observed_norm = float(global_norm(self.observed))

        def by_norm(limit: float, slack: float) -> Candidate:
            predicted = map_tensors(lambda g: g * (limit / (norm + slack)), self.expected)
            cause = Cause("clipped to a global norm of {}", actual=limit, family="factor")
            return self.candidate(cause, predicted, 1)

        for slack in (0.0, 1e-6) if 0 < observed_norm < norm else ():
            limit = observed_norm * (norm + slack) / norm
            yield by_norm(simplest(limit, 0.0, lambda x, s=slack: by_norm(x, s).fits), slack)
        limit = largest_of_all(self.observed.values())
        if not limit:
            return
        predicted = map_tensors(lambda g: np.clip(g, -limit, limit), self.expected)
        yield self.candidate(Cause("clipped to ±{}", actual=limit), predicted, 1)


def _combined(values: Sequence[float], columns: list[np.ndarray]) -> np.ndarray:
    total = np.zeros_like(columns[0])
    for value, column in zip(values, columns, strict=True):
        total = total + value * column
    return total


def _least_squares(columns: list[np.ndarray], wanted: np.ndarray) -> list[float]:
    if not np.all(np.isfinite(wanted)):
        return [float("nan")] * len(columns)
    matrix = np.stack(columns, axis=1)
    scales = np.abs(matrix).max(axis=0, initial=0)
    scales[scales == 0] = 1
    matrix = matrix / scales
    solution = np.linalg.lstsq(matrix, wanted, rcond=None)[0]
    remainder = wanted - matrix @ solution
    solution = solution + np.linalg.lstsq(matrix, remainder, rcond=None)[0]  # refined
    return (solution / scales).tolist()


MOVES: dict[str, Callable[[np.ndarray, tuple[int, ...]], np.ndarray | None]] = {
    "transposed": lambda t, _: t.T if t.ndim == 2 else None,
    "reshaped, not transposed,": lambda t, shape: (
        t.T.reshape(shape) if t.ndim >= 2 and t.size == int(np.prod(shape)) else None
    ),
    "rows reversed": lambda t, _: t[::-1] if t.ndim else None,
    "columns reversed": lambda t, _: t[..., ::-1] if t.ndim else None,
    "rows moved by one": lambda t, _: np.roll(t, 1, 0) if t.ndim else None,
    "columns moved by one": lambda t, _: np.roll(t, 1, -1) if t.ndim else None,
}
