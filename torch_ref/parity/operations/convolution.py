"""Convolutions and dense layers with another padding, stride, dilation, kernel or bias."""

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as fn

from mnist_fn.shared.parity.causes.search import Form, Number
from torch_ref.parity.operations.activation import AFTER
from torch_ref.parity.operations.arithmetic import output_times
from torch_ref.parity.operations.padding import each, for_pad, same, single

Arguments = dict[str, Any]
Ways = Iterator[Form | Number]


def _conv(a: Arguments) -> Ways:
    x, weight, padding = a["input"], a["weight"], a.get("padding", 0)
    n = weight.ndim - 2
    kernel = weight.shape[2:]
    convolve = (fn.conv1d, fn.conv2d, fn.conv3d)[n - 1]

    def changed(**settings: Any) -> Tensor:
        return convolve(**{**a, **settings})

    def padded(sides: list[tuple[int, int]]) -> Tensor:
        return changed(input=fn.pad(x, for_pad(sides)), padding=0)

    none = padding in (0, "valid", (0,) * n)
    declared = "SAME" if padding == "same" else "no" if none else _pair(padding)
    same_sides = same(x.shape[2:], kernel, each(a.get("stride", 1), n))
    first = same_sides[0] if len(set(same_sides)) == 1 else None
    low, high = [side[0] for side in same_sides], [side[1] for side in same_sides]
    yield Form(
        f"padding SAME, which is ({low[0]}, {high[0]}) here, in place of {declared}: "
        f"write padding={_flax(padding, none, n)}",
        lambda: padded(same_sides),
        code="padding",
        declared=declared,
        actual="SAME",
        family="padding",  # several may mean the same at a size: SAME is what is written
    )
    for sides in itertools.product(range(max(kernel)), repeat=2):
        if sides != first:
            yield Form(
                f"padding {sides} in place of {declared}",
                lambda s=sides: padded([s] * n),
                code="padding",
                declared=declared,
                actual=list(sides),
                family="padding",
                rank=1,
            )
    for setting, candidate in itertools.product(("stride", "dilation"), (1, 2, 3, 4)):
        value = a.get(setting, 1)
        if each(value, n) != (candidate,) * n:
            yield Form(
                f"{setting} {candidate} in place of {single(value)}",
                lambda s=setting, c=candidate: changed(**{s: c}),
                code=setting,
                declared=single(value),
                actual=candidate,
            )
    axes = tuple(range(2, weight.ndim))
    yield Form(
        "the kernel is flipped",
        lambda: changed(weight=weight.flip(axes)),
        code="kernel",
        actual="flipped",
    )
    if len(set(kernel)) == 1 and n == 2:
        yield Form(
            "rows and columns of the kernel are swapped",
            lambda: changed(weight=weight.mT),
            code="kernel",
            actual="transposed",
        )
    if a.get("bias") is not None:
        yield Form("no bias", lambda: changed(bias=None), code="bias")
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

    yield Form(
        "the kernel is not flipped (Flax's default: write transpose_kernel=True)",
        lambda: changed(weight=a["weight"].flip((2, 3))),
        code="kernel",
        actual="flipped",
    )
    if a.get("bias") is not None:
        yield Form("no bias", lambda: changed(bias=None), code="bias")


def _linear(a: Arguments) -> Ways:
    x, weight, bias = a["input"], a["weight"], a.get("bias")
    if bias is not None:
        yield Form("no bias", lambda: fn.linear(x, weight), code="bias")
    if weight.shape[0] == weight.shape[1]:
        yield Form(
            "the weight is not transposed",
            lambda: fn.linear(x, weight.T, bias),
            code="kernel",
            actual="transposed",
        )
    for activation in AFTER:
        yield Form(
            f"{activation.text} after it",
            lambda f=activation: f(torch, fn.linear(x, weight, bias)),
            code="activation",
            actual=activation.text,
        )
    yield output_times(fn.linear, a)


TABLE = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _conv),
    "conv_transpose2d": _conv_transpose,
    "linear": _linear,
}
