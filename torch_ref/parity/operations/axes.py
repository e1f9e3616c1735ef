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


def _heads(x: Tensor, target: tuple[int, ...]) -> Iterator[Form]:
    """The last axis split into heads, or heads joined, in another order."""
    split, joined = len(target) - x.ndim, x.ndim - len(target)
    lead = list(target[: x.ndim - 1])
    if split > 0 and lead == list(x.shape[:-1]):
        parts = target[x.ndim - 1 :]
        for order in itertools.permutations(range(split + 1)):
            back = [len(lead) + order.index(i) for i in range(split + 1)]
            permuted = [parts[i] for i in order]
            if order != tuple(range(split + 1)):
                text = f"{x.shape[-1]} features split as {permuted} in place of {list(parts)}: "
                text += "another order of heads"
                yield Form(
                    text,
                    lambda p=permuted, b=back: x.reshape(lead + p).permute(*range(len(lead)), *b),
                    code="head order",
                    declared=list(parts),
                    actual=permuted,
                    together=((text, ""), (HEADS, "split")) if split == 1 else ((text, ""),),
                )
    if joined == 1 and target[:-1] == x.shape[:-2]:
        text = f"heads of {list(x.shape[-2:])} joined as {list(x.shape[:-3:-1])}"
        yield Form(
            f"{text}: another order of heads",
            lambda: x.mT.reshape(target),
            code="head order",
            declared=list(x.shape[-2:]),
            actual=list(x.shape[:-3:-1]),
            together=((HEADS, "joined"),),
        )
        if x.ndim == 4:
            yield Form(
                "heads joined where they stand, not moved behind the positions first",
                lambda: x.transpose(1, 2).reshape(target),
                code="head order",
            )


def _deviation(function: Callable[..., Tensor]) -> Callable[[Arguments], Iterator[Form]]:
    """A standard deviation or a variance with n for n − 1, or the other way about."""

    def variants(a: Arguments) -> Iterator[Form]:
        declared = a.get("correction", int(a.get("unbiased", True)))
        names = ("n", "n − 1")
        if declared in (0, 1):
            settings = {"dim": a.get("dim"), "keepdim": bool(a.get("keepdim"))}
            yield Form(
                f"divided by {names[1 - declared]} in place of {names[declared]} in the variance",
                lambda: function(a["input"], correction=1 - declared, **settings),
                code="variance",
                declared=names[declared],
                actual=names[1 - declared],
            )

    return variants


def _flattened(a: Arguments) -> Iterator[Form]:
    """Ports have channels last, so what is flattened after them comes in another order."""
    if "sizes" in a:
        return
    x, target = a["input"], a.get("shape")
    if x.ndim < 3 or (target is None and a.get("start_dim", 0) % x.ndim != 1):
        return
    yield Form(
        f"flattened channels last, where PyTorch flattens {list(x.shape[1:])}: transpose to "
        "channels first before it is flattened, or reorder the rows of the kernel behind it",
        lambda: x.movedim(1, -1).reshape([len(x), -1] if target is None else target),
        code="order of axes",
        declared="channels first",
        actual="channels last",
    )


def _mean(a: Arguments) -> Iterator[Form]:
    x, dim, keep = a["input"], a.get("dim"), bool(a.get("keepdim"))
    if dim is None:  # of the whole, such as a loss ends with
        if x.ndim:
            yield from reductions(torch, lambda: x, "mean")
            yield Form("half of the mean", lambda: x.mean() / 2, code="scale", actual=0.5)
        return
    if x.ndim < 3:
        return
    axes = (dim,) if isinstance(dim, int) else tuple(dim)
    if len(axes) == 1:
        for axis in range(x.ndim):
            if axis != axes[0] % x.ndim and x.mean(axis).shape == x.mean(dim).shape:
                yield Form(
                    f"mean over axis {axis} in place of {dim}",
                    lambda d=axis: x.mean(d),
                    code="axis",
                    declared=axes[0],
                    actual=axis,
                )
    for name, reduce in (("maximum", x.amax), ("sum", x.sum)):
        yield Form(
            f"{name} in place of mean",
            lambda f=reduce: f(axes, keepdim=keep),
            code="reduction",
            declared="mean",
            actual=name,
        )


TABLE = {
    **dict.fromkeys(("flatten", "reshape", "view", "unflatten"), _reshaped),
    "mean": _mean,
    "std": _deviation(torch.std),
    "var": _deviation(torch.var),
}
