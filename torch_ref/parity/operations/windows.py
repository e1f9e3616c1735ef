"""Convolutions, poolings and dense layers with another window, padding, stride, kernel or bias."""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as fn

from mnist_fn.shared.parity.causes.search import Form
from torch_ref.parity.operations.activation import AFTER
from torch_ref.parity.operations.arithmetic import output_times

Arguments = dict[str, Any]
Ways = Iterator[Form]
Sides = list[tuple[int, int]]  # what is added before and behind each axis


def each(setting: Any, n: int) -> tuple[Any, ...]:
    """A setting for each of n axes."""
    return (setting,) * n if isinstance(setting, int) else tuple(setting)


def single(setting: Any) -> Any:
    """A tuple of equal numbers as one number."""
    return setting[0] if isinstance(setting, tuple) and len(set(setting)) == 1 else setting


def same(sizes: Any, kernel: Any, strides: Any) -> Sides:
    """What SAME, XLA's and TensorFlow's, adds before and after each axis."""
    sides = []
    for size, k, stride in zip(sizes, kernel, strides, strict=True):
        total = max((math.ceil(size / stride) - 1) * stride + k - size, 0)
        sides.append((total // 2, total - total // 2))
    return sides


def for_pad(sides: Sides) -> list[int]:
    """As torch.nn.functional.pad takes them: the last axis first."""
    return list(itertools.chain.from_iterable(reversed(sides)))


def _conv(a: Arguments) -> Ways:
    x, weight, padding = a["input"], a["weight"], a.get("padding", 0)
    n = weight.ndim - 2
    kernel = weight.shape[2:]
    convolve = (fn.conv1d, fn.conv2d, fn.conv3d)[n - 1]

    def changed(**settings: Any) -> Tensor:
        return convolve(**{**a, **settings})

    def padded(sides: Sides) -> Tensor:
        return changed(input=fn.pad(x, for_pad(sides)), padding=0)

    none = padding in (0, "valid", (0,) * n)
    declared = "SAME" if padding == "same" else "no" if none else _pair(padding)
    same_sides = same(x.shape[2:], kernel, each(a.get("stride", 1), n))
    first = same_sides[0] if len(set(same_sides)) == 1 else None
    before, behind = same_sides[0]
    details = {"before": before, "behind": behind, "flax": _flax(padding, none, n)}
    # several may mean the same at a size: SAME is what is written
    facts: dict[str, Any] = {"declared": declared, "family": "padding"}
    yield Form("padding SAME", lambda: padded(same_sides), **facts, details=details)
    for sides in itertools.product(range(max(kernel)), repeat=2):
        if sides != first:
            other = lambda s=sides: padded([s] * n)  # noqa: E731
            yield Form("padding", other, actual=str(sides), **facts, rank=1)
    for setting, actual in itertools.product(("stride", "dilation"), (1, 2, 3, 4)):
        value = a.get(setting, 1)
        if each(value, n) != (actual,) * n:
            other = lambda s=setting, c=actual: changed(**{s: c})  # noqa: E731
            yield Form(setting, other, declared=single(value), actual=actual)
    axes = tuple(range(2, weight.ndim))
    yield Form("the kernel is flipped", lambda: changed(weight=weight.flip(axes)))
    if len(set(kernel)) == 1 and n == 2:
        swapped = lambda: changed(weight=weight.mT)  # noqa: E731
        yield Form("rows and columns of the kernel are swapped", swapped)
    if a.get("bias") is not None:
        yield Form("no bias", lambda: changed(bias=None))
    yield output_times(convolve, a)


def _pair(setting: Any) -> str:
    setting = single(setting)
    return f"{setting} on either side" if isinstance(setting, int) else str(setting)


def _flax(padding: Any, none: bool, n: int) -> str:
    """The declared padding as Flax is given it."""
    if none or isinstance(padding, str):
        return '"VALID"' if none else '"SAME"'
    return "[" + ", ".join(f"({side}, {side})" for side in each(padding, n)) + "]"


def _conv_transpose(a: Arguments) -> Ways:
    def changed(**settings: Any) -> Tensor:
        return fn.conv_transpose2d(**{**a, **settings})

    flipped = lambda: changed(weight=a["weight"].flip((2, 3)))  # noqa: E731
    yield Form("the kernel is not flipped", flipped, details={"write": "transpose_kernel=True"})
    if a.get("bias") is not None:
        yield Form("no bias", lambda: changed(bias=None))


def _linear(a: Arguments) -> Ways:
    x, weight, bias = a["input"], a["weight"], a.get("bias")
    if bias is not None:
        yield Form("no bias", lambda: fn.linear(x, weight))
    if weight.shape[0] == weight.shape[1]:
        yield Form("the weight is not transposed", lambda: fn.linear(x, weight.T, bias))
    for activation in AFTER:
        followed = lambda f=activation: f(torch, fn.linear(x, weight, bias))  # noqa: E731
        yield Form("activation after", followed, actual=activation.text)
    yield output_times(fn.linear, a)


def _max_pool(a: Arguments) -> Ways:
    x, padding = a["input"], a.get("padding", 0)

    def padded(sides: Sides, fill: float = -math.inf) -> Tensor:
        return fn.max_pool2d(**{**a, "input": fn.pad(x, for_pad(sides), value=fill), "padding": 0})

    settings = (a["kernel_size"], a.get("stride"), padding)
    average = lambda: fn.avg_pool2d(x, *settings)  # noqa: E731
    yield Form("pooling", average, declared="maximum", actual="average")
    if padding:
        of_zeros = lambda: padded([(p, p) for p in each(padding, 2)], 0.0)  # noqa: E731
        yield Form("padding of 0", of_zeros, declared=padding)
    yield from _windows(fn.max_pool2d, a, padded)


def _avg_pool(a: Arguments) -> Ways:
    x, counted = a["input"], a.get("count_include_pad", True)
    other = lambda: fn.avg_pool2d(**{**a, "count_include_pad": not counted})  # noqa: E731
    details = {"counted": "not counted" if counted else "counted"}
    yield Form("count_include_pad", other, declared=counted, actual=not counted, details=details)
    settings = (a["kernel_size"], a.get("stride"), a.get("padding", 0))
    maximum = lambda: fn.max_pool2d(x, *settings)  # noqa: E731
    yield Form("pooling", maximum, declared="average", actual="maximum")

    def padded(sides: Sides) -> Tensor:
        def pooled(y: Tensor) -> Tensor:
            return fn.avg_pool2d(**{**a, "input": fn.pad(y, for_pad(sides)), "padding": 0})

        return pooled(x) if counted else pooled(x) / pooled(torch.ones_like(x))

    yield from _windows(fn.avg_pool2d, a, padded)


def _windows(pool: Callable[..., Tensor], a: Arguments, padded: Callable[[Sides], Tensor]) -> Ways:
    """Variants of both poolings; `padded` pools behind a padding that is given side by side."""
    sizes, padding = each(a["kernel_size"], 2), a.get("padding", 0)
    strides = each(a.get("stride") or a["kernel_size"], 2)

    def changed(**settings: Any) -> Callable[[], Tensor]:
        return lambda: pool(**{**a, **settings})

    sides = same(a["input"].shape[2:], sizes, strides)
    facts: dict[str, Any] = {"declared": padding, "family": "padding"}
    if sides != [(p, p) for p in each(padding, 2)]:
        yield Form("padding", lambda: padded(sides), actual="SAME", **facts)
    if padding:
        yield Form("no padding", changed(padding=0), **facts, rank=1)
    ceil = bool(a.get("ceil_mode", False))
    details = {"end": "dropped" if ceil else "kept"}
    other = changed(ceil_mode=not ceil)
    yield Form("ceil_mode", other, declared=ceil, actual=not ceil, details=details)
    for count in (1, 2, 3, 4):
        if (count, count) != strides:
            details = {"write": f"strides={strides}"} if count == 1 else {}
            facts = {"declared": single(strides), "actual": count, "details": details}
            yield Form("stride", changed(stride=count), **facts)
        if (count, count) != sizes and max(strides) > 1:
            wider = changed(kernel_size=count, stride=strides)
            yield Form("window", wider, declared=single(sizes), actual=count)


TABLE = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _conv),
    "conv_transpose2d": _conv_transpose,
    "linear": _linear,
    "max_pool2d": _max_pool,
    "avg_pool2d": _avg_pool,
}
