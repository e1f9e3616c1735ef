"""Losses: each of `causes.loss`, in torch, with the arguments that were given."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as fn

from mnist_fn.shared.parity.causes.loss import (
    ClassLoss,
    class_losses,
    elementwise,
    floored,
    reduced,
    reductions,
)
from mnist_fn.shared.parity.causes.search import Form, Number

Arguments = dict[str, Any]
Ways = Iterator[Form | Number]
DECLARED = {
    "mse_loss": "squared error", "l1_loss": "absolute error", "huber_loss": "Huber's loss",
    "smooth_l1_loss": "Huber's loss",
}  # fmt: skip


def _cross_entropy(a: Arguments) -> Ways:
    labels, ignored = a["target"], a.get("ignore_index", -100)
    if labels.is_floating_point():  # shares of the classes
        reduction = a.get("reduction", "mean")
        each = lambda: fn.cross_entropy(**{**a, "reduction": "none"})  # noqa: E731
        yield from reductions(torch, each, reduction)
        return
    yield from class_losses(
        ClassLoss(
            torch,
            a["input"],
            labels,
            weights=a.get("weight"),
            smoothing=a.get("label_smoothing", 0.0),
            ignored=ignored if bool((labels == ignored).any()) else None,
            reduction=a.get("reduction", "mean"),
        )
    )


def _elementwise(function: str) -> Callable[[Arguments], Ways]:
    def variants(a: Arguments) -> Ways:
        if a.get("delta", a.get("beta", 1.0)) != 1.0:  # of Huber's
            return iter(())
        return elementwise(
            torch, a["input"], a["target"], DECLARED[function], a.get("reduction", "mean")
        )

    return variants


def _binary(a: Arguments) -> Ways:
    z, y, reduction = a["input"], a["target"], a.get("reduction", "mean")
    weight, positive = a.get("weight"), a.get("pos_weight")

    def changed(**settings: Any) -> Tensor:
        return fn.binary_cross_entropy_with_logits(**{**a, **settings})

    yield from reductions(torch, lambda: changed(reduction="none"), reduction)
    for name in ("pos_weight", "weight"):
        if a.get(name) is not None:
            yield Form(f"no {name}", lambda n=name: changed(**{n: None}), code=name)

    def of_terms(hit: Tensor, miss: Tensor) -> Tensor:
        values = -((1.0 if positive is None else positive) * y * hit + (1 - y) * miss)
        return reduced(torch, values if weight is None else weight * values, reduction)

    def written(log: Callable[[Tensor], Tensor]) -> Tensor:
        return of_terms(log(z.sigmoid()), log(1 - z.sigmoid()))

    stable = "in place of the stable form"
    yield Form(f"log(p) {stable}", lambda: written(torch.log), code="floor")
    yield from floored(f"log(p + {{}}) {stable}", lambda f: written(lambda p: (p + f).log()))
    # XLA sums a compiled 1 - p + f so, which near p = 1 is another number
    yield from floored(
        f"log(p + {{0}}) {stable}, 1 - p + {{0}} summed as (1 + {{0}}) - p",
        lambda f: of_terms((z.sigmoid() + f).log(), ((1 + f) - z.sigmoid()).log()),
    )
    yield from floored(
        f"log(max(p, {{}})) {stable}", lambda f: written(lambda p: p.clamp_min(f).log())
    )
    yield from floored(
        "p clipped to ({0}, 1 - {0}) before the log",
        lambda f: written(lambda p: p.clamp(f, 1 - f).log()),
    )


TABLE = {
    "cross_entropy": _cross_entropy,
    "binary_cross_entropy_with_logits": _binary,
    **{name: _elementwise(name) for name in DECLARED},
}
