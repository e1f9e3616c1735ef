"""Losses, each written once for NumPy and PyTorch, and which of them was seen.

`xp` is the namespace that a loss computes in: `numpy`, or `torch`, where it has a gradient.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mnist_fn.shared.parity.bounds import USUAL_TERMS, sum_bound
from mnist_fn.shared.parity.causes.activation import log_softmax, softmax, softplus
from mnist_fn.shared.parity.causes.explanation import AS_DECLARED, Explanation, judge, number
from mnist_fn.shared.parity.causes.search import Form, Number, Search

Array = Any  # of the namespace `xp`
Batch = tuple[np.ndarray, np.ndarray]  # logits [n, classes], labels [n]
Elementwise = Callable[[Any, Array, Array], Array]

FLOORS = (1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15, 1e-16, 1e-20, 1e-30)
FLOOR_STARTS = (1e-15, 1e-12, 1e-8, 1e-3)


# --- of each entry, with its target --------------------------------------------------------------


def _huber(xp: Any, x: Array, y: Array, delta: float = 1.0) -> Array:
    gap = xp.abs(x - y)
    return xp.where(gap < delta, gap**2 / 2, delta * (gap - delta / 2))


# each has a value for each entry
ELEMENTWISE: dict[str, Elementwise] = {
    "squared error": lambda xp, x, y: (x - y) ** 2,
    "half of the squared error (optax.l2_loss)": lambda xp, x, y: (x - y) ** 2 / 2,
    "absolute error": lambda xp, x, y: xp.abs(x - y),
    "Huber's loss": _huber,
    "log cosh": lambda xp, x, y: softplus(xp, -2 * (x - y)) + x - y - np.log(2),
    "binary cross-entropy": lambda xp, z, y: softplus(xp, z) - y * z,
}


def elementwise(
    xp: Any, x: Array, y: Array, declared: str, reduction: str = "mean"
) -> Iterator[Form]:
    """Every other loss of x and its targets, and the declared one with another mean."""
    base = ELEMENTWISE[declared]
    yield from reductions(xp, lambda: base(xp, x, y), reduction)
    for name, loss in ELEMENTWISE.items():
        if name != declared:
            yield Form(
                f"{name} in place of {declared}",
                lambda f=loss: reduced(xp, f(xp, x, y), reduction),
                code="loss",
                declared=declared,
                actual=name,
            )


def reduced(xp: Any, values: Array, reduction: str) -> Array:
    """The values as "mean", "sum" or "none" has them."""
    if reduction == "none":
        return values
    return xp.sum(values) if reduction == "sum" else xp.mean(values)


def reductions(xp: Any, values: Callable[[], Array], declared: str) -> Iterator[Form]:
    """One number made in another way of the values of a batch, which has a "mean" or a "sum"."""
    choices: dict[str, Callable[[Array], Array]] = {
        "mean": xp.mean,
        "sum": xp.sum,
        "summed over the outputs, mean over the batch": lambda v: xp.sum(v) / len(v),
        "the first example alone": lambda v: xp.mean(v[0]),
        "the largest of the batch": xp.amax,
        "the median of the batch": lambda v: xp.quantile(v, 0.5),
    }
    for name, reduce in choices.items():
        if name != declared:
            yield Form(
                f"{name} for {declared} over the batch" if name in ("mean", "sum") else name,
                lambda f=reduce: f(values()),
                family="reduction",
                code="reduction",
                declared=declared,
                actual=name,
            )


# --- of classes ----------------------------------------------------------------------------------


def _hot(xp: Any, z: Array, y: Array) -> Array:
    """[n, classes, …], True at the label."""
    classes = xp.arange(z.shape[1]).reshape(1, -1, *[1] * (z.ndim - 2))
    return y[:, None] == classes


def _picked(xp: Any, z: Array, y: Array) -> Array:
    """Each example's entry at its label."""
    return xp.sum(xp.where(_hot(xp, z, y), z, xp.zeros_like(z)), axis=1)


def cross_entropy(xp: Any, z: Array, y: Array) -> Array:
    """-log softmax(z)[label] of each example; z is [n, classes, …]."""
    return -_picked(xp, log_softmax(xp, z, 1), y)


def _with_hot(loss: Elementwise) -> Elementwise:
    return lambda xp, z, y: xp.mean(loss(xp, z, 1.0 * _hot(xp, z, y)), axis=1)


def _hinge(xp: Any, z: Array, y: Array) -> Array:
    margin = 1 - _picked(xp, z, y)[:, None] + z
    return (xp.sum(xp.clip(margin, 0, None), axis=1) - 1) / z.shape[1]


# each has a value for each example
LOSSES: dict[str, Elementwise] = {
    "cross-entropy": cross_entropy,
    "binary cross-entropy": _with_hot(ELEMENTWISE["binary cross-entropy"]),
    "squared error of the logits": _with_hot(ELEMENTWISE["squared error"]),
    "squared error of the probabilities": lambda xp, z, y: _with_hot(ELEMENTWISE["squared error"])(
        xp, softmax(xp, z, 1), y
    ),
    "multi-class hinge": _hinge,
    "minus the probability of the label": lambda xp, z, y: -_picked(xp, softmax(xp, z, 1), y),
    "minus the logit of the label": lambda xp, z, y: -_picked(xp, z, y),
    "log-sum-exp without the label's logit": lambda xp, z, y: _sum_exp(xp, z),
    "binary cross-entropy, summed over classes,": lambda xp, z, y: (
        z.shape[1] * _with_hot(ELEMENTWISE["binary cross-entropy"])(xp, z, y)
    ),
}


def _sum_exp(xp: Any, z: Array) -> Array:
    """log Σ eᶻ over the classes."""
    return (z - log_softmax(xp, z, 1))[:, 0]


@dataclass(frozen=True)
class ClassLoss:
    """A loss of logits and labels, with the arguments that PyTorch's cross-entropy has.

    Args:
        xp: the namespace.
        logits: [n, classes, …].
        labels: [n, …], whole numbers.
        name: one of LOSSES; the arguments below are cross-entropy's.
        weights: of the classes.
        smoothing: of the labels.
        ignored: the label that doesn't count; None: all do.
        reduction: "mean", "sum" or "none".
    """

    xp: Any
    logits: Array
    labels: Array
    name: str = "cross-entropy"
    weights: Array | None = None
    smoothing: float = 0.0
    ignored: int | None = None
    reduction: str = "mean"

    def each(self, logs: Array = None) -> Array:
        """Each example's loss; of other logarithms of the probabilities, if they are given."""
        if self.name != "cross-entropy":
            return LOSSES[self.name](self.xp, self.logits, self.labels)
        xp, counts = self.xp, self._counts
        logs = log_softmax(xp, self.logits, 1) if logs is None else logs
        weights = self._class_weights
        hard = -_picked(xp, weights * logs, self.labels)
        if self.smoothing:
            spread = -xp.sum(weights * logs, axis=1) / logs.shape[1]
            hard = (1 - self.smoothing) * hard + self.smoothing * spread
        return hard if counts is None else xp.where(counts, hard, xp.zeros_like(hard))

    @property
    def _class_weights(self) -> Array:
        shape = [1, -1, *[1] * (self.logits.ndim - 2)]
        z = self.logits[:1]
        ones = self.xp.ones_like(z.reshape(z.shape[1], -1)[:, 0])
        return (ones if self.weights is None else self.weights).reshape(*shape)

    @property
    def _counts(self) -> Array | None:
        return None if self.ignored is None else self.labels != self.ignored

    def value(self, logs: Array = None) -> Array:
        """The loss as it is declared."""
        return self.reduce(self.each(logs))

    def reduce(self, values: Array) -> Array:
        """One number of each example's loss."""
        if self.reduction != "mean" or (self.weights is None and self.ignored is None):
            return reduced(self.xp, values, self.reduction)
        ones = self.xp.zeros_like(self.logits) + self._class_weights
        divisor = _picked(self.xp, ones, self.labels)
        return self.xp.sum(values) / self.xp.sum(divisor)

    def but(self, **changes: Any) -> "ClassLoss":
        """With other arguments."""
        return replace(self, **changes)


def class_losses(loss: ClassLoss) -> Iterator[Form | Number]:
    """Every other loss: one thing changed, every other argument as declared."""
    xp = loss.xp
    yield from reductions(xp, loss.each, loss.reduction)
    classes = loss.logits.shape[1]
    yield Form(
        "mean over examples and classes",
        lambda: loss.value() / classes,
        code="reduction",
        family="factor",
    )
    yield Form(
        "in bits, log to base 2", lambda: loss.value() / np.log(2), code="factor", family="factor"
    )
    for name in LOSSES:
        if name != loss.name:
            yield Form(
                f"{name} in place of {loss.name}",
                loss.but(name=name).value,
                code="loss",
                declared=loss.name,
                actual=name,
            )
    yield Form(
        "softmax taken twice",
        lambda: loss.but(logits=softmax(xp, loss.logits, 1)).value(),
        code="softmax",
    )
    yield from _other_labels(loss)
    yield from _other_numbers(loss)
    if loss.name == "cross-entropy":
        yield from _arguments(loss)
        yield from _logarithms(loss)


def _other_labels(loss: ClassLoss) -> Iterator[Form]:
    xp, y = loss.xp, loss.labels
    for shift in (1, -1):
        yield Form(
            f"labels moved by {shift:+d} within the batch",
            loss.but(labels=xp.roll(y, shift)).value,
            code="labels",
        )
        yield Form(
            f"labels {shift:+d}",
            loss.but(labels=(y + shift) % loss.logits.shape[1]).value,
            code="labels",
        )


def _arguments(loss: ClassLoss) -> Iterator[Form | Number]:
    """Label smoothing; weights of classes and ignored labels, where they are declared."""
    text = "label smoothing {} in place of " + number(loss.smoothing)
    for smoothing in (0.0, 0.01, 0.05, 0.1, 0.2):
        if smoothing != loss.smoothing:
            yield Form(
                text.format(number(smoothing)),
                loss.but(smoothing=smoothing).value,
                code="smoothing",
                declared=loss.smoothing,
                actual=smoothing,
                family="smoothing",
            )
    starts = (0.01, 0.1, 0.5)
    yield Number(
        text,
        lambda a: loss.but(smoothing=a).value(),
        starts,
        "linear",
        code="smoothing",
        declared=loss.smoothing,
        family="smoothing",
    )
    yield Number(
        "label smoothing {}, over the other classes alone",
        lambda a: _shared(loss, a),
        starts,
        "linear",
        code="smoothing",
        family="smoothing",
    )
    xp, y = loss.xp, loss.labels
    if loss.weights is not None:
        yield Form("no weights of classes", loss.but(weights=None).value, code="weights")
        yield Form(
            "weights of classes averaged by count, not by their sum",
            lambda: loss.but(weights=None).reduce(loss.each()),
            code="weights",
            actual="count",
        )
    if loss.ignored is not None:
        yield Form(
            f"the mean counts the ignored targets ({loss.ignored}) as well",
            lambda: xp.mean(loss.each()),
            code="ignored",
            actual="counted",
        )
        yield Form(
            f"targets {loss.ignored} are not ignored, but taken as class 0",
            lambda: loss.but(
                labels=xp.where(y == loss.ignored, xp.zeros_like(y), y), ignored=None
            ).value(),
            code="ignored",
            actual="class 0",
        )


def _shared(loss: ClassLoss, smoothing: float) -> Array:
    """Label smoothing that goes to the other classes only."""
    logs = log_softmax(loss.xp, loss.logits, 1)
    remaining = loss.xp.sum(logs, axis=1) - _picked(loss.xp, logs, loss.labels)
    values = (1 - smoothing) * loss.each() - smoothing * remaining / (logs.shape[1] - 1)
    return loss.reduce(values)


def _logarithms(loss: ClassLoss) -> Iterator[Form | Number]:
    """What stands in place of the stable logarithm of the probabilities."""
    xp = loss.xp

    def probabilities() -> Array:
        return softmax(xp, loss.logits, 1)

    def unstable() -> Array:
        raw = xp.exp(loss.logits)
        return raw / xp.sum(raw, axis=1, keepdims=True)

    yield Form(
        "log(p) in place of the stable form",
        lambda: loss.value(xp.log(probabilities())),
        code="floor",
    )
    yield Form(
        "softmax without the shift by its maximum",
        lambda: loss.value(xp.log(unstable())),
        code="floor",
    )
    yield Form(
        "log-softmax over the batch, not over the classes",
        lambda: loss.value(log_softmax(xp, loss.logits, 0)),
        code="axis",
    )
    yield from floored(
        "log(p + {}) in place of the stable form",
        lambda f: loss.value(xp.log(probabilities() + f)),
    )
    yield from floored(
        "log(max(p, {})) in place of the stable form",
        lambda f: loss.value(xp.log(xp.clip(probabilities(), f, None))),
    )


def floored(text: str, value: Callable[[float], Array]) -> Iterator[Form | Number]:
    """A loss with a floor under its logarithm: the usual ones, then whatever it is."""
    for floor in FLOORS:
        filled = text.format(number(floor))
        yield Form(filled, lambda f=floor: value(f), code="floor", actual=floor)
    yield Number(text, value, FLOOR_STARTS, code="floor")


def _other_numbers(loss: ClassLoss) -> Iterator[Number]:
    """Numbers of any loss of classes, to be solved for."""
    xp, z = loss.xp, loss.logits

    def of_logits(change: Callable[[float], Array]) -> Callable[[float], Array]:
        return lambda c: loss.but(logits=change(c)).value()

    def of_values(change: Callable[[Array, float], Array]) -> Callable[[float], Array]:
        return lambda c: loss.reduce(change(loss.each(), c))

    def entropy() -> Array:
        return -xp.sum(softmax(xp, z, 1) * log_softmax(xp, z, 1), axis=1)

    yield Number(
        "logits divided by {}",
        of_logits(lambda t: z / t),
        (0.1, 0.5, 2.0, 10.0),
        code="temperature",
        declared=1.0,
    )
    yield Number(
        "logits clipped to ±{}",
        of_logits(lambda c: xp.clip(z, -c, c)),
        (0.5, 1.0, 5.0, 10.0, 20.0, 50.0),
        code="clip",
    )
    yield Number(
        "focal loss, γ = {}",
        of_values(lambda v, g: (1 - xp.exp(-v)) ** g * v),
        (0.5, 1.0, 2.0, 5.0),
        code="focal",
    )
    yield Number(
        "each example's loss clipped at {}",
        of_values(lambda v, c: xp.clip(v, None, c)),
        (1.0, 5.0, 20.0),
        code="clip",
    )
    yield Number(
        "{} · logsumexp² added (a z-loss)",
        of_values(lambda v, c: v + c * _sum_exp(xp, z) ** 2),
        (1e-4, 1e-2),
        "linear",
        code="z-loss",
    )
    yield Number(
        "{} · entropy taken off",
        of_values(lambda v, c: v - c * entropy()),
        (0.01, 0.1),
        "linear",
        code="entropy",
    )
    yield Number(
        "× {}",
        lambda c: c * loss.value(),
        (0.1, 0.5, 2.0, 10.0),
        code="factor",
        declared=1.0,
        family="factor",
    )


# --- losses of several batches -------------------------------------------------------------------


def explain_loss(
    batches: Sequence[Batch],
    seen: Sequence[float],
    declared: str = "cross-entropy",
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
        dtype: of the arithmetic, which sets what rounding may do.
        of: what this is, in words.
    """
    losses = [
        ClassLoss(np, np.asarray(z, np.float64), np.asarray(y).astype(int), declared)
        for z, y in batches
    ]
    observed = np.asarray(seen, np.float64)
    with np.errstate(all="ignore"):
        values = np.array([loss.value() for loss in losses])
        # logits may be large where a loss is small: that is where its rounding comes from
        size = np.array([np.abs(loss.logits).max(initial=1) for loss in losses])
        unit = sum_bound(USUAL_TERMS, dtype) * np.maximum(np.abs(observed), 0.01 * size)
        # what is NaN on both sides is equal, what is NaN in one isn't
        search = Search(
            {"loss": np.nan_to_num(observed)}, {"loss": values}, dtype, {"loss": unit}, 0
        )
        true = search.candidate(AS_DECLARED, _known(values, observed))
        ways = _together(losses, observed)
        return judge(
            of, true, () if true.fits else search.tried(ways), _ratios(values, observed, unit)
        )


def _known(values: Sequence[float] | np.ndarray, observed: np.ndarray) -> dict[str, np.ndarray]:
    """Losses to be compared, 0 where both are NaN."""
    array = np.array(values, np.float64)
    either = np.where(np.isnan(observed), np.inf, array)
    return {"loss": np.where(np.isnan(observed) & np.isnan(array), 0.0, either)}


def _together(losses: Sequence[ClassLoss], observed: np.ndarray) -> Iterator[Form | Number]:
    """The same change in every batch's loss."""
    largest = max(len(loss.labels) for loss in losses)
    yield Form(
        f"a short batch's sum divided by the full batch size ({largest})",
        lambda: _known([loss.each().sum() / largest for loss in losses], observed),
        code="reduction",
    )
    for narrow in (np.float32, np.float16):
        rounded = [loss.but(logits=loss.logits.astype(narrow).astype(float)) for loss in losses]
        yield Form(
            f"logits pass through {narrow.__name__}",
            lambda changed=rounded: _known([loss.value() for loss in changed], observed),
            code="precision",
            actual=narrow.__name__,
        )
    for ways in zip(*map(class_losses, losses), strict=True):
        yield replace(
            ways[0],
            compute=lambda *value, ways=ways: _known([w.compute(*value) for w in ways], observed),
        )


def _ratios(declared: np.ndarray, observed: np.ndarray, unit: np.ndarray) -> str:
    ratio = observed / declared
    differing = int((np.abs(declared - observed) > unit).sum())
    many = "all" if differing == len(declared) else f"{differing} of {len(declared)}"
    return f"differs on {many} batches, ratios " + ", ".join(f"{r:.6g}" for r in ratio[:6])
