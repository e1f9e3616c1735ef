"""Layers and activations as ports have them otherwise: (in words, what to compute)."""

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as fn

from mnist_fn.shared.parity.causes.explanation import number

Arguments = dict[str, Any]
Found = Iterator[tuple[str, Callable[[], Any]]]

EPSILONS = (1e-3, 1e-5, 1e-6, 1e-7, 1e-8, 1e-12, 0.0)
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "nothing": lambda x: x,
    "relu": fn.relu,
    "relu6": fn.relu6,
    "gelu by tanh": lambda x: fn.gelu(x, approximate="tanh"),
    "exact gelu": fn.gelu,
    "gelu by x·sigmoid(1.702 x)": lambda x: x * torch.sigmoid(1.702 * x),
    "silu": fn.silu,
    "leaky relu with slope 0.01": lambda x: fn.leaky_relu(x, 0.01),
    "leaky relu with slope 0.2": lambda x: fn.leaky_relu(x, 0.2),
    "elu": fn.elu,
    "selu": fn.selu,
    "celu": fn.celu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "hard sigmoid": fn.hardsigmoid,
    "hard swish": fn.hardswish,
    "softplus": fn.softplus,
    "softsign": fn.softsign,
    "mish": fn.mish,
    "square of relu": lambda x: fn.relu(x).square(),
    "a relu whose gradient at 0 is 1": lambda x: torch.where(x >= 0, x, torch.zeros_like(x)),
    "a relu whose gradient at 0 is 1/2": lambda x: (x + x.abs()) / 2 + (x - x.detach()) * 0,
}
OWN = {"relu_": "relu", "hardswish": "hard swish", "hardsigmoid": "hard sigmoid"}


def _activation(name: str) -> Callable[[Arguments], Found]:
    def variants(a: Arguments) -> Found:
        x = a["input"]
        declared = OWN.get(name, name)
        if name == "gelu":
            declared = "gelu by tanh" if a.get("approximate") == "tanh" else "exact gelu"
        for activation, f in ACTIVATIONS.items():
            if activation != declared:
                yield f"{activation} in place of {declared}", lambda f=f: f(x)

    return variants


def _leaky(a: Arguments) -> Found:
    x, slope = a["input"], a.get("negative_slope", 0.01)
    declared = f"leaky relu with slope {slope:g}"
    for variant_slope in (0.01, 0.1, 0.2, 0.3):
        if variant_slope != slope:
            yield (
                f"slope {variant_slope:g} in place of {slope:g}",
                lambda s=variant_slope: fn.leaky_relu(x, s),
            )
    for activation, f in ACTIVATIONS.items():
        if activation != declared and not activation.startswith("leaky"):
            yield f"{activation} in place of {declared}", lambda f=f: f(x)


def _epsilons(norm: Callable[[float], Tensor], declared: float, default: str = "") -> Found:
    for eps in EPSILONS:
        if eps != declared:
            why = default if eps == 1e-6 else ""
            yield f"ε = {number(eps)} in place of {number(declared)}{why}", lambda e=eps: norm(e)


FLAX_EPSILON = " (Flax's default: write epsilon={})"


def _layer_norm(a: Arguments) -> Found:
    x, shape, eps = a["input"], a["normalized_shape"], a.get("eps", 1e-5)
    weight, bias = a.get("weight"), a.get("bias")
    yield from _epsilons(
        lambda e: fn.layer_norm(x, shape, weight, bias, e), eps, FLAX_EPSILON.format(number(eps))
    )
    yield "no weight, no bias", lambda: fn.layer_norm(x, shape, None, None, eps)
    yield "no bias", lambda: fn.layer_norm(x, shape, weight, None, eps)
    if weight is not None:
        yield (
            "1 + weight in place of weight",
            lambda: fn.layer_norm(x, shape, 1 + weight, bias, eps),
        )

    def written(unbiased: bool = False, outside: bool = False, centered: bool = True) -> Tensor:
        dims = tuple(range(-len(shape), 0))
        z = x - x.mean(dims, keepdim=True) if centered else x
        n = math.prod(shape)
        v = z.square().sum(dims, keepdim=True) / (n - 1 if unbiased else n)
        y = z / (v.sqrt() + eps) if outside else z / (v + eps).sqrt()
        y = y if weight is None else y * weight
        return y if bias is None else y + bias

    yield "the unbiased variance", lambda: written(unbiased=True)
    yield "ε outside of the root", lambda: written(outside=True)
    yield "the mean is not taken off (RMSNorm)", lambda: written(centered=False)


def _rms_norm(a: Arguments) -> Found:
    x, shape, weight = a["input"], a["normalized_shape"], a.get("weight")
    eps = a.get("eps")
    eps = float(torch.finfo(x.dtype).eps) if eps is None else eps
    yield from _epsilons(
        lambda e: fn.rms_norm(x, shape, weight, e), eps, FLAX_EPSILON.format(number(eps))
    )
    single = float(torch.finfo(torch.float32).eps)
    yield f"ε = {single:.4g} (float32's)", lambda: fn.rms_norm(x, shape, weight, single)
    yield "no weight", lambda: fn.rms_norm(x, shape, None, eps)
    if weight is not None:
        yield "1 + weight in place of weight", lambda: fn.rms_norm(x, shape, 1 + weight, eps)
    yield "the mean is taken off (LayerNorm)", lambda: fn.layer_norm(x, shape, weight, None, eps)


def _group_norm(a: Arguments) -> Found:
    x, groups, eps = a["input"], a["num_groups"], a.get("eps", 1e-5)
    weight, bias = a.get("weight"), a.get("bias")
    yield from _epsilons(
        lambda e: fn.group_norm(x, groups, weight, bias, e), eps, FLAX_EPSILON.format(number(eps))
    )
    for count in (n for n in range(1, x.shape[1] + 1) if x.shape[1] % n == 0 and n != groups):
        yield (
            f"{count} groups in place of {groups}",
            lambda n=count: fn.group_norm(x, n, weight, bias, eps),
        )


def batch_normed(a: Arguments, eps: float, statistics: bool) -> Tensor:
    """With another ε, of the batch's statistics or the running ones, which stay as they are."""
    x, weight, bias = a["input"], a.get("weight"), a.get("bias")
    mean, var = (None, None) if statistics else (a["running_mean"], a["running_var"])
    return fn.batch_norm(x, mean, var, weight, bias, statistics, 0.0, eps)


def _batch_norm(a: Arguments) -> Found:
    training, eps = a.get("training", False), a.get("eps", 1e-5)
    yield from _epsilons(lambda e: batch_normed(a, e, training), eps)
    if a["running_mean"] is not None:
        now, batch_statistics = "running averages", "the batch's own statistics"
        pair = (now, batch_statistics) if training else (batch_statistics, now)
        yield f"{pair[0]} in place of {pair[1]}", lambda: batch_normed(a, eps, not training)


def _conv(a: Arguments) -> Found:
    x, weight, bias = a["input"], a["weight"], a.get("bias")
    stride, padding = a.get("stride", 1), a.get("padding", 0)
    dilation, groups = a.get("dilation", 1), a.get("groups", 1)
    conv = (fn.conv1d, fn.conv2d, fn.conv3d)[weight.ndim - 3]
    kernel, n = weight.shape[2:], weight.ndim - 2
    strides = (stride,) * n if isinstance(stride, int) else tuple(stride)

    def padded(low: list[int], high: list[int]) -> Tensor:
        widths = [side for pair in zip(reversed(low), reversed(high), strict=True) for side in pair]
        return conv(fn.pad(x, widths), weight, bias, stride, 0, dilation, groups)

    same = [
        max((-(-size // s) - 1) * s + k - size, 0)
        for size, s, k in zip(x.shape[2:], strides, kernel, strict=True)
    ]
    declared = (
        "SAME" if padding == "same" else "no" if padding in (0, "valid", (0,) * n) else padding
    )
    low = [total // 2 for total in same]
    high = [total - part for total, part in zip(same, low, strict=True)]
    yield (
        (
            f"padding SAME, which is ({low[0]}, {high[0]}) here, in place of {_pair(declared)}: "
            f"write padding={_explicit(declared, n)}"
        ),
        lambda: padded(low, high),
    )
    for leading, trailing in itertools.product(range(max(kernel)), repeat=2):
        if [leading] * n != low or [trailing] * n != high:
            yield (
                f"padding ({leading}, {trailing}) in place of {_pair(declared)}",
                lambda b=leading, e=trailing: padded([b] * n, [e] * n),
            )
    dims = tuple(range(2, weight.ndim))
    yield (
        "the kernel is flipped",
        lambda: conv(x, weight.flip(dims), bias, stride, padding, dilation, groups),
    )
    for candidate in (1, 2, 3, 4):
        if (candidate,) * n != strides:
            yield (
                f"stride {candidate} in place of {_one(stride)}",
                lambda s=candidate: conv(x, weight, bias, s, padding, dilation, groups),
            )
        if candidate not in (dilation, *((dilation[0],) if isinstance(dilation, tuple) else ())):
            yield (
                f"dilation {candidate} in place of {_one(dilation)}",
                lambda d=candidate: conv(x, weight, bias, stride, padding, d, groups),
            )
    if bias is not None:
        yield "no bias", lambda: conv(x, weight, None, stride, padding, dilation, groups)
    if len(set(kernel)) == 1 and n == 2:
        yield (
            "rows and columns of the kernel are swapped",
            lambda: conv(x, weight.mT, bias, stride, padding, dilation, groups),
        )


def _one(setting: Any) -> Any:
    """A tuple of equal numbers as one."""
    return setting[0] if isinstance(setting, tuple) and len(set(setting)) == 1 else setting


def _pair(setting: Any) -> str:
    setting = _one(setting)
    return f"{setting} on either side" if isinstance(setting, int) else str(setting)


def _explicit(setting: Any, n: int) -> str:
    if isinstance(setting, str):
        return '"VALID"' if setting == "no" else '"SAME"'
    sides = setting if isinstance(setting, tuple) else (setting,) * n
    return "[" + ", ".join(f"({side}, {side})" for side in sides) + "]"


def _conv_transpose(a: Arguments) -> Found:
    x, weight, bias = a["input"], a["weight"], a.get("bias")
    defaults = {"stride": 1, "padding": 0, "output_padding": 0, "groups": 1, "dilation": 1}
    settings = [a.get(name, default) for name, default in defaults.items()]
    yield (
        "the kernel is not flipped (Flax's default: write transpose_kernel=True)",
        lambda: fn.conv_transpose2d(x, weight.flip((2, 3)), bias, *settings),
    )
    yield "no bias", lambda: fn.conv_transpose2d(x, weight, None, *settings)


def _linear(a: Arguments) -> Found:
    x, weight, bias = a["input"], a["weight"], a.get("bias")
    if bias is not None:
        yield "no bias", lambda: fn.linear(x, weight)
    if weight.shape[0] == weight.shape[1]:
        yield "the weight is not transposed", lambda: fn.linear(x, weight.T, bias)
    for name, f in ACTIVATIONS.items():
        if name in ("relu", "exact gelu", "gelu by tanh", "silu", "tanh", "sigmoid"):
            yield f"{name} after it", lambda f=f: f(fn.linear(x, weight, bias))


def _embedding(a: Arguments) -> Found:
    ids, weight = a["input"], a["weight"]
    root = weight.shape[1] ** 0.5
    yield "times √d", lambda: root * fn.embedding(ids, weight)
    yield "ids begin at 1", lambda: fn.embedding((ids - 1).clamp_min(0), weight)
    yield "the row of id 0 is 0", lambda: fn.embedding(ids, weight) * (ids != 0)[..., None]


def _attention(a: Arguments) -> Found:
    q, k, v, mask = a["query"], a["key"], a["value"], a.get("attn_mask")
    causal, d, declared_scale = a.get("is_causal", False), a["query"].shape[-1], a.get("scale")
    heads = q.shape[1] if q.ndim == 4 else 1

    def attend(
        scale: float | None = declared_scale, causal: bool = causal, mask: Any = mask
    ) -> Tensor:
        return fn.scaled_dot_product_attention(q, k, v, mask, 0.0, causal, scale=scale)

    now = divisor(a)
    scales = {"d": 1 / d, "1 (not scaled)": 1.0, "√(width of all heads)": (d * heads) ** -0.5,
              "√d": d**-0.5, "d squared": d**-2.0}  # fmt: skip
    for name, scale in scales.items():
        if name != now:
            yield f"scores divided by {name} in place of {now}", lambda s=scale: attend(s)
    yield ("not causal" if causal else "causal"), lambda: attend(causal=not causal, mask=None)
    if mask is not None:
        yield "no mask", lambda: attend(mask=None)
        if mask.dtype == torch.bool:
            yield "the mask is inverted", lambda: attend(mask=~mask)
    if causal:
        n, m = q.shape[-2], k.shape[-2]
        strict = torch.ones(n, m, dtype=torch.bool).tril(-1)
        large = torch.zeros(n, m, dtype=q.dtype).masked_fill(~strict, -1e9)
        yield ("the mask hides a token from itself", lambda: attend(causal=False, mask=large))


def divisor(a: Arguments) -> str:
    """What an attention's scores are divided by, in words."""
    return "√d" if a.get("scale") is None else f"{1 / a['scale']:g}"


def _divided(a: Arguments) -> Found:
    x, denominator = a["input"], a["other"]
    if isinstance(denominator, int | float) and denominator not in (0, 1):
        yield f"not divided by {denominator:g}", lambda: x
        yield (
            f"divided by {denominator * denominator:g} in place of {denominator:g}",
            lambda: x / denominator**2,
        )
        yield f"multiplied by {denominator:g}, not divided", lambda: x * denominator


def _multiplied(a: Arguments) -> Found:
    x, factor = a["input"], a["other"]
    if isinstance(factor, int | float) and factor not in (0, 1) and isinstance(x, Tensor):
        yield f"not multiplied by {factor:g}", lambda: x
        yield f"multiplied by {factor * factor:g} in place of {factor:g}", lambda: x * factor**2
        yield f"divided by {factor:g}, not multiplied", lambda: x / factor


def _softmax(a: Arguments) -> Found:
    x, dim = a["input"], a.get("dim", -1)
    dims = range(x.ndim)
    for axis in dims:
        if axis != dim % x.ndim:
            yield f"softmax over axis {axis} in place of {dim}", lambda d=axis: x.softmax(d)
    yield "sigmoid in place of softmax", lambda: x.sigmoid()


def _max_pool(a: Arguments) -> Found:
    x, size, stride, padding = a["input"], a["kernel_size"], a.get("stride"), a.get("padding", 0)
    yield "average in place of maximum", lambda: fn.avg_pool2d(x, size, stride, padding)
    pool = functools.partial(fn.max_pool2d, dilation=a.get("dilation", 1))
    stride = stride or size

    def padded(sides: list[int], fill: float = -math.inf) -> Tensor:
        return pool(fn.pad(x, sides, value=fill), size, stride)

    if padding:
        yield (
            f"padding with 0 in place of nothing, {padding} on either side",
            lambda: padded([padding] * 4, 0.0),
        )
    yield from _pooled(a, x, size, stride, padding, pool, padded)


def _avg_pool(a: Arguments) -> Found:
    x, size, stride, padding = a["input"], a["kernel_size"], a.get("stride"), a.get("padding", 0)
    counted, divisor = a.get("count_include_pad", True), a.get("divisor_override")
    words = "counted in the average" if not counted else "not counted in the average"
    yield (
        f"padding is {words} (count_include_pad={not counted})",
        lambda: fn.avg_pool2d(x, size, stride, padding, count_include_pad=not counted),
    )
    yield "maximum in place of average", lambda: fn.max_pool2d(x, size, stride, padding)
    pool = functools.partial(fn.avg_pool2d, count_include_pad=counted, divisor_override=divisor)
    stride = stride or size

    def padded(sides: list[int]) -> Tensor:
        total = pool(fn.pad(x, sides), size, stride)
        return total if counted else total / pool(fn.pad(torch.ones_like(x), sides), size, stride)

    yield from _pooled(a, x, size, stride, padding, pool, padded)


def _pooled(
    a: Arguments,
    x: Tensor,
    size: Any,
    stride: Any,
    padding: Any,
    pool: Callable[..., Tensor],
    padded: Callable[[list[int]], Tensor],
) -> Found:
    """Variants of both poolings; `padded` pools behind a padding that is given side by side."""
    sizes = (size,) * 2 if isinstance(size, int) else tuple(size)
    strides = (stride,) * 2 if isinstance(stride, int) else tuple(stride)
    total = [
        max((-(-n // s) - 1) * s + k - n, 0)
        for n, s, k in zip(x.shape[2:], strides, sizes, strict=True)
    ]
    sides = [side for t in reversed(total) for side in (t // 2, t - t // 2)]
    declared = [padding] * 4 if isinstance(padding, int) else [p for p in padding for _ in range(2)]
    if sides != declared:
        yield f"padding SAME in place of {padding}", lambda: padded(sides)
    if padding:
        yield f"no padding in place of {padding}", lambda: pool(x, size, stride)
    ceil = bool(a.get("ceil_mode", False))
    yield (
        f"ceil_mode={not ceil}: the part of a window at the end is {'dropped' if ceil else 'kept'}",
        lambda: pool(x, size, stride, padding, ceil_mode=not ceil),
    )
    for count in (1, 2, 3, 4):
        if (count, count) != strides:
            default = f" (Flax's default: write strides={strides})" if count == 1 else ""
            yield (
                f"stride {count} in place of {_one(stride)}{default}",
                lambda s=count: pool(x, size, s, padding, ceil_mode=ceil),
            )
        if (count, count) != sizes and max(strides) > 1:
            yield (
                f"windows of {count} in place of {_one(size)}",
                lambda k=count: pool(x, k, stride, padding, ceil_mode=ceil),
            )


def _flattened(a: Arguments) -> Found:
    """Ports have channels last, so what is flattened after them comes in another order."""
    x = a["input"]
    if x.ndim < 3:
        return
    shape = list(x.shape[1:])
    target = a.get("shape")
    flat = [len(x), -1] if target is None else target
    if target is None and a.get("start_dim", 0) % x.ndim != 1:
        return
    last = x.movedim(1, -1)
    yield (
        (
            f"flattened channels last, where PyTorch flattens {shape}: transpose to channels first "
            "before it is flattened, or reorder the rows of the kernel behind it"
        ),
        lambda: last.reshape(flat),
    )


def _reduced(a: Arguments) -> Found:
    x, dim = a["input"], a.get("dim")
    if dim is None:  # of the whole, such as a loss ends with
        if x.ndim:
            yield "sum in place of mean over all", lambda: x.sum()
            yield "half of the mean", lambda: x.mean() / 2
            yield "summed over the outputs, mean over the batch", lambda: x.sum() / len(x)
        return
    if x.ndim < 3:
        return
    many = isinstance(dim, int)
    if many:
        for axis in range(x.ndim):
            if axis != dim % x.ndim and x.mean(axis).shape == x.mean(dim).shape:
                yield f"mean over axis {axis} in place of {dim}", lambda d=axis: x.mean(d)
    axes = (dim,) if isinstance(dim, int) else tuple(dim)
    yield "maximum in place of mean", lambda: x.amax(axes, keepdim=bool(a.get("keepdim")))
    yield "sum in place of mean", lambda: x.sum(axes, keepdim=bool(a.get("keepdim")))


TABLE: dict[str, Callable[[Arguments], Found]] = {
    **{name: _activation(name) for name in (
        "relu", "relu_", "relu6", "gelu", "silu", "tanh", "sigmoid", "elu", "selu", "celu",
        "softplus", "softsign", "mish", "hardswish", "hardsigmoid")},
    "leaky_relu": _leaky, "layer_norm": _layer_norm, "rms_norm": _rms_norm,
    "group_norm": _group_norm, "batch_norm": _batch_norm, "conv1d": _conv, "conv2d": _conv,
    "conv3d": _conv, "conv_transpose2d": _conv_transpose, "linear": _linear,
    "embedding": _embedding, "scaled_dot_product_attention": _attention,
    "div": _divided,
    "true_divide": _divided, "mul": _multiplied, "softmax": _softmax, "max_pool2d": _max_pool,
    "avg_pool2d": _avg_pool, "flatten": _flattened, "reshape": _flattened, "view": _flattened,
    "mean": _reduced,
}  # fmt: skip
