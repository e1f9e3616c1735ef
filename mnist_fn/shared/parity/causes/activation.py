"""Activations, each written once for NumPy and PyTorch, and which of them stands between two
tensors.

`xp` is the namespace that an activation computes in: `numpy`, or `torch`, where it has a gradient.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from mnist_fn.shared.parity.causes.explanation import Explanation, Tensors, number
from mnist_fn.shared.parity.causes.normalization import normalized
from mnist_fn.shared.parity.causes.numbers import round_to_bits
from mnist_fn.shared.parity.causes.search import Form, Number, explain_variants

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
SAME_VALUES = {name: "relu" for name in ACTIVATIONS if name.startswith("a relu")} | {"relu": "relu"}


class Parametric(NamedTuple):
    """An activation with a number in it, which is solved for."""

    function: Callable[[Any, Array, float], Array]
    starts: tuple[float, ...]
    scale: str = "log"  # one of numbers.SCALES
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
PRECISIONS = {24: "float32", 11: "TF32's or float16's bits", 8: "bfloat16"}


class Activation(NamedTuple):
    """One that is declared: a name of ACTIVATIONS, or of PARAMETRIC with its number."""

    name: str
    number: float | None = None

    @property
    def text(self) -> str:
        """In words."""
        return self.name if self.number is None else self.name.format(number(self.number))

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
) -> Iterator[Form | Number]:
    """Every other activation of x.

    Args:
        xp: the namespace.
        x: what the declared activation is given.
        declared: it.
        apply: what to compute with another activation; its value at x if None.
    """
    apply = apply or (lambda f: f(xp, x))
    for actual in usual_activations():
        if actual != declared:
            yield Form(
                f"{actual.text} in place of {declared.text}",
                lambda f=actual: apply(f),
                family=SAME_VALUES.get(actual.name, "" if actual.number is None else actual.name),
                code="activation",
                declared=declared.text,
                actual=actual.text,
            )
    for name, parametric in PARAMETRIC.items():
        same = declared.name == name and declared.number is not None
        yield Number(
            f"{name} in place of {number(declared.number or 0) if same else declared.text}",
            lambda v, n=name: apply(Activation(n, v)),
            parametric.starts,
            parametric.scale,
            family=name,
            code="activation",
            declared=declared.number if same else declared.text,
        )


def explain_forward(
    x: np.ndarray,
    seen: np.ndarray,
    declared: Activation = IDENTITY,
    dtype: str = "float64",
    of: str = "activations",
) -> Explanation:
    """Which function of `x` gives `seen`, both of one shape or one the other's permutation.

    Args:
        x: the last tensor that agrees, such as a layer's output before its activation.
        seen: what the side makes of it.
        declared: what is computed of it as declared.
        dtype: of the arithmetic, which sets what rounding may do.
        of: what this is, in words.
    """
    x, seen = np.asarray(x, np.float64), np.asarray(seen)

    def run(f: Function) -> Tensors:
        return {"x": f(np, x)}

    def base(z: np.ndarray) -> np.ndarray:
        return declared(np, z)

    linear = declared.name in ("no activation", "relu")
    ways: list[Form | Number] = [
        *activations(np, x, declared, run),
        *rounded(declared, run),
        *(Form(text, lambda f=f: {"x": f(x)}) for text, f in _around(base, seen)),
        Number("scaled by {}", lambda v: {"x": v * base(x)}, (0.1, 0.5, 2.0, 10.0), code="scale"),
        Number("{} added", lambda v: {"x": base(x) + v}, (0.1, 1.0), "linear", code="shift"),
        Number(
            "its input scaled by {}",
            lambda v: {"x": base(v * x)},
            (0.5, 2.0),
            family="scaled by {}" if linear else "",
            code="scale",
        ),
    ]
    with np.errstate(all="ignore"):
        return explain_variants(of, {"x": seen}, run(declared), ways, dtype)


def rounded(declared: Activation, apply: Callable[[Function], Any]) -> Iterator[Form]:
    """The declared activation in lower precision."""
    for bits, name in PRECISIONS.items():
        yield Form(
            f"{declared.text} through {name}",
            lambda b=bits: apply(lambda xp, x: round_to_bits(declared(xp, x), b)),
            code="precision",
            actual=name,
        )


def _around(
    base: Callable[[np.ndarray], np.ndarray], observed: np.ndarray
) -> Iterator[tuple[str, Callable[[np.ndarray], np.ndarray]]]:
    """What is done to an activation besides."""
    yield "the other sign", lambda x: -base(x)
    yield "activation twice", lambda x: base(base(x))
    yield "a residual added", lambda x: x + base(x)
    yield "normalized over the last axis", lambda x: normalized(np, base(x), (-1,))
    yield "divided by its length over the last axis", lambda x: _unit(base(x))
    yield "centered over the last axis", lambda x: base(x) - base(x).mean(-1, keepdims=True)
    yield "transposed", lambda x: base(x).T if base(x).T.shape == observed.shape else base(x)
    yield "reversed along the last axis", lambda x: base(x)[..., ::-1]
    yield (
        "reshaped in another order",
        lambda x: base(x).T.reshape(observed.shape) if base(x).size == observed.size else base(x),
    )
    yield "dropout left on", lambda x: _dropped(base(x), observed)


def _dropped(y: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Some entries 0 and the others larger by one factor, as dropout makes them; else `y`."""
    lost, use = (observed == 0) & (y != 0), (observed != 0) & (y != 0)
    if observed.shape != y.shape or not lost.any() or not use.any():
        return y
    scale = float(np.median(observed[use] / y[use]))
    return np.where(lost, 0, scale * y) if scale > 1 + 1e-6 else y


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.sqrt((x * x).sum(axis=-1, keepdims=True))
