"""Name what stands between two tensors of a network: the activation, or what is done to it."""

from collections.abc import Callable, Iterator

import numpy as np

from mnist_fn.shared.parity.causes.explanation import Explanation, Tensors
from mnist_fn.shared.parity.causes.numbers import round_to_bits
from mnist_fn.shared.parity.causes.search import Form, Number, explain_variants

Function = Callable[[np.ndarray], np.ndarray]


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + e⁻ˣ), stable."""
    return np.exp(-np.logaddexp(0, -x))


def gelu(x: np.ndarray) -> np.ndarray:
    """x·Φ(x), exact (Hendrycks and Gimpel, 2016)."""
    from scipy.special import ndtr

    return x * ndtr(x)


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    """GELU's approximation by tanh, of the same paper."""
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def softmax(x: np.ndarray) -> np.ndarray:
    """Along the last axis."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def relu(x: np.ndarray) -> np.ndarray:
    """max(x, 0)."""
    return np.maximum(x, 0)


ACTIVATIONS: dict[str, Function] = {
    "identity": lambda x: x,
    "relu": relu,
    "|x|": np.abs,
    "relu²": lambda x: relu(x) ** 2,
    "gelu": gelu,
    "gelu by tanh": gelu_tanh,
    "quick gelu": lambda x: x * sigmoid(1.702 * x),
    "silu": lambda x: x * sigmoid(x),
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "softplus": lambda x: np.logaddexp(0, x),
    "hard tanh": lambda x: np.clip(x, -1, 1),
    "hard sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "hard swish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
    "softmax": softmax,
    "log-softmax": lambda x: x - np.logaddexp.reduce(x, axis=-1, keepdims=True),
    "sin": np.sin,
    "minus relu of the negative": lambda x: np.minimum(x, 0),
}

# in words, the function, where to begin, the scale of the number
FAMILIES: list[tuple[str, Callable[[np.ndarray, float], np.ndarray], tuple[float, ...], str]] = [
    ("leaky relu with slope {}", lambda x, a: np.where(x > 0, x, a * x), (0.01, 0.1, 0.25),
     "linear"),
    ("elu with α = {}", lambda x, a: np.where(x > 0, x, a * np.expm1(np.minimum(x, 0))),
     (0.5, 1.0, 2.0), "linear"),
    ("relu capped at {}", lambda x, c: np.clip(x, 0, c), (0.5, 1.0, 3.0, 6.0, 20.0), "log"),
    ("clipped to ±{}", lambda x, c: np.clip(x, -c, c), (1.0, 3.0, 6.0, 10.0, 30.0), "log"),
    ("relu with the threshold {}", lambda x, t: np.where(x > t, x, 0), (1e-6, 1e-3, 0.1), "log"),
    ("relu of x − {}", lambda x, t: relu(x - t), (1e-3, 0.1, 1.0), "linear"),
    ("softplus with β = {}", lambda x, b: np.logaddexp(0, b * x) / b, (2.0, 10.0, 20.0), "log"),
    ("swish with β = {}", lambda x, b: x * sigmoid(b * x), (0.5, 1.5, 3.0), "log"),
    ("soft capped at {}: c·tanh(x/c)", lambda x, c: c * np.tanh(x / c), (1.0, 10.0, 30.0), "log"),
]  # fmt: skip
PRECISIONS = {24: "float32", 11: "TF32's or float16's bits", 8: "bfloat16"}


def explain_forward(
    x: np.ndarray,
    seen: np.ndarray,
    declared: str = "identity",
    dtype: str = "float64",
    of: str = "activations",
) -> Explanation:
    """Which function of `x` gives `seen`, both of one shape or one the other's permutation.

    Args:
        x: the last tensor that agrees, such as a layer's output before its activation.
        seen: what the side makes of it.
        declared: one of ACTIVATIONS.
        dtype: of the arithmetic, which sets what rounding may do.
        of: what this is, in words.
    """
    x = np.asarray(x, np.float64)
    base = ACTIVATIONS[declared]

    def run(f: Function) -> Tensors:
        return {"x": f(x)}

    forms = [
        Form(f"{text} in place of {declared}", lambda f=f: run(f))
        for text, f in functions(declared)
    ] + [Form(text, lambda f=f: run(f)) for text, f in _around(base, np.asarray(seen))]
    numbers = [
        Number(
            f"{text} in place of {declared}",
            lambda v, f=f: run(lambda x: f(x, v)),
            starts,
            scale,
        )
        for text, f, starts, scale in FAMILIES
    ]
    numbers += [
        Number("scaled by {}", lambda v: run(lambda x: v * base(x)), (0.1, 0.5, 2.0, 10.0), "log"),
        Number("{} added", lambda v: run(lambda x: base(x) + v), (0.1, 1.0), "linear"),
        Number("its input scaled by {}", lambda v: run(lambda x: base(v * x)), (0.5, 2.0), "log",
               family="scaled by {}" if declared in ("identity", "relu") else ""),
    ]  # fmt: skip
    with np.errstate(all="ignore"):
        return explain_variants(of, {"x": np.asarray(seen)}, run(base), forms, numbers, dtype)


def functions(declared: str) -> Iterator[tuple[str, Function]]:
    """The other activations, and the declared one in lower precision."""
    base = ACTIVATIONS[declared]
    for name, f in ACTIVATIONS.items():
        if name != declared:
            yield ("no activation" if name == "identity" else name), f
    for bits, name in PRECISIONS.items():
        yield f"{declared} through {name}", lambda x, b=bits: round_to_bits(base(x), b)


def _around(base: Function, observed: np.ndarray) -> Iterator[tuple[str, Function]]:
    """What is done to an activation besides."""
    yield "the other sign", lambda x: -base(x)
    yield "activation twice", lambda x: base(base(x))
    yield "a residual added", lambda x: x + base(x)
    yield "normalized over the last axis", lambda x: standardized(base(x))
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


def standardized(x: np.ndarray) -> np.ndarray:
    """Mean 0 and deviation 1 along the last axis, ε = 1e-5 as torch.nn.LayerNorm has it."""
    centered = x - x.mean(axis=-1, keepdims=True)
    return centered / np.sqrt((centered**2).mean(axis=-1, keepdims=True) + 1e-5)


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.sqrt((x * x).sum(axis=-1, keepdims=True))
