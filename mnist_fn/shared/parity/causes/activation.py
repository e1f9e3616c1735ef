"""Activations, each written once for NumPy and PyTorch, and which of them stands between two
tensors.

`xp` is the namespace that an activation computes in: `numpy`, or `torch`, where it has a gradient.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from mnist_fn.shared.parity.causes.distance import Tensors
from mnist_fn.shared.parity.causes.explanation import Explanation
from mnist_fn.shared.parity.causes.normalization import normalized
from mnist_fn.shared.parity.causes.precision import FORMATS, round_to_bits
from mnist_fn.shared.parity.causes.search import Form, explain_variants
from mnist_fn.shared.parity.words import value_text

Array = Any  # of the namespace `xp`
Function = Callable[[Any, Array], Array]


def sigmoid(xp: Any, x: Array) -> Array:
    """1 / (1 + e⁻ˣ), stable."""
    return xp.exp(-softplus(xp, -x))


def softplus(xp: Any, x: Array) -> Array:
    """log(1 + eˣ), stable."""
    return xp.logaddexp(xp.zeros_like(x), x)


def relu(xp: Any, x: Array) -> Array:
    """max(x, 0), with the gradient 0 at 0."""
    return xp.where(x <= 0, xp.zeros_like(x), x)


def gelu(xp: Any, x: Array) -> Array:
    """x·Φ(x), exact (Hendrycks and Gimpel, 2016)."""
    special = getattr(xp, "special", None)  # torch's own; NumPy has its in SciPy
    if special is None:
        from scipy import special
    return x * special.ndtr(x)


def gelu_tanh(xp: Any, x: Array) -> Array:
    """GELU's approximation by tanh, of the same paper."""
    return 0.5 * x * (1 + xp.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3)))


def softmax(xp: Any, x: Array, axis: int = -1) -> Array:
    """Along one axis."""
    e = xp.exp(x - xp.amax(x, axis=axis, keepdims=True))
    return e / xp.sum(e, axis=axis, keepdims=True)


def log_softmax(xp: Any, x: Array, axis: int = -1) -> Array:
    """Stable, along one axis."""
    shifted = x - xp.amax(x, axis=axis, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=axis, keepdims=True))


def _exponential(xp: Any, x: Array, scale: float = 1.0) -> Array:
    """e^(x/scale) − 1 below 0, and 0 above."""
    return xp.expm1(-relu(xp, -x) / scale)


ACTIVATIONS: dict[str, Function] = {
    "no activation": lambda xp, x: x,
    "relu": relu,
    "|x|": lambda xp, x: xp.abs(x),
    "relu²": lambda xp, x: relu(xp, x) ** 2,
    "exact gelu": gelu,
    "gelu by tanh": gelu_tanh,
    "quick gelu, x·sigmoid(1.702 x)": lambda xp, x: x * sigmoid(xp, 1.702 * x),
    "silu": lambda xp, x: x * sigmoid(xp, x),
    "mish": lambda xp, x: x * xp.tanh(softplus(xp, x)),
    "tanh": lambda xp, x: xp.tanh(x),
    "sigmoid": sigmoid,
    "softsign": lambda xp, x: x / (1 + xp.abs(x)),
    "softplus": softplus,
    "hard tanh": lambda xp, x: xp.clip(x, -1, 1),
    "hard sigmoid": lambda xp, x: xp.clip(x / 6 + 0.5, 0, 1),
    "hard swish": lambda xp, x: x * xp.clip(x / 6 + 0.5, 0, 1),
    "selu": lambda xp, x: (
        1.0507009873554805 * (relu(xp, x) + 1.6732632423543772 * _exponential(xp, x))
    ),
    "softmax": softmax,
    "log-softmax": log_softmax,
    "sin": lambda xp, x: xp.sin(x),
    "minus relu of the negative": lambda xp, x: -relu(xp, -x),
    "a relu whose gradient at 0 is 1": lambda xp, x: xp.where(x >= 0, x, xp.zeros_like(x)),
    "a relu whose gradient at 0 is 1/2": lambda xp, x: (x + xp.abs(x)) / 2,
}
# the same values: one cause, of which the shortest is named
RELUS = ("relu", "a relu whose gradient at 0 is 1", "a relu whose gradient at 0 is 1/2")


class Parametric(NamedTuple):
    """An activation with a number in it, which is solved for."""

    function: Callable[[Any, Array, float], Array]
    starts: tuple[float, ...]
    scale: str = "log"  # one of search.SCALES
    usual: tuple[float, ...] = ()  # tried as they are, before it is solved for


PARAMETRIC: dict[str, Parametric] = {
    "leaky relu with slope {}": Parametric(
        lambda xp, x, a: xp.where(x > 0, x, a * x), (0.01, 0.1, 0.25), "linear", (0.01, 0.2)
    ),
    "elu with α = {}": Parametric(
        lambda xp, x, a: relu(xp, x) + a * _exponential(xp, x), (0.5, 1.0, 2.0), "linear", (1.0,)
    ),
    "celu with α = {}": Parametric(
        lambda xp, x, a: relu(xp, x) + a * _exponential(xp, x, a), (0.5, 2.0)
    ),
    "relu capped at {}": Parametric(
        lambda xp, x, c: xp.clip(x, 0, c), (0.5, 1.0, 3.0, 6.0, 20.0), "log", (6.0,)
    ),
    "clipped to ±{}": Parametric(lambda xp, x, c: xp.clip(x, -c, c), (1.0, 3.0, 6.0, 10.0, 30.0)),
    "relu with the threshold {}": Parametric(
        lambda xp, x, t: xp.where(x > t, x, xp.zeros_like(x)), (1e-6, 1e-3, 0.1)
    ),
    "relu of x − {}": Parametric(lambda xp, x, t: relu(xp, x - t), (1e-3, 0.1, 1.0), "linear"),
    "softplus with β = {}": Parametric(lambda xp, x, b: softplus(xp, b * x) / b, (2.0, 10.0, 20.0)),
    "swish with β = {}": Parametric(lambda xp, x, b: x * sigmoid(xp, b * x), (0.5, 1.5, 3.0)),
    "soft capped at {}: c·tanh(x/c)": Parametric(
        lambda xp, x, c: c * xp.tanh(x / c), (1.0, 10.0, 30.0)
    ),
}


class Activation(NamedTuple):
    """One that is declared: a name of ACTIVATIONS, or of PARAMETRIC with its number."""

    name: str
    number: float | None = None

    @property
    def text(self) -> str:
        """In words."""
        return self.name if self.number is None else self.name.format(value_text(self.number))

    def __call__(self, xp: Any, x: Array) -> Array:
        """What it makes of x."""
        if self.number is None:
            return ACTIVATIONS[self.name](xp, x)
        return PARAMETRIC[self.name].function(xp, x, self.number)


def usual_activations() -> Iterator[Activation]:
    """All without a number, and those with a number at its usual values."""
    yield from map(Activation, ACTIVATIONS)
    for name, parametric in PARAMETRIC.items():
        yield from (Activation(name, value) for value in parametric.usual)


IDENTITY, RELU = Activation("no activation"), Activation("relu")


def activations(
    xp: Any, x: Array, declared: Activation = RELU, apply: Callable[[Function], Any] | None = None
) -> Iterator[Form]:
    """Every other activation of x.

    Args:
        xp: the namespace.
        x: what the declared activation is given.
        declared: it.
        apply: what to compute with another activation; its value at x if None.
    """
    apply = apply or (lambda f: f(xp, x))
    for actual in usual_activations():
        if actual == declared:
            continue
        family = "relu" if actual.name in RELUS else "" if actual.number is None else actual.name
        facts: dict[str, Any] = {"declared": declared.text, "actual": actual.text, "family": family}
        yield Form("activation", lambda f=actual: apply(f), **facts)
    for name, parametric in PARAMETRIC.items():
        same = declared.name == name and declared.number is not None
        number = lambda v, n=name: apply(Activation(n, v))  # noqa: E731
        facts = {"declared": declared.number if same else declared.text, "family": name}
        facts["details"] = {"form": name}
        yield Form("activation", number, parametric.starts, parametric.scale, **facts)


def rounded(declared: Activation, apply: Callable[[Function], Any]) -> Iterator[Form]:
    """The declared activation in lower precision."""
    for bits, name in FORMATS.items():
        coarse = lambda b=bits: apply(lambda xp, x: round_to_bits(declared(xp, x), b))  # noqa: E731
        yield Form("rounded activation", coarse, declared=declared.text, actual=name)


# What is done to an activation y of x besides.
AROUND: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "the other sign": lambda x, y: -y,
    "a residual added": lambda x, y: x + y,
    "normalized over the last axis": lambda x, y: normalized(np, y, (-1,)),
    "divided by its length over the last axis": lambda x, y: (
        y / np.sqrt((y * y).sum(axis=-1, keepdims=True))
    ),
    "centered over the last axis": lambda x, y: y - y.mean(-1, keepdims=True),
    "transposed": lambda x, y: y.T,
    "reversed along the last axis": lambda x, y: y[..., ::-1],
}


def explain_forward(
    x: np.ndarray,
    observed: np.ndarray,
    declared: Activation = IDENTITY,
    dtype: str = "float64",
    subject: str = "activations",
) -> Explanation:
    """Which function of `x` gives `observed`, both of one shape or one the other's permutation.

    Args:
        x: the last tensor that agrees, such as a layer's output before its activation.
        observed: what the side makes of it.
        declared: what is computed of it as declared.
        dtype: of the arithmetic, which sets what rounding may do.
        subject: what this is, in words.
    """
    x, observed = np.asarray(x, np.float64), np.asarray(observed)

    def run(f: Function) -> Tensors:
        return {"x": f(np, x)}

    with np.errstate(all="ignore"):
        y = declared(np, x)
        family = "scaled by {}" if declared.name in ("no activation", "relu") else ""
        rescaled = lambda v: {"x": declared(np, v * x)}  # noqa: E731
        forms = [
            *activations(np, x, declared, run),
            *rounded(declared, run),
            *(Form(code, lambda f=f: {"x": f(x, y)}) for code, f in AROUND.items()),
            Form("activation twice", lambda: {"x": declared(np, y)}),
            Form("dropout left on", lambda: {"x": _dropped(y, observed)}),
            Form("scaled by {}", lambda v: {"x": v * y}, (0.1, 0.5, 2.0, 10.0), family=family),
            Form("{} added", lambda v: {"x": y + v}, (0.1, 1.0), "linear"),
            Form("its input scaled by {}", rescaled, (0.5, 2.0), family=family),
        ]
        if y.size == observed.size:
            reshaped = lambda: {"x": y.T.reshape(observed.shape)}  # noqa: E731
            forms.append(Form("reshaped in another order", reshaped))
        return explain_variants(subject, {"x": observed}, {"x": y}, forms, dtype)


def _dropped(y: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Some entries 0 and the others larger by one factor, as dropout makes them; else `y`."""
    lost, use = (observed == 0) & (y != 0), (observed != 0) & (y != 0)
    if observed.shape != y.shape or not lost.any() or not use.any():
        return y
    scale = float(np.median(observed[use] / y[use]))
    return np.where(lost, 0, scale * y) if scale > 1 + 1e-6 else y
