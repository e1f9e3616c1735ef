"""The order of axes, and means over other ones."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from mnist_fn.shared.parity.causes.loss import reductions
from mnist_fn.shared.parity.causes.search import Form

Arguments = dict[str, Any]


def _reshaped(a: Arguments) -> Iterator[Form]:
    yield from _flattened(a)
    yield from _heads(a["input"], _target(a))


def _target(a: Arguments) -> tuple[int, ...]:
    """The shape that a view, a reshape, a flattening or an unflattening makes."""
    x = a["input"]
    if "sizes" in a:
        return tuple(x.unflatten(a["dim"], tuple(a["sizes"])).shape)
    if "shape" in a:
        shape = a["shape"]
        return tuple(x.reshape(shape).shape)
    return tuple(x.flatten(a.get("start_dim", 0), a.get("end_dim", -1)).shape)


HEADS = "head order (d, h) for (h, d), where heads are split and where they are joined"
EVERYWHERE = ("", "")  # all lines of a module with the same change


def _heads(x: Tensor, target: tuple[int, ...]) -> Iterator[Form]:
    """The last axis split into heads, or heads joined, in another order."""
    split, joined = len(target) - x.ndim, x.ndim - len(target)
    lead = list(target[: x.ndim - 1])
    if split > 0 and lead == list(x.shape[:-1]):
        parts = list(target[x.ndim - 1 :])
        usual, *orders = itertools.permutations(range(split + 1))
        facts: dict[str, Any] = {"declared": parts, "details": {"features": x.shape[-1]}}
        facts["together"] = (EVERYWHERE, (HEADS, "split")) if split == 1 else (EVERYWHERE,)
        for order in orders:
            back = [len(lead) + order.index(i) for i in usual]
            permuted = [parts[i] for i in order]

            def in_order(p: list[int] = permuted, b: list[int] = back) -> Tensor:
                return x.reshape(lead + p).permute(*range(len(lead)), *b)

            yield Form("heads split", in_order, actual=permuted, **facts)
    if joined == 1 and target[:-1] == x.shape[:-2]:
        sizes = list(x.shape[-2:])
        swapped = lambda: x.mT.reshape(target)  # noqa: E731
        together = ((HEADS, "joined"),)
        yield Form("heads joined", swapped, declared=sizes, actual=sizes[::-1], together=together)
        if x.ndim == 4:
            code = "heads joined where they stand, not moved behind the positions first"
            yield Form(code, lambda: x.transpose(1, 2).reshape(target))


def _deviation(function: Callable[..., Tensor]) -> Callable[[Arguments], Iterator[Form]]:
    """A standard deviation or a variance with n for n − 1, or the other way about."""

    def variants(a: Arguments) -> Iterator[Form]:
        declared = a.get("correction", int(a.get("unbiased", True)))
        names = ("n", "n − 1")
        if declared in (0, 1):
            settings = {"dim": a.get("dim"), "keepdim": bool(a.get("keepdim"))}
            settings["correction"] = other = 1 - declared
            changed = lambda: function(a["input"], **settings)  # noqa: E731
            yield Form("variance", changed, declared=names[declared], actual=names[other])

    return variants


def _flattened(a: Arguments) -> Iterator[Form]:
    """Ports have channels last, so what is flattened after them comes in another order."""
    if "sizes" in a:
        return
    x, target = a["input"], a.get("shape")
    if x.ndim < 3 or (target is None and a.get("start_dim", 0) % x.ndim != 1):
        return
    shape = [len(x), -1] if target is None else target
    moved = lambda: x.movedim(1, -1).reshape(shape)  # noqa: E731
    yield Form("channels last", moved, declared=list(x.shape[1:]))


def _mean(a: Arguments) -> Iterator[Form]:
    x, dim, keep = a["input"], a.get("dim"), bool(a.get("keepdim"))
    if dim is None:  # of the whole, such as a loss ends with
        if x.ndim:
            yield from reductions(torch, lambda: x, "mean")
            yield Form("half of the mean", lambda: x.mean() / 2)
        return
    if x.ndim < 3:
        return
    axes = (dim,) if isinstance(dim, int) else tuple(dim)
    for axis in range(x.ndim) if len(axes) == 1 else ():
        if axis != axes[0] % x.ndim and x.mean(axis).shape == x.mean(dim).shape:
            facts: dict[str, Any] = {"declared": axes[0], "details": {"function": "mean"}}
            yield Form("axis", lambda d=axis: x.mean(d), actual=axis, **facts)
    for name, reduce in (("maximum", x.amax), ("sum", x.sum)):
        reduced = lambda f=reduce: f(axes, keepdim=keep)  # noqa: E731
        yield Form("reduction of axes", reduced, declared="mean", actual=name)
    for name, index in (("first entry", 0), ("last entry", -1)) if len(axes) == 1 else ():
        entry = x.select(axes[0], index)
        picked = lambda entry=entry: entry.unsqueeze(axes[0]) if keep else entry  # noqa: E731
        yield Form("reduction of axes", picked, declared="mean", actual=name)


TABLE = {
    **dict.fromkeys(("flatten", "reshape", "view", "unflatten"), _reshaped),
    "mean": _mean,
    "std": _deviation(torch.std),
    "var": _deviation(torch.var),
}
