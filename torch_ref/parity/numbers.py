"""Numbers within a program that ports have otherwise, to be solved for: ε, slopes, scales, α.

Each is (in words with {} for the number, what to compute with it, where to begin, the scale that it
is looked for on, what it is); see `causes.numbers.solve`.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as fn

from mnist_fn.shared.parity.causes.explanation import number
from mnist_fn.shared.parity.causes.forward import FAMILIES
from torch_ref.parity.layers import batch_normed, divisor

Arguments = dict[str, Any]
Number = tuple[str, Callable[[float], Any], tuple[float, ...], str, float]
Found = Iterator[Number]

EPSILONS = (1e-12, 1e-7, 1e-5, 1e-3, 0.1)


def _epsilon(norm: Callable[[Arguments, float], Tensor]) -> Callable[[Arguments], Found]:
    def numbers(a: Arguments) -> Found:
        eps = a.get("eps", 1e-5)
        eps = float(torch.finfo(a["input"].dtype).eps) if eps is None else eps
        yield f"ε = {{}} in place of {number(eps)}", lambda e: norm(a, e), EPSILONS, "log", eps

    return numbers


def _layer_norm(a: Arguments, eps: float) -> Tensor:
    return fn.layer_norm(a["input"], a["normalized_shape"], a.get("weight"), a.get("bias"), eps)


def _rms_norm(a: Arguments, eps: float) -> Tensor:
    return fn.rms_norm(a["input"], a["normalized_shape"], a.get("weight"), eps)


def _group_norm(a: Arguments, eps: float) -> Tensor:
    return fn.group_norm(a["input"], a["num_groups"], a.get("weight"), a.get("bias"), eps)


def _batch_norm(a: Arguments, eps: float) -> Tensor:
    return batch_normed(a, eps, a.get("training", False))


def _leaky(a: Arguments) -> Found:
    x, slope = a["input"], a.get("negative_slope", 0.01)
    yield (
        f"slope {{}} in place of {number(slope)}",
        lambda s: fn.leaky_relu(x, s),
        (0.0, 0.05, 0.3),
        "linear",
        slope,
    )


def _activation(name: str) -> Callable[[Arguments], Found]:
    """The families that the project's own ladder has, which are of NumPy: values, no gradient."""

    def numbers(a: Arguments) -> Found:
        x = a["input"]

        def applied(f: Callable[[np.ndarray, float], np.ndarray], v: float) -> Tensor:
            with np.errstate(all="ignore"):
                return (
                    torch.from_numpy(np.asarray(f(x.detach().numpy(), v), x.detach().numpy().dtype))
                    + 0 * x
                )

        for text, f, starts, scale in FAMILIES:
            yield f"{text} in place of {name}", lambda v, f=f: applied(f, v), starts, scale, 0.0

    return numbers


def _attention(a: Arguments) -> Found:
    q, k, v = a["query"], a["key"], a["value"]
    mask, causal, d = a.get("attn_mask"), a.get("is_causal", False), q.shape[-1]
    yield (
        f"scores divided by {{}} in place of {divisor(a)}",
        lambda c: fn.scaled_dot_product_attention(q, k, v, mask, 0.0, causal, scale=1 / c),
        (0.5, d**0.5, float(d)),
        "log",
        d**0.5,
    )


def _divided(a: Arguments) -> Found:
    x, denominator = a["input"], a["other"]
    if isinstance(denominator, int | float) and denominator:
        yield (
            f"divided by {{}} in place of {number(denominator)}",
            lambda c: x / c,
            (denominator / 2, denominator * 2.0),
            "linear",
            float(denominator),
        )


def _multiplied(a: Arguments) -> Found:
    x, factor = a["input"], a["other"]
    if isinstance(factor, int | float) and factor and isinstance(x, Tensor):
        yield (
            f"multiplied by {{}} in place of {number(factor)}",
            lambda c: x * c,
            (factor / 2, factor * 2.0),
            "linear",
            float(factor),
        )


def _softmax(a: Arguments) -> Found:
    x, dim = a["input"], a.get("dim", -1)
    yield (
        "softmax of its input divided by {}",
        lambda t: (x / t).softmax(dim),
        (0.5, 2.0),
        "log",
        1.0,
    )


def _clamped(a: Arguments) -> Found:
    x, high = a["input"], a.get("max", a.get("max_val"))
    low = a.get("min", a.get("min_val"))
    if isinstance(high, int | float) and isinstance(low, int | float) and low == -high:
        yield (
            f"clamped to ±{{}} in place of ±{number(high)}",
            lambda c: x.clamp(-c, c),
            (high / 2, high * 2.0),
            "log",
            float(high),
        )
        return
    if isinstance(high, int | float):
        yield (
            f"clamped at {{}} in place of {number(high)} above",
            lambda c: x.clamp(low, c),
            (high / 2, high * 2.0),
            "linear",
            float(high),
        )
    if isinstance(low, int | float):
        yield (
            f"clamped at {{}} in place of {number(low)} below",
            lambda c: x.clamp(c, high),
            (low / 2, low * 2.0 or 0.1),
            "linear",
            float(low),
        )


def _cross_entropy(a: Arguments) -> Found:
    z, y, weight = a["input"], a["target"], a.get("weight")
    smoothing, reduction = a.get("label_smoothing", 0.0), a.get("reduction", "mean")
    kwargs = {"ignore_index": a.get("ignore_index", -100), "reduction": reduction}
    yield (
        f"label smoothing {{}} in place of {number(smoothing)}",
        lambda s: fn.cross_entropy(z, y, weight, label_smoothing=s, **kwargs),
        (0.01, 0.1, 0.5),
        "linear",
        smoothing,
    )
    yield (
        "logits divided by {}",
        lambda t: fn.cross_entropy(z / t, y, weight, label_smoothing=smoothing, **kwargs),
        (0.5, 2.0),
        "log",
        1.0,
    )


def _scaled(function: Callable[..., Tensor]) -> Callable[[Arguments], Found]:
    def numbers(a: Arguments) -> Found:
        yield "its output times {}", lambda c: c * function(**a), (0.5, 2.0), "linear", 1.0

    return numbers


# Of these a factor that fits fits elsewhere as well: one cause, of which the shortest is named.
SCALING = ("div", "true_divide", "__truediv__", "mul", "softmax", "linear", "conv2d", "embedding")
TABLE: dict[str, Callable[[Arguments], Found]] = {
    "layer_norm": _epsilon(_layer_norm), "rms_norm": _epsilon(_rms_norm),
    "group_norm": _epsilon(_group_norm), "batch_norm": _epsilon(_batch_norm),
    "leaky_relu": _leaky, "scaled_dot_product_attention": _attention,
    "div": _divided, "true_divide": _divided, "__truediv__": _divided, "mul": _multiplied,
    "softmax": _softmax, "clamp": _clamped, "clip": _clamped, "hardtanh": _clamped,
    "cross_entropy": _cross_entropy,
    **{name: _activation(name) for name in ("relu", "relu_", "gelu", "silu", "elu", "softplus")},
    "linear": _scaled(fn.linear), "conv2d": _scaled(fn.conv2d), "embedding": _scaled(fn.embedding),
}  # fmt: skip
