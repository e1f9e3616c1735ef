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
from mnist_fn.shared.parity.causes.search import Form

Arguments = dict[str, Any]
Ways = Iterator[Form]
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
            yield Form(f"no {name}", lambda n=name: changed(**{n: None}))

    def of_terms(hit: Tensor, miss: Tensor) -> Tensor:
        values = -((1.0 if positive is None else positive) * y * hit + (1 - y) * miss)
        return reduced(torch, values if weight is None else weight * values, reduction)

    def written(log: Callable[[Tensor], Tensor]) -> Tensor:
        return of_terms(log(z.sigmoid()), log(1 - z.sigmoid()))

    stable = "in place of the stable form"
    yield Form(f"log(p) {stable}", lambda: written(torch.log))
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


def _triplet_margin(a: Arguments) -> Ways:
    """Another place of its ε, as optax has it, and another margin."""
    x, margin, eps = a["anchor"], a.get("margin", 1.0), a.get("eps", 1e-6)

    def value(margin: float, added: float, under: float) -> Tensor:
        def distance(y: Tensor) -> Tensor:
            return ((x - y + added) ** 2).sum(-1).add(under).sqrt()

        gap = distance(a["positive"]) - distance(a["negative"])
        return reduced(torch, (gap + margin).clamp_min(0), a.get("reduction", "mean"))

    if a.get("p", 2.0) == 2 and not a.get("swap"):
        yield Form("ε under the root, not added to the differences", lambda: value(margin, 0, eps))
        yield Form("no ε added to the differences", lambda: value(margin, 0, 0))
        yield Form("margin", lambda m: value(m, eps, 0), (0.5, 2.0), declared=float(margin))


def _cosine(a: Arguments) -> Ways:
    """Without what PyTorch adds to the squares of both norms."""
    x, y, alike = a["input1"], a["input2"], a["target"] == 1

    def value(eps: float) -> Tensor:
        squares = ((x * x).sum(-1) + eps) * ((y * y).sum(-1) + eps)
        cosine = (x * y).sum(-1) / squares.sqrt()
        apart = (cosine - a.get("margin", 0.0)).clamp_min(0)
        values = torch.where(alike, 1 - cosine, apart)
        return reduced(torch, values, a.get("reduction", "mean"))

    yield Form("no 1e-12 added to the squared norms", lambda: value(0.0))


TABLE = {
    "cross_entropy": _cross_entropy,
    "binary_cross_entropy_with_logits": _binary,
    "triplet_margin_loss": _triplet_margin,
    "cosine_embedding_loss": _cosine,
    **{name: _elementwise(name) for name in DECLARED},
}
