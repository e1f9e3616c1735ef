"""What each line of the declared experiment may be in place of what was declared."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from mnist_fn.shared.parity.backends.numpy_program import Lines, dense, relu, sum_of_squares
from mnist_fn.shared.parity.causes.activation import (
    ACTIVATIONS,
    RELU,
    Function,
    activations,
    rounded,
)
from mnist_fn.shared.parity.causes.distance import Tensors
from mnist_fn.shared.parity.causes.normalization import normalized
from mnist_fn.shared.parity.causes.precision import cut_to_bits, round_to_bits
from mnist_fn.shared.parity.causes.search import Form

Variants = Iterator[Form]  # each computes other `Lines`


def measured(variants: Variants, measure: Callable[[Lines], Tensors]) -> Variants:
    """The variants with what is measured of a pass with their lines."""
    for variant in variants:
        yield replace(variant, compute=lambda *x, v=variant: measure(v.compute(*x)))


def _form(text: str, **lines: Any) -> Form:
    return Form(text, lambda: Lines(**lines))


# --- the forward pass ----------------------------------------------------------------------------


def forward_variants(depth: int) -> Variants:
    """Another activation, another layer, something done to the logits, of so many layers."""
    # all hidden layers (None), or one alone; of a single one both are the same
    hidden = [None, *range(depth - 1)] if depth > 2 else [None] * (depth - 1)
    for only in hidden:
        swap = partial(_activation, only=only)
        for variant in (*activations(np, None, RELU, swap), *rounded(RELU, swap)):
            if only is None:
                yield variant
                continue
            layer = f"layer{only + 1}"  # whose families are its own
            family = variant.family and f"{variant.family} after {layer}"
            yield replace(variant, details={**variant.details, "after": layer}, family=family)
    for only in [None, *range(depth)] if depth > 1 else [None]:
        yield from _biases(only)
    yield from _products()
    if depth > 1:
        yield _form("layers normalized before their ReLU", layer=partial(_normalized, depth=depth))
        yield Form(
            "hidden units scaled by {}",
            lambda c: Lines(activation=lambda i, h: c * relu(i, h)),
            (0.5, 0.9, 1.1, 2.0),
        )
        yield Form("biases scaled by {}", lambda c: _bias_times(c, None), (0.0, 0.5, 2.0), "linear")
    yield Form(
        "weights held to a max-norm of {} a column",
        lambda c: Lines(layer=lambda i, x, k, b: dense(i, x, _held_to_norm(k, c), b)),
        (0.5, 1.0, 2.0, 3.0, 5.0),
    )
    yield from _on_logits()


def _activation(function: Function, only: int | None) -> Lines:
    """A function in place of every ReLU, or of that after one layer."""
    return Lines(activation=lambda i, h: function(np, h) if only in (None, i) else relu(i, h))


def _biases(only: int | None) -> Iterator[Form]:
    suffix = "" if only is None else f" of layer{only + 1}"
    for text, times in (("no bias{}", 0), ("bias{} added twice", 2), ("bias{} taken off", -1)):
        yield Form(text.format(suffix), partial(_bias_times, times, only))


def _bias_times(times: float, only: int | None) -> Lines:
    return Lines(layer=lambda i, x, k, b: x @ k + b * (times if only in (None, i) else 1))


def _products() -> Iterator[Form]:
    for bits, name in ((24, "float32"), (11, "TF32"), (8, "bfloat16")):
        for verb, coarse in (("rounded", round_to_bits), ("cut", cut_to_bits)):
            yield _form(
                f"the products' inputs {verb} to {name}",
                layer=lambda i, x, k, b, n=bits, f=coarse: dense(i, f(x, n), f(k, n), b),
            )
        yield _form(
            f"weights rounded to {name}",
            layer=lambda i, x, k, b, n=bits: dense(i, x, round_to_bits(k, n), round_to_bits(b, n)),
        )
    yield _form(
        "kernels reshaped, not transposed", layer=lambda i, x, k, b: dense(i, x, reshaped(k), b)
    )


def reshaped(kernel: np.ndarray) -> np.ndarray:
    """[in, out] read as [out, in] without a transposition, and used as that."""
    return kernel.reshape(kernel.shape[::-1]).T


def _normalized(i: int, x: np.ndarray, k: np.ndarray, b: np.ndarray, depth: int) -> np.ndarray:
    h = dense(i, x, k, b)
    return h if i + 1 == depth else normalized(np, h, (-1,))


def _held_to_norm(kernel: np.ndarray, limit: float) -> np.ndarray:
    norms = np.sqrt((kernel * kernel).sum(axis=0))
    return kernel * np.minimum(1, limit / np.maximum(norms, 1e-300))


def _on_logits() -> Variants:
    for name in ("softmax", "log-softmax", "relu", "sigmoid", "tanh"):
        yield _form(f"{name} of the logits", logits=partial(ACTIVATIONS[name], np))
    for text, change in _ON_LOGITS.items():
        yield _form(text, logits=change)
    for text, (change, starts, scale) in _NUMBERS_ON_LOGITS.items():
        yield Form(text, lambda c, f=change: Lines(logits=lambda z: f(z, c)), starts, scale)


_ON_LOGITS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "logits centered": lambda z: z - z.mean(axis=1, keepdims=True),
    "logits less their largest": lambda z: z - z.max(axis=1, keepdims=True),
    "logits through float32": lambda z: round_to_bits(z, 24),
    "logits through float16 or TF32": lambda z: round_to_bits(z, 11),
    "logits through bfloat16": lambda z: round_to_bits(z, 8),
    "classes in the reverse order": lambda z: z[:, ::-1],
    "classes moved by +1": lambda z: np.roll(z, 1, 1),
    "classes moved by -1": lambda z: np.roll(z, -1, 1),
    "images moved by +1": lambda z: np.roll(z, 1, 0),
    "images moved by -1": lambda z: np.roll(z, -1, 0),
    "images in the reverse order": lambda z: z[::-1],
    "the first image's for all": lambda z: np.repeat(z[:1], len(z), 0),
    "the other sign": lambda z: -z,
}
_NUMBERS_ON_LOGITS: dict[str, tuple[Callable[[np.ndarray, float], np.ndarray], tuple, str]] = {
    "logits scaled by {}": (lambda z, c: c * z, (0.1, 0.5, 2.0, 10.0), "log"),
    "{} added to the logits": (lambda z, c: z + c, (0.1,), "linear"),
    "logits clipped to ±{}": (lambda z, c: np.clip(z, -c, c), (1.0, 5.0, 20.0, 50.0), "log"),
    "logits soft capped at {}: c·tanh(z/c)": (
        lambda z, c: c * np.tanh(z / c),
        (1.0, 10.0, 30.0, 50.0),
        "log",
    ),
}


# --- the gradient --------------------------------------------------------------------------------

SLOPES = {
    "ReLU′(0) = 1": Lines(slope=lambda _, h: np.where(h == 0, 1.0, h > 0)),
    "ReLU′(0) = ½": Lines(slope=lambda _, h: np.where(h == 0, 0.5, h > 0)),
    "ReLU's gradient passes everywhere": Lines(slope=lambda _, h: np.ones_like(h)),
}


# --- the penalty ---------------------------------------------------------------------------------


def penalty_variants(params: Tensors, l2: float) -> Variants:
    """Other penalties than λ Σ W² over the kernels of a network with such weights."""
    kernels = [name for name in params if params[name].ndim > 1]
    vectors = [name for name in params if name not in kernels]

    def over_kernels(value: Callable[[np.ndarray], float]) -> Callable[[Tensors, int], float]:
        return lambda p, _: sum(value(p[name]) for name in kernels)

    penalties: dict[str, Callable[[Tensors, int], float]] = {
        "penalty on the biases too": lambda p, _: sum_of_squares(p, [*p]),
        "penalty on the biases alone": lambda p, _: sum_of_squares(p, vectors),
        "λ Σ |W| in place of λ Σ W²": over_kernels(lambda w: np.abs(w).sum()),
        "the root of Σ W²": lambda p, _: np.sqrt(sum_of_squares(p)),
        "each kernel's norm, not its square": over_kernels(lambda w: np.sqrt((w**2).sum())),
        "mean for sum of the squares": over_kernels(lambda w: (w**2).sum() / w.size),
        "penalty divided by the batch size": lambda p, size: sum_of_squares(p) / size,
        "penalty times the batch size": lambda p, size: sum_of_squares(p) * size,
    }
    for name in kernels if len(kernels) > 1 else ():
        others = [kernel for kernel in kernels if kernel != name]
        penalties[f"no penalty on {name}"] = lambda p, _, names=others: sum_of_squares(p, names)
        if len(kernels) > 2:
            text = f"penalty on {name} alone"
            penalties[text] = lambda p, _, names=(name,): sum_of_squares(p, names)
    for text, value in penalties.items():
        yield _form(text, penalty=lambda p, size, l2, f=value: l2 * f(p, size))
    if l2:
        text, starts, unit = "penalty × {}", (0.0, 0.5, 2.0), l2
    else:
        text, starts, unit = "a penalty of {} Σ W²", (1e-4,), 1.0
    times = lambda c: Lines(penalty=lambda p, *_: c * unit * sum_of_squares(p))  # noqa: E731
    yield Form(text, times, starts, "linear")
