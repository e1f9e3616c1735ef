"""Losses, each written once for NumPy and PyTorch, and which of them was seen.

`xp` is the namespace that a loss computes in: `numpy`, or `torch`, where it has a gradient.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mnist_fn.shared.parity.bounds import USUAL_TERMS, sum_bound
from mnist_fn.shared.parity.causes.activation import log_softmax, softmax, softplus
from mnist_fn.shared.parity.causes.distance import Tensors
from mnist_fn.shared.parity.causes.explanation import AS_DECLARED, Explanation, judge
from mnist_fn.shared.parity.causes.search import Form, Search

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
    xp: Any, x: Array, y: Array, declared: str, each: Callable[[], Array], reduction: str = "mean"
) -> Iterator[Form]:
    """Every other loss of x and its targets, and the declared one with another mean.

    Args:
        xp: the namespace.
        x, y: outputs and targets.
        declared: the loss, by its name in ELEMENTWISE where it has one.
        each: what it is of each entry.
        reduction: "mean", "sum" or "none".
    """
    yield from reductions(xp, each, reduction)
    for name, loss in ELEMENTWISE.items():
        if name != declared:
            value = lambda f=loss: reduced(xp, f(xp, x, y), reduction)  # noqa: E731
            yield Form("loss", value, declared=declared, actual=name)


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
            code, facts = name, dict[str, Any](family="reduction")
            if name in ("mean", "sum"):
                code, facts = "reduction", {"declared": declared, "actual": name, **facts}
            yield Form(code, lambda f=reduce: f(values()), **facts)


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
        xp = self.xp
        logs = log_softmax(xp, self.logits, 1) if logs is None else logs
        weights = self._class_weights
        hard = -_picked(xp, weights * logs, self.labels)
        if self.smoothing:
            spread = -xp.sum(weights * logs, axis=1) / logs.shape[1]
            hard = (1 - self.smoothing) * hard + self.smoothing * spread
        if self.ignored is None:
            return hard
        return xp.where(self.labels != self.ignored, hard, xp.zeros_like(hard))

    @property
    def _class_weights(self) -> Array:
        shape = [1, -1, *[1] * (self.logits.ndim - 2)]
        z = self.logits[:1]
        ones = self.xp.ones_like(z.reshape(z.shape[1], -1)[:, 0])
        return (ones if self.weights is None else self.weights).reshape(*shape)

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


def class_losses(loss: ClassLoss) -> Iterator[Form]:
    """Every other loss: one thing changed, every other argument as declared."""
    xp, z, y = loss.xp, loss.logits, loss.labels
    yield from reductions(xp, loss.each, loss.reduction)
    classes = z.shape[1]
    value = lambda: loss.value() / classes  # noqa: E731
    yield Form("mean over examples and classes", value, family="factor")
    yield Form("in bits, log to base 2", lambda: loss.value() / np.log(2), family="factor")
    for name in LOSSES:
        if name != loss.name:
            yield Form("loss", loss.but(name=name).value, declared=loss.name, actual=name)
    yield Form("softmax taken twice", lambda: loss.but(logits=softmax(xp, z, 1)).value())
    for shift in (1, -1):
        moved = loss.but(labels=xp.roll(y, shift))
        yield Form(f"labels moved by {shift:+d} within the batch", moved.value)
        yield Form(f"labels {shift:+d}", loss.but(labels=(y + shift) % classes).value)
    yield from _other_numbers(loss)
    if loss.name == "cross-entropy":
        yield from _arguments(loss)
        yield from _logarithms(loss)


def _arguments(loss: ClassLoss) -> Iterator[Form]:
    """Label smoothing; weights of classes and ignored labels, where they are declared."""
    xp, y, ignored = loss.xp, loss.labels, loss.ignored
    smooth = lambda share: loss.but(smoothing=share).value()  # noqa: E731
    facts: dict[str, Any] = {"declared": loss.smoothing, "family": "label smoothing"}
    for smoothing in (0.0, 0.01, 0.05, 0.1, 0.2):
        if smoothing != loss.smoothing:
            yield Form("label smoothing", lambda s=smoothing: smooth(s), actual=smoothing, **facts)
    starts = (0.01, 0.1, 0.5)
    yield Form("label smoothing", smooth, starts, "linear", **facts)
    code = "label smoothing {}, over the other classes alone"
    yield Form(code, lambda a: _shared(loss, a), starts, "linear", family="label smoothing")
    if loss.weights is not None:
        plain = loss.but(weights=None)
        yield Form("no weights of classes", plain.value)
        by_count = lambda: plain.reduce(loss.each())  # noqa: E731
        yield Form("weights of classes averaged by count, not by their sum", by_count)
    if ignored is not None:
        first = loss.but(labels=xp.where(y == ignored, xp.zeros_like(y), y), ignored=None)
        yield Form("ignored targets counted", lambda: xp.mean(loss.each()), declared=ignored)
        yield Form("ignored targets as class 0", first.value, declared=ignored)


def _shared(loss: ClassLoss, smoothing: float) -> Array:
    """Label smoothing that goes to the other classes only."""
    logs = log_softmax(loss.xp, loss.logits, 1)
    remaining = loss.xp.sum(logs, axis=1) - _picked(loss.xp, logs, loss.labels)
    values = (1 - smoothing) * loss.each() - smoothing * remaining / (logs.shape[1] - 1)
    return loss.reduce(values)


def _logarithms(loss: ClassLoss) -> Iterator[Form]:
    """What stands in place of the stable logarithm of the probabilities."""
    xp, z = loss.xp, loss.logits

    def of_logs(probabilities: Array) -> Array:
        return loss.value(xp.log(probabilities))

    def unstable() -> Array:
        raw = xp.exp(z)
        return of_logs(raw / xp.sum(raw, axis=1, keepdims=True))

    yield Form("log(p) in place of the stable form", lambda: of_logs(softmax(xp, z, 1)))
    yield Form("softmax without the shift by its maximum", unstable)
    over_batch = lambda: loss.value(log_softmax(xp, z, 0))  # noqa: E731
    yield Form("log-softmax over the batch, not over the classes", over_batch)
    added = lambda f: of_logs(softmax(xp, z, 1) + f)  # noqa: E731
    yield from floored("log(p + {}) in place of the stable form", added)
    raised = lambda f: of_logs(xp.clip(softmax(xp, z, 1), f, None))  # noqa: E731
    yield from floored("log(max(p, {})) in place of the stable form", raised)


def floored(code: str, value: Callable[[float], Array]) -> Iterator[Form]:
    """A loss with a floor under its logarithm: the usual ones, then whatever it is."""
    for floor in FLOORS:
        yield Form(code, lambda f=floor: value(f), actual=floor)
    yield Form(code, value, FLOOR_STARTS)


def _other_numbers(loss: ClassLoss) -> Iterator[Form]:
    """Numbers of any loss of classes, to be solved for."""
    xp, z = loss.xp, loss.logits

    def entropy() -> Array:
        return -xp.sum(softmax(xp, z, 1) * log_softmax(xp, z, 1), axis=1)

    of_logits: dict[str, tuple[Callable[[float], Array], tuple[float, ...]]] = {
        "logits divided by {}": (lambda t: z / t, (0.1, 0.5, 2.0, 10.0)),
        "logits clipped to ±{}": (lambda c: xp.clip(z, -c, c), (0.5, 1.0, 5.0, 10.0, 20.0, 50.0)),
    }
    for code, (change, starts) in of_logits.items():
        yield Form(code, lambda c, f=change: loss.but(logits=f(c)).value(), starts)
    of_values: dict[str, tuple[Callable[[Array, float], Array], tuple[float, ...], str]] = {
        "focal loss, γ = {}": (
            lambda v, g: (1 - xp.exp(-v)) ** g * v, (0.5, 1.0, 2.0, 5.0), "log"
        ),
        "each example's loss clipped at {}": (
            lambda v, c: xp.clip(v, None, c), (1.0, 5.0, 20.0), "log"
        ),
        "{} · logsumexp² added (a z-loss)": (
            lambda v, c: v + c * _sum_exp(xp, z) ** 2, (1e-4, 1e-2), "linear"
        ),
        "{} · entropy taken off": (lambda v, c: v - c * entropy(), (0.01, 0.1), "linear"),
    }  # fmt: skip
    for code, (change, starts, scale) in of_values.items():
        yield Form(code, lambda c, f=change: loss.reduce(f(loss.each(), c)), starts, scale)
    factor = (0.1, 0.5, 2.0, 10.0)
    yield Form("× {}", lambda c: c * loss.value(), factor, declared=1.0, family="factor")


# --- losses of several batches -------------------------------------------------------------------


def explain_loss(
    batches: Sequence[Batch],
    observed: Sequence[float],
    declared: str = "cross-entropy",
    dtype: str = "float64",
    subject: str = "loss",
) -> Explanation:
    """Which loss of these logits was seen, where a mean over the batch was declared.

    A number that is solved for takes one equation: give four batches or more, of two lengths, and
    one with logits far in saturation.

    Args:
        batches: logits and labels of each batch.
        observed: the loss of each.
        declared: one of LOSSES.
        dtype: of the arithmetic, which sets what rounding may do.
        subject: what this is, in words.
    """
    losses, values, sizes = [], [], []
    shown = np.asarray(observed, np.float64)
    with np.errstate(all="ignore"):
        for z, y in batches:
            logits = np.asarray(z, np.float64)
            loss = ClassLoss(np, logits, np.asarray(y).astype(int), declared)
            losses.append(loss)
            values.append(loss.value())
            # logits may be large where a loss is small: that is where its rounding comes from
            sizes.append(np.abs(logits[np.isfinite(logits)]).max(initial=1))
        finite = np.where(np.isfinite(shown), shown, 0.0)
        unit = sum_bound(USUAL_TERMS, dtype) * np.maximum(np.abs(finite), 0.01 * np.array(sizes))
        search = _Losses({"loss": finite}, {"loss": unit}, shown)
        true = search.candidate(AS_DECLARED, values)
        tried = () if true.fits else search.tried(_together(losses))
        return judge(subject, true, tried, _ratios(np.array(values), shown, unit))


@dataclass
class _Losses(Search):
    """Losses of several batches: an infinity or NaN equals the same and nothing else."""

    shown: np.ndarray  # the losses; `observed` has 0 for those that aren't finite

    def tensors(self, computed: Any) -> Tensors:
        """Losses to be compared: where the shown one isn't finite, 0 for the same, else ∞."""
        array = np.array(computed, np.float64)
        same = (array == self.shown) | (np.isnan(array) & np.isnan(self.shown))
        infinite = np.where(same, 0.0, np.inf)
        return {"loss": np.where(np.isfinite(self.shown), array, infinite)}


def _together(losses: Sequence[ClassLoss]) -> Iterator[Form]:
    """The same change in every batch's loss."""
    largest = max(len(loss.labels) for loss in losses)
    by_largest = lambda: [loss.each().sum() / largest for loss in losses]  # noqa: E731
    yield Form(
        "a short batch's sum divided by the full batch size ({declared})",
        by_largest,
        declared=largest,
    )
    for narrow in (np.float32, np.float16):
        values = []
        for loss in losses:
            values.append(loss.but(logits=loss.logits.astype(narrow).astype(float)).value())
        yield Form(f"logits pass through {narrow.__name__}", lambda values=values: values)
    for forms in zip(*map(class_losses, losses), strict=True):
        every = lambda *value, forms=forms: [form.compute(*value) for form in forms]  # noqa: E731
        yield replace(forms[0], compute=every)


def _ratios(declared: np.ndarray, observed: np.ndarray, unit: np.ndarray) -> str:
    ratio = observed / declared
    differing = int((np.abs(declared - observed) > unit).sum())
    many = "all" if differing == len(declared) else f"{differing} of {len(declared)}"
    return f"differs on {many} batches, ratios " + ", ".join(f"{r:.6g}" for r in ratio[:6])
