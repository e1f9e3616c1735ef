"""Name the algebra behind a gradient's difference, tensor by tensor."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from mnist_fn.shared.parity.bounds import USUAL_TERMS, sum_bound
from mnist_fn.shared.parity.causes.explanation import (
    AS_DECLARED,
    Candidate,
    Explanation,
    Tensors,
    distance,
    judge,
    layer_of,
    number,
    which,
)
from mnist_fn.shared.parity.causes.numbers import mantissa_bits, round_to_bits, simplest
from mnist_fn.shared.parity.causes.pattern import describe, within

FORMATS = {24: "float32", 11: "TF32 or float16", 8: "bfloat16"}


def explain_gradients(
    expected: Tensors,
    seen: Tensors,
    weights: Tensors,
    batch: int | None = None,
    dtype: str = "float64",
    of: str = "gradients",
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
        seen: the one to be explained.
        weights: at which both were taken.
        batch: examples in the batch, so that a factor can be named after it.
        dtype: of the arithmetic, which sets what rounding may do.
        of: what this is, in words.
        floor: what rounding may do, by tensor, where it is more than that of 784 terms.
        decay: the multiple of the weights that the expected gradient has in it, to be named after.
        also: other gradients to try, by what they are in words.
    """
    missing = [name for name in expected if name not in seen or seen[name] is None]
    if missing:
        none = Candidate(AS_DECLARED.text, np.inf, np.inf, **AS_DECLARED.facts)
        return judge(of, none, (), f"no gradient {which(missing, expected)}")
    expected, seen, weights = (
        {name: np.asarray(tree[name], np.float64) for name in expected}
        for tree in (expected, seen, weights)
    )
    unit: Tensors = {}
    share = sum_bound(USUAL_TERMS, dtype)
    scales = {n: max(np.abs(expected[n]).max(initial=1e-300), _largest(t)) for n, t in seen.items()}
    least = share * max(scales.values())
    for name, tensor in seen.items():
        # a gradient that is 0 but for rounding, such as a bias before a norm's, by the others
        largest = scales[name] if scales[name] > least else max(scales.values())
        unit[name] = np.full(tensor.shape, share * largest)
    for name, value in (floor or {}).items():
        unit[name] = np.maximum(unit[name], value)
    return _Gradients(expected, seen, weights, unit, batch, decay, also or {}).explain(of)


def _largest(array: np.ndarray) -> float:
    finite = np.abs(array[np.isfinite(array)])
    return float(finite.max(initial=0))


class _Gradients:
    def __init__(
        self,
        expected: Tensors,
        observed: Tensors,
        weights: Tensors,
        unit: Tensors,
        batch: int | None,
        decay: float,
        also: Mapping[str, Tensors],
    ) -> None:
        self.expected, self.seen, self.weights, self.unit = expected, observed, weights, unit
        self.batch, self.decay, self.also = batch, decay, also

    def explain(self, subject: str) -> Explanation:
        declared = self.candidate("as declared", "declared", self.expected)
        pattern = describe(self.expected, self.seen, self.unit)
        return judge(subject, declared, () if declared.fits else self.tried(), pattern)

    def candidate(self, text: str, family: str, predicted: Tensors, solved: int = 0) -> Candidate:
        with np.errstate(all="ignore"):
            residual, units = distance([predicted], [self.seen], [self.unit])
        return Candidate(text, residual, units, solved, code=family, family=family)

    def tried(self) -> Iterator[Candidate]:
        for text, predicted in self.also.items():
            yield self.candidate(text, text, predicted)
        yield from self.zeros()
        yield from self.moved()
        yield from self.exchanged()
        yield from self.rounded()
        yield from self.clipped()
        g, w = self.expected, self.weights
        sign = {name: np.sign(tensor) for name, tensor in w.items()}
        ones = {name: np.ones_like(tensor) for name, tensor in w.items()}
        alone = [
            self.fitted("factor", {"factor": g}, {}),
            self.fitted("decay", {"weights": w}, g),
            self.fitted("l1", {"sign": sign}, g),
            self.fitted("constant", {"constant": ones}, g),
        ]
        yield from alone
        if not any(candidate.fits for candidate in alone):
            # without its decay, so that either may be wrong alone
            decay = {n: self.decay if t.ndim > 1 else 0.0 for n, t in w.items()}
            bare = {n: t - decay[n] * w[n] for n, t in g.items()}
            base = {n: decay[n] * t for n, t in w.items()}
            yield self.fitted("factor and decay", {"factor": bare}, base)
            yield self.fitted("factor and decay", {"factor": bare, "weights": w}, base)
        centered = {n: x - x.mean(0, keepdims=True) if x.ndim > 1 else x for n, x in g.items()}
        yield self.candidate("centered: each column's mean taken off", "centered", centered)

    def fitted(self, family: str, directions: Mapping[str, Tensors], base: Tensors) -> Candidate:
        """The best multiples of some directions, tensor by tensor, added to `base`."""
        multiples: dict[str, dict[str, float]] = {}
        predicted, negligible = {}, []
        for name, gradient in self.seen.items():
            start = base.get(name, np.zeros_like(gradient))
            columns = [tree[name].ravel() for tree in directions.values()]
            if np.all(np.abs(gradient) <= self.unit[name]):  # any multiple of nothing fits
                predicted[name], _ = start, negligible.append(name)
                continue
            values = _least_squares(columns, (gradient - start).ravel())
            values = self.simplified(name, start, columns, values)
            multiples[name] = dict(zip(directions, values, strict=True))
            predicted[name] = start + sum(
                v * c.reshape(gradient.shape) for v, c in zip(values, columns, strict=True)
            )
        numbers = {tuple(f"{x:.10g}" for x in values.values()) for values in multiples.values()}
        solved = len(numbers) * len(directions)
        if multiples:
            counts = Counter(tuple(values.items()) for values in multiples.values())
            commonest = counts.most_common(1)[0][0]
            multiples |= {name: dict(commonest) for name in negligible}
        multiples = {name: multiples[name] for name in self.seen if name in multiples}
        return self.candidate(self.named(multiples), family, predicted, solved)

    def simplified(
        self, name: str, start: np.ndarray, columns: list[np.ndarray], values: list[float]
    ) -> list[float]:
        """Coefficients with as few digits as fit."""
        unit, observed = self.unit[name].ravel(), self.seen[name].ravel()

        def fits(chosen: Sequence[float]) -> bool:
            predicted = start.ravel() + sum(v * c for v, c in zip(chosen, columns, strict=True))
            return bool(np.all(np.abs(predicted - observed) <= unit))

        if not fits(values):
            return values
        for i, value in enumerate(values):
            values[i] = simplest(
                value, 0.0, lambda x, i=i: fits([*values[:i], x, *values[i + 1 :]])
            )
        return values

    def named(self, multiples: Mapping[str, Mapping[str, float]]) -> str:
        groups: dict[tuple[tuple[str, float], ...], list[str]] = {}
        for name, values in multiples.items():
            # zero directions say nothing; a factor of 1 is no change
            changed = {
                k: float(f"{v:.10g}")
                for k, v in values.items()
                if abs(v - (1 if k == "factor" else 0)) > 1e-12 * abs(v)
            }
            if changed:
                groups.setdefault(tuple(changed.items()), []).append(name)
        if len(groups) > 3:
            return "another multiple for each tensor"
        return (
            " and ".join(
                f"{' and '.join(self.multiple(*part) for part in key)} {which(names, self.seen)}"
                for key, names in groups.items()
            )
            or "as declared"
        )

    def multiple(self, kind: str, value: float) -> str:
        if kind == "weights" and self.decay and abs(value / self.decay + 1) < 1e-9:
            return f"the decay {number(self.decay)} · weights is missing"
        if kind == "weights" and self.decay:
            share = number(1 + value / self.decay)
            return f"decay {number(self.decay + value)} · weights, {share} times the declared,"
        if kind == "weights":
            return f"{number(value)} · weights added (a decay, or its penalty's gradient)"
        if kind == "sign":
            return f"{number(value)} · sign of the weights added (an L1 penalty)"
        if kind == "constant":
            return f"{number(value)} added"
        if value == 0:
            return "no gradient but the decay's" if self.decay else "no gradient"
        if self.batch and abs(value / self.batch - 1) < 1e-9:
            return f"sum for mean over the batch ({self.batch} times as large)"
        if self.batch and abs(value * self.batch - 1) < 1e-9:
            return f"divided by the batch size once more (1/{self.batch} as large)"
        if value == -1:
            return "the other sign"
        return f"{number(value)} times as large"

    def zeros(self) -> Iterator[Candidate]:
        zeroed = [name for name, tensor in self.seen.items() if not tensor.any()]
        if zeroed and len(zeroed) < len(self.seen):
            predicted = {
                n: np.zeros_like(t) if n in zeroed else t for n, t in self.expected.items()
            }
            names = list(self.seen)
            next_trained = next(
                (n for n in names[names.index(zeroed[-1]) + 1 :] if n not in zeroed), None
            )
            begins = zeroed == names[: len(zeroed)] and next_trained is not None
            what = f"no gradient {which(zeroed, self.seen)}"
            if begins:
                what += f": none passes below {layer_of(str(next_trained))}"
            yield self.candidate(what, "factor", predicted)

    def moved(self) -> Iterator[Candidate]:
        """The same numbers in other places of a tensor."""
        for text, move in _moves():
            parted = [
                name
                for name, tensor in self.seen.items()
                if not within(self.expected[name], tensor, self.unit[name])
            ]
            predicted = {}
            for name, tensor in self.expected.items():
                candidate = move(tensor, self.seen[name].shape) if name in parted else tensor
                if candidate is not None and candidate.shape == self.seen[name].shape:
                    predicted[name] = candidate
            if len(predicted) == len(self.seen):
                yield self.candidate(
                    f"{text} {which(parted, self.seen)}", f"moved {text}", predicted
                )

    def exchanged(self) -> Iterator[Candidate]:
        """Two tensors of one shape, each in the other's place."""
        for a, b in itertools.combinations(self.seen, 2):
            if self.seen[a].shape == self.seen[b].shape:
                predicted = {**self.expected, a: self.expected[b], b: self.expected[a]}
                yield self.candidate(f"{a} and {b} exchanged", "exchanged", predicted)

    def rounded(self) -> Iterator[Candidate]:
        for bits, name in FORMATS.items():
            coarse = [n for n, t in self.seen.items() if mantissa_bits(t) <= bits and t.any()]
            if coarse:
                predicted = {
                    n: round_to_bits(t, bits) if n in coarse else t
                    for n, t in self.expected.items()
                }
                text = f"rounded to {name} {which(coarse, self.seen)}"
                yield self.candidate(text, "rounded", predicted)

    def clipped(self) -> Iterator[Candidate]:
        norm = float(np.sqrt(sum((g * g).sum() for g in self.expected.values())))
        observed_norm = float(np.sqrt(sum((g * g).sum() for g in self.seen.values())))
        if 0 < observed_norm < norm:
            for slack in (0.0, 1e-6):
                limit = observed_norm * (norm + slack) / norm
                limit = simplest(limit, 0.0, lambda x, s=slack: self.fits_norm(x, norm, s))
                predicted = {n: g * (limit / (norm + slack)) for n, g in self.expected.items()}
                text = f"clipped to a global norm of {number(limit)}"
                yield self.candidate(text, "factor", predicted, 1)
        limit = max(float(np.abs(g).max()) for g in self.seen.values())
        predicted = {n: np.clip(g, -limit, limit) for n, g in self.expected.items()}
        yield self.candidate(f"clipped to ±{number(limit)}", "clip", predicted, 1)

    def fits_norm(self, limit: float, norm: float, slack: float) -> bool:
        predicted = {n: g * (limit / (norm + slack)) for n, g in self.expected.items()}
        return distance([predicted], [self.seen], [self.unit])[1] <= 1


def _least_squares(columns: list[np.ndarray], wanted: np.ndarray) -> list[float]:
    if not np.all(np.isfinite(wanted)):
        return [float("nan")] * len(columns)
    scales = [float(np.abs(c).max(initial=0)) or 1.0 for c in columns]
    matrix = np.stack([c / s for c, s in zip(columns, scales, strict=True)], axis=1)
    solution = np.linalg.lstsq(matrix, wanted, rcond=None)[0]
    remainder = wanted - matrix @ solution
    solution = solution + np.linalg.lstsq(matrix, remainder, rcond=None)[0]  # refined
    return [float(v) / s for v, s in zip(solution, scales, strict=True)]


def _moves() -> Iterator[tuple[str, Callable[..., np.ndarray | None]]]:
    def transposed(t: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
        return t.T if t.ndim == 2 and t.T.shape == shape else None

    def reshaped(t: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
        return t.T.reshape(shape) if t.ndim >= 2 and t.size == int(np.prod(shape)) else None

    yield "transposed", transposed
    yield "reshaped, not transposed,", reshaped
    yield "rows reversed", lambda t, _: t[::-1] if t.ndim else None
    yield "columns reversed", lambda t, _: t[..., ::-1] if t.ndim else None
    yield "rows moved by one", lambda t, _: np.roll(t, 1, 0) if t.ndim else None
    yield "columns moved by one", lambda t, _: np.roll(t, 1, -1) if t.ndim else None
