"""Losses, and what clips, as ports have them otherwise: (in words, what to compute)."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as fn

Arguments = dict[str, Any]
Found = Iterator[tuple[str, Callable[[], Any]]]

FLOORS = (1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15, 1e-16, 1e-20, 1e-30)


def _reductions(loss: Callable[[str], Tensor], a: Arguments) -> Found:
    declared = a.get("reduction", "mean")
    for reduction in ("mean", "sum"):
        if reduction != declared:
            yield f"{reduction} in place of {declared} over the batch", lambda r=reduction: loss(r)


def _cross_entropy(a: Arguments) -> Found:
    z, y, declared = a["input"], a["target"], a.get("reduction", "mean")
    smoothing, weight = a.get("label_smoothing", 0.0), a.get("weight")
    ignored = a.get("ignore_index", -100)

    def loss(
        reduction: str = declared, s: float = smoothing, z: Tensor = z, w: Any = weight
    ) -> Tensor:
        return fn.cross_entropy(
            z, y, w, ignore_index=ignored, reduction=reduction, label_smoothing=s
        )

    yield from _reductions(loss, a)
    for variant in (0.0, 0.01, 0.05, 0.1, 0.2):
        if variant != smoothing:
            yield (
                f"label smoothing {variant:g} in place of {smoothing:g}",
                lambda s=variant: loss(s=s),
            )
    yield "softmax twice", lambda: loss(z=z.softmax(1))
    if weight is not None:
        yield "no weights of classes", lambda: loss(w=None)
        if not y.is_floating_point():
            yield (
                "weights of classes averaged by count, not by their sum",
                lambda: loss("sum") / (y != ignored).sum(),
            )
    if not y.is_floating_point() and (y == ignored).any():
        yield (
            f"the mean counts the ignored targets ({ignored}) as well",
            lambda: loss("sum") / y.numel(),
        )
        shown = torch.where(y == ignored, torch.zeros_like(y), y)
        yield (
            f"targets {ignored} are not ignored, but taken as class 0",
            lambda: fn.cross_entropy(z, shown, weight, reduction=declared),
        )
    if not y.is_floating_point():
        p = z.softmax(1)

        def of_logs(logs: Tensor) -> Tensor:
            """The same loss of other logarithms, every other argument as it is."""
            hard = fn.nll_loss(logs, y, weight, ignore_index=ignored, reduction=declared)
            if not smoothing:
                return hard
            weights = torch.ones_like(logs[0]) if weight is None else weight
            shape = [1, -1, *[1] * (logs.ndim - 2)]
            counts = y != ignored
            flat = -(logs * weights.reshape(shape)).sum(1)[counts]
            spread = flat.sum() if declared == "sum" else flat.sum() / weights[y[counts]].sum()
            return (1 - smoothing) * hard + smoothing / logs.shape[1] * spread

        for floor in FLOORS:
            yield (
                f"log(p + {floor:g}) in place of the stable form",
                lambda f=floor: of_logs((p + f).log()),
            )
            yield (
                f"log(max(p, {floor:g})) in place of the stable form",
                lambda f=floor: of_logs(p.clamp_min(f).log()),
            )
        yield "log(p) in place of the stable form", lambda: of_logs(p.log())


def _binary(a: Arguments) -> Found:
    z, y, declared = a["input"], a["target"], a.get("reduction", "mean")
    weight, positive = a.get("weight"), a.get("pos_weight")

    def loss(reduction: str, w: Any = weight, pos: Any = positive) -> Tensor:
        return fn.binary_cross_entropy_with_logits(z, y, w, reduction=reduction, pos_weight=pos)

    yield from _reductions(loss, a)
    if positive is not None:
        yield "no pos_weight", lambda: loss(declared, pos=None)
    if weight is not None:
        yield "no weight", lambda: loss(declared, w=None)
    p = z.sigmoid()
    times = 1.0 if positive is None else positive

    def of_terms(hit: Tensor, miss: Tensor) -> Tensor:
        values = -(times * y * hit + (1 - y) * miss)
        return _reduce(values if weight is None else weight * values, declared)

    def written(low: Callable[[Tensor], Tensor]) -> Tensor:
        return of_terms(low(p).log(), low(1 - p).log())

    for floor in FLOORS:
        yield (
            f"log(p + {floor:g}) in place of the stable form",
            lambda f=floor: written(lambda q: q + f),
        )
        # XLA sums a compiled 1 - p + f so, which near p = 1 is another number
        yield (
            f"log(p + {floor:g}) in place of the stable form, 1 - p + {floor:g} summed as "
            f"(1 + {floor:g}) - p",
            lambda f=floor: of_terms((p + f).log(), ((1 + f) - p).log()),
        )
        yield (
            f"log(max(p, {floor:g})) in place of the stable form",
            lambda f=floor: written(lambda q: q.clamp_min(f)),
        )
        yield (
            f"p clipped to ({floor:g}, 1 - {floor:g}) before the log",
            lambda f=floor: written(lambda q: q.clamp(f, 1 - f)),
        )
    yield "log(p) in place of the stable form", lambda: written(lambda q: q)
    yield ("summed over the outputs, mean over the batch", lambda: loss("sum") / len(z))


def _mse(a: Arguments) -> Found:
    x, y, reduction = a["input"], a["target"], a.get("reduction", "mean")
    yield from _reductions(lambda r: fn.mse_loss(x, y, reduction=r), a)
    yield "half of it (optax.l2_loss)", lambda: fn.mse_loss(x, y, reduction=reduction) / 2
    yield "absolute differences", lambda: fn.l1_loss(x, y, reduction=reduction)
    yield (
        "summed over the outputs, mean over the batch",
        lambda: fn.mse_loss(x, y, reduction="sum") / len(x),
    )


def _reduce(values: Tensor, reduction: str) -> Tensor:
    return values.sum() if reduction == "sum" else values.mean()


def _clamped(a: Arguments) -> Found:
    x = a["input"]
    low = a.get("min", a.get("min_val", -1.0 if "max_val" in a else None))
    high = a.get("max", a.get("max_val"))
    between = f"{'' if low is None else f'{low:g} ≤ '}x{'' if high is None else f' ≤ {high:g}'}"
    yield (
        (
            f"the gradient passes through the clamp ({between}) as if it were not there; "
            "PyTorch's is 0 outside of its bounds"
        ),
        lambda: x + (x.clamp(low, high) - x).detach(),
    )
    yield f"no clamp ({between})", lambda: x
    if isinstance(low, float | int):
        yield (
            f"the clamp's gradient at {low:g} itself is 0",
            lambda: torch.where(x > low, x, torch.full_like(x, low)),
        )


TABLE: dict[str, Callable[[Arguments], Found]] = {
    "cross_entropy": _cross_entropy, "binary_cross_entropy_with_logits": _binary,
    "mse_loss": _mse, "clamp": _clamped, "clip": _clamped, "hardtanh": _clamped,
}  # fmt: skip
