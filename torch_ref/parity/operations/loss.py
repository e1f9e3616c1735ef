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
    "smooth_l1_loss": "smooth L1",
}  # fmt: skip
# where the loss turns from a square to a line
TURNS = {"huber_loss": "delta", "smooth_l1_loss": "beta"}
USUAL_TURNS = (0.1, 0.5, 1.0, 2.0)
KL_REDUCTIONS = ("mean", "batchmean", "sum")


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
    loss = getattr(fn, function)

    def variants(a: Arguments) -> Ways:
        x, y, reduction = a["input"], a["target"], a.get("reduction", "mean")
        each = lambda: loss(**{**a, "reduction": "none"})  # noqa: E731
        turn = TURNS.get(function)
        declared = DECLARED[function]
        if turn is not None and a.get(turn, 1.0) == 1:
            declared = DECLARED["huber_loss"]  # at 1 smooth L1 is the same
        yield from elementwise(torch, x, y, declared, each, reduction)
        if turn is not None:
            yield from _turns(loss, a, turn)

    return variants


def _turns(loss: Callable[..., Tensor], a: Arguments, turn: str) -> Ways:
    """Another δ of Huber's loss, or β of smooth L1; and the one of these for the other."""
    declared = float(a.get(turn, 1.0))
    changed = lambda value: loss(**{**a, turn: value})  # noqa: E731
    facts: dict[str, Any] = {"declared": declared, "family": turn}
    for value in USUAL_TURNS:
        if value != declared:
            yield Form(turn, lambda v=value: changed(v), actual=value, **facts)
    yield Form(turn, changed, (declared / 2, 2 * declared), **facts)
    if declared != 1:  # smooth L1 is Huber's loss divided by its β
        huber = f"Huber's loss with δ = {declared:g}"
        smooth = f"smooth L1 with β = {declared:g}"
        if loss is fn.huber_loss:
            yield Form("loss", lambda: loss(**a) / declared, declared=huber, actual=smooth)
        else:
            yield Form("loss", lambda: loss(**a) * declared, declared=smooth, actual=huber)


def _kl(a: Arguments) -> Ways:
    """Another reduction: PyTorch's mean is over classes too, which its "batchmean" sums."""
    declared = a.get("reduction", "mean")
    for reduction in KL_REDUCTIONS:
        if reduction != declared:
            changed = lambda r=reduction: fn.kl_div(**{**a, "reduction": r})  # noqa: E731
            facts = {"declared": declared, "actual": reduction, "family": "reduction"}
            yield Form("kl_div's reduction", changed, **facts)


def _pairwise_distance(a: Arguments) -> Ways:
    """Without what PyTorch adds to the differences, or with it in another place."""
    x, y, eps = a["x1"], a["x2"], a.get("eps", 1e-6)
    squares = lambda added: ((x - y + added) ** 2).sum(-1, keepdim=bool(a.get("keepdim")))  # noqa: E731
    if a.get("p", 2.0) == 2:
        under = lambda: squares(0.0).add(eps).sqrt()  # noqa: E731
        yield Form("ε under the root, not added to the differences", under)
        yield Form("no ε added to the differences", lambda: squares(0.0).sqrt())
        yield Form("the squared distance", lambda: squares(eps))


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
    "kl_div": _kl,
    "pairwise_distance": _pairwise_distance,
    **{name: _elementwise(name) for name in DECLARED},
}
