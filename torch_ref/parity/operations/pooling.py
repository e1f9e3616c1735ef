"""Poolings with another window, stride or padding."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as fn

from mnist_fn.shared.parity.causes.search import Form
from torch_ref.parity.operations.padding import each, for_pad, same, single

Arguments = dict[str, Any]
Sides = list[tuple[int, int]]


def _max_pool(a: Arguments) -> Iterator[Form]:
    x, padding = a["input"], a.get("padding", 0)

    def padded(sides: Sides, fill: float = -math.inf) -> Tensor:
        return fn.max_pool2d(**{**a, "input": fn.pad(x, for_pad(sides), value=fill), "padding": 0})

    settings = (a["kernel_size"], a.get("stride"), padding)
    yield Form(
        "average in place of maximum",
        lambda: fn.avg_pool2d(x, *settings),
        code="pooling",
        declared="maximum",
        actual="average",
    )
    if padding:
        yield Form(
            f"padding with 0 in place of nothing, {padding} on either side",
            lambda: padded([(p, p) for p in each(padding, 2)], 0.0),
            code="padding",
            declared="nothing",
            actual=0,
        )
    yield from _windows(fn.max_pool2d, a, padded)


def _avg_pool(a: Arguments) -> Iterator[Form]:
    x, counted = a["input"], a.get("count_include_pad", True)
    words = "not counted in the average" if counted else "counted in the average"
    yield Form(
        f"padding is {words} (count_include_pad={not counted})",
        lambda: fn.avg_pool2d(**{**a, "count_include_pad": not counted}),
        code="count_include_pad",
        declared=counted,
        actual=not counted,
    )
    settings = (a["kernel_size"], a.get("stride"), a.get("padding", 0))
    yield Form(
        "maximum in place of average",
        lambda: fn.max_pool2d(x, *settings),
        code="pooling",
        declared="average",
        actual="maximum",
    )

    def padded(sides: Sides) -> Tensor:
        def pooled(y: Tensor) -> Tensor:
            return fn.avg_pool2d(**{**a, "input": fn.pad(y, for_pad(sides)), "padding": 0})

        return pooled(x) if counted else pooled(x) / pooled(torch.ones_like(x))

    yield from _windows(fn.avg_pool2d, a, padded)


def _windows(
    pool: Callable[..., Tensor], a: Arguments, padded: Callable[[Sides], Tensor]
) -> Iterator[Form]:
    """Variants of both poolings; `padded` pools behind a padding that is given side by side."""
    sizes, padding = each(a["kernel_size"], 2), a.get("padding", 0)
    strides = each(a.get("stride") or a["kernel_size"], 2)

    def changed(**settings: Any) -> Callable[[], Tensor]:
        return lambda: pool(**{**a, **settings})

    sides = same(a["input"].shape[2:], sizes, strides)
    if sides != [(p, p) for p in each(padding, 2)]:
        yield Form(
            f"padding SAME in place of {padding}",
            lambda: padded(sides),
            family="padding",
            code="padding",
            declared=padding,
            actual="SAME",
        )
    if padding:
        yield Form(
            f"no padding in place of {padding}",
            changed(padding=0),
            family="padding",
            rank=1,
            code="padding",
            declared=padding,
            actual=0,
        )
    ceil = bool(a.get("ceil_mode", False))
    yield Form(
        f"ceil_mode={not ceil}: the part of a window at the end is {'dropped' if ceil else 'kept'}",
        changed(ceil_mode=not ceil),
        code="ceil_mode",
        declared=ceil,
        actual=not ceil,
    )
    for count in (1, 2, 3, 4):
        if (count, count) != strides:
            default = f" (Flax's default: write strides={strides})" if count == 1 else ""
            yield Form(
                f"stride {count} in place of {single(strides)}{default}",
                changed(stride=count),
                code="stride",
                declared=single(strides),
                actual=count,
            )
        if (count, count) != sizes and max(strides) > 1:
            yield Form(
                f"windows of {count} in place of {single(sizes)}",
                changed(kernel_size=count, stride=strides),
                code="window",
                declared=single(sizes),
                actual=count,
            )


TABLE = {"max_pool2d": _max_pool, "avg_pool2d": _avg_pool}
