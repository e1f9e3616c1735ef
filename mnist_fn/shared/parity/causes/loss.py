"""Name a loss as a function of given logits."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from mnist_fn.shared.parity.bounds import USUAL_TERMS, sum_bound
from mnist_fn.shared.parity.causes.explanation import Candidate, Explanation, judge, number
from mnist_fn.shared.parity.causes.numbers import simplest, solve

Batch = tuple[np.ndarray, np.ndarray]  # logits [n, classes], labels [n]


def explain_loss(
    batches: Sequence[Batch],
    seen: Sequence[float],
    declared: str = "cross-entropy",
    added: Sequence[float] | None = None,
    dtype: str = "float64",
    of: str = "loss",
) -> Explanation:
    """Which loss of these logits was seen, where a mean over the batch was declared.

    A number that is solved for takes one equation: give four batches or more, of two lengths, and
    one with logits far in saturation.

    Args:
        batches: logits and labels of each batch.
        seen: the loss of each.
        declared: one of LOSSES.
        added: what belongs to each loss besides, such as a penalty.
        dtype: of the arithmetic, which sets what rounding may do.
        of: what this is, in words.
    """
    wide = [(np.asarray(z, np.float64), np.asarray(y).astype(int)) for z, y in batches]
    losses = _Losses(wide, np.asarray(seen, np.float64), added, dtype)
    base = LOSSES[declared]
    true = losses.candidate("as declared", "declared", lambda z, y: float(base(z, y).mean()))
    pattern = losses.pattern(base)
    return judge(of, true, () if true.fits else losses.tried(base, declared), pattern)


def log_softmax(z: np.ndarray) -> np.ndarray:
    """Stable, along the last axis."""
    shifted = z - z.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def cross_entropy(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """-log softmax(z)[label] of each example."""
    return -log_softmax(z)[np.arange(len(y)), y]


def _hot(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.eye(z.shape[1])[y]


def binary(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Binary cross-entropy of each logit with the one-hot label, mean over classes."""
    hot = _hot(z, y)
    return (np.logaddexp(0, z) - hot * z).mean(axis=1)


def _squares(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    return ((z - _hot(z, y)) ** 2).mean(axis=1)


def _brier(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    return ((np.exp(log_softmax(z)) - _hot(z, y)) ** 2).mean(axis=1)


def _hinge(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    target = z[np.arange(len(y)), y][:, None]
    return (np.maximum(0, 1 - target + z).sum(axis=1) - 1) / z.shape[1]


Each = Callable[[np.ndarray, np.ndarray], np.ndarray]
LOSSES: dict[str, Each] = {
    "cross-entropy": cross_entropy,
    "binary cross-entropy": binary,
    "squared error of the logits": _squares,
    "squared error of the probabilities": _brier,
    "multi-class hinge": _hinge,
    "minus the probability of the label": lambda z, y: -np.exp(-cross_entropy(z, y)),
    "minus the logit of the label": lambda z, y: -z[np.arange(len(y)), y],
    "log-sum-exp without the label's logit": lambda z, y: (
        cross_entropy(z, y) + z[np.arange(len(y)), y]
    ),
}


class _Losses:
    def __init__(
        self, batches: list[Batch], observed: np.ndarray, added: Sequence[float] | None, dtype: str
    ) -> None:
        self.batches, self.seen = batches, observed
        self.added = np.zeros(len(observed)) if added is None else np.asarray(added, np.float64)
        # logits may be large where a loss is small: that is where its rounding comes from
        size = np.array([np.abs(z).max(initial=1) for z, _ in batches]) + np.abs(self.added)
        self.unit = sum_bound(USUAL_TERMS, dtype) * np.maximum(np.abs(observed), 0.01 * size)

    def values(self, loss: Callable[[np.ndarray, np.ndarray], float]) -> np.ndarray:
        with np.errstate(all="ignore"):
            return np.array([loss(z, y) for z, y in self.batches]) + self.added

    def candidate(
        self,
        text: str,
        family: str,
        loss: Callable[[np.ndarray, np.ndarray], float],
        solved: int = 0,
        predicted: np.ndarray | None = None,
    ) -> Candidate:
        predicted = self.values(loss) if predicted is None else predicted
        with np.errstate(all="ignore"):
            gap = np.abs(predicted - self.seen)
        gap = np.where(
            np.isnan(gap), 0.0 if np.array_equal(predicted, self.seen, True) else np.inf, gap
        )
        return Candidate(text, float(gap.max()), float((gap / self.unit).max()), family, solved)

    def pattern(self, base: Each) -> str:
        true = self.values(lambda z, y: float(base(z, y).mean()))
        with np.errstate(all="ignore"):
            ratio = self.seen / true
        parted = [i + 1 for i in range(len(true)) if abs(true[i] - self.seen[i]) > self.unit[i]]
        many = "all" if len(parted) == len(true) else f"{len(parted)} of {len(true)}"
        return f"parts on {many} batches, ratios " + ", ".join(f"{r:.6g}" for r in ratio[:6])

    def tried(self, base: Each, declared: str) -> Iterator[Candidate]:
        def mean(loss: Each) -> Callable[[np.ndarray, np.ndarray], float]:
            return lambda z, y: float(loss(z, y).mean())

        yield self.candidate("sum for mean over the batch", "sum", lambda z, y: base(z, y).sum())
        largest = max(len(y) for _, y in self.batches)
        yield self.candidate(
            f"a short batch's sum divided by the full batch size ({largest})",
            "full size",
            lambda z, y: base(z, y).sum() / largest,
        )
        yield self.candidate(
            "mean over examples and classes", "factor", lambda z, y: base(z, y).mean() / z.shape[1]
        )
        yield self.candidate(
            "in bits, log to base 2", "factor", lambda z, y: base(z, y).mean() / np.log(2)
        )
        for name, loss in LOSSES.items():
            if name != declared:
                yield self.candidate(f"{name} in place of {declared}", name, mean(loss))
                if name == "binary cross-entropy":
                    yield self.candidate(
                        f"{name}, summed over classes, in place of {declared}",
                        f"{name} sum",
                        lambda z, y: binary(z, y).mean() * z.shape[1],
                    )
        yield self.candidate(
            "softmax taken twice", "twice", mean(lambda z, y: base(np.exp(log_softmax(z)), y))
        )
        yield self.candidate("softmax without the shift by its maximum", "unstable", _unstable)
        yield self.candidate(
            "log-softmax over the batch, not over the classes",
            "axis",
            lambda z, y: -log_softmax(z.T).T[np.arange(len(y)), y].mean(),
        )
        yield self.candidate("the first example alone", "first", lambda z, y: base(z, y)[0])
        yield self.candidate("the largest of the batch", "max", lambda z, y: base(z, y).max())
        yield self.candidate(
            "the median of the batch", "median", lambda z, y: np.median(base(z, y))
        )
        for shift in (1, -1):
            yield self.candidate(
                f"labels moved by {shift:+d} within the batch",
                f"moved {shift}",
                mean(lambda z, y, shift=shift: base(z, np.roll(y, shift))),
            )
            yield self.candidate(
                f"labels {shift:+d}",
                f"labels {shift}",
                mean(lambda z, y, shift=shift: base(z, (y + shift) % z.shape[1])),
            )
        for bits, name in ((np.float32, "float32"), (np.float16, "float16")):
            yield self.candidate(
                f"logits pass through {name}",
                name,
                mean(lambda z, y, b=bits: base(z.astype(b).astype(float), y)),
            )
        yield from self.solved(base, mean)

    def solved(self, base: Each, mean: Callable[[Each], Callable]) -> Iterator[Candidate]:
        smooth = "label smoothing α = {}"
        free: list[tuple[str, str, Callable[[float], Callable], tuple[float, ...], str]] = [
            (smooth, "smoothing", lambda a: mean(lambda z, y: (1 - a) * base(z, y)
             - a * log_softmax(z).mean(axis=1)), (0.01, 0.1, 0.5), "linear"),
            (smooth + " on the other classes alone", "smoothing",
             lambda a: mean(lambda z, y: (1 - a) * base(z, y) - a * _others(z, y)),
             (0.01, 0.1, 0.5), "linear"),
            ("temperature {}", "temperature", lambda t: mean(lambda z, y: base(z / t, y)),
             (0.1, 0.5, 2.0, 10.0), "log"),
            ("a floor of {} added under the log", "floor",
             lambda e: mean(lambda z, y: -np.log(np.exp(-base(z, y)) + e)),
             (1e-15, 1e-12, 1e-10, 1e-8, 1e-6, 1e-3), "log"),
            ("probabilities clipped at {}", "floor clip",
             lambda e: mean(lambda z, y: np.minimum(base(z, y), -np.log(e))),
             (1e-15, 1e-12, 1e-8, 1e-7, 1e-3), "log"),
            ("focal loss, γ = {}", "focal",
             lambda g: mean(lambda z, y: (1 - np.exp(-base(z, y))) ** g * base(z, y)),
             (0.5, 1.0, 2.0, 5.0), "log"),
            ("logits clipped to ±{}", "clip logits",
             lambda c: mean(lambda z, y: base(np.clip(z, -c, c), y)),
             (0.5, 1.0, 5.0, 10.0, 20.0, 50.0), "log"),
            ("each example's loss clipped at {}", "clip loss",
             lambda c: mean(lambda z, y: np.minimum(base(z, y), c)), (1.0, 5.0, 20.0), "log"),
            ("{} · logsumexp² added (a z-loss)", "z-loss",
             lambda c: mean(lambda z, y: base(z, y) + c * _lse(z) ** 2), (1e-4, 1e-2), "linear"),
            ("{} · entropy taken off", "entropy",
             lambda c: mean(lambda z, y: base(z, y) + c * (np.exp(log_softmax(z))
             * log_softmax(z)).sum(axis=1)), (0.01, 0.1), "linear"),
            ("× {}", "factor", lambda c: mean(lambda z, y: c * base(z, y)),
             (0.1, 0.5, 2.0, 10.0), "log"),
        ]  # fmt: skip
        for text, family, make, starts, scale in free:
            value = solve(
                lambda x, m=make: (self.values(m(x)) - self.seen) / self.unit, starts, scale
            )
            if self.candidate("", "", make(value)).fits:
                value = simplest(value, 0.0, lambda x, m=make: self.candidate("", "", m(x)).fits)
            yield self.candidate(text.format(number(value)), family, make(value), 1)
        yield from self.penalties(base)

    def penalties(self, base: Each) -> Iterator[Candidate]:
        """Another multiple of what is added."""
        if not self.added.any():
            return
        true = self.values(lambda z, y: float(base(z, y).mean())) - self.added
        steep = float(((self.added / self.unit) ** 2).sum())
        factor = float(((self.seen - true) * self.added / self.unit**2).sum()) / steep

        def scaled(x: float) -> Candidate:
            text = f"penalty × {number(x)}" if x else "no penalty"
            return self.candidate(text, "penalty", lambda z, y: 0.0, 1, true + x * self.added)

        if scaled(factor).fits:
            factor = simplest(factor, 0.0, lambda x: scaled(x).fits)
        yield scaled(factor)


def _others(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    logs = log_softmax(z)
    return (logs.sum(axis=1) - logs[np.arange(len(y)), y]) / (z.shape[1] - 1)


def _lse(z: np.ndarray) -> np.ndarray:
    return np.logaddexp.reduce(z, axis=1)


def _unstable(z: np.ndarray, y: np.ndarray) -> float:
    e = np.exp(z)
    return float(-np.log(e[np.arange(len(y)), y] / e.sum(axis=1)).mean())
