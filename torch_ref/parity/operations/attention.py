"""Attention with other scores; masks, of attention and of what else is masked."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as fn

from mnist_fn.shared.parity.causes.explanation import number
from mnist_fn.shared.parity.causes.search import Form, Number

Arguments = dict[str, Any]
LOW = -1e3  # what is added to a score that it hides


def _attention(a: Arguments) -> Iterator[Form | Number]:
    query, mask, causal = a["query"], a.get("attn_mask"), a.get("is_causal", False)
    d = query.shape[-1]
    heads = query.shape[1] if query.ndim == 4 else 1

    def changed(**settings: Any) -> Tensor:
        return fn.scaled_dot_product_attention(**{**a, "dropout_p": 0.0, **settings})

    declared = "√d" if a.get("scale") is None else f"{1 / a['scale']:g}"
    text = f"scores divided by {{}} in place of {declared}"
    scales = {
        "d": 1 / d,
        "1 (not scaled)": 1.0,
        "√(width of all heads)": (d * heads) ** -0.5,
        "√d": d**-0.5,
        "d squared": d**-2.0,
    }
    for name, scale in scales.items():
        if name != declared:
            yield Form(
                text.format(name),
                lambda s=scale: changed(scale=s),
                code="scale",
                declared=declared,
                actual=name,
            )
    starts = (0.5, d**0.5, float(d))
    yield Number(text, lambda c: changed(scale=1 / c), starts, code="scale", declared=d**0.5)
    yield Form(
        "not causal" if causal else "causal",
        lambda: changed(is_causal=not causal, attn_mask=None),
        code="mask",
        declared="causal" if causal else "all",
        actual="all" if causal else "causal",
    )
    n, m = query.shape[-2], a["key"].shape[-2]
    if mask is not None:
        yield Form("no mask", lambda: changed(attn_mask=None), code="mask", actual="none")
        binary = mask.dtype == torch.bool
        yield Form(
            "the mask is inverted" if binary else "the mask has the other sign",
            lambda: changed(attn_mask=~mask if binary else -mask),
            code="mask",
            actual="inverted",
        )
    if causal:
        strict = torch.ones(n, m, dtype=torch.bool).tril(-1)
        large = torch.zeros(n, m, dtype=query.dtype).masked_fill(~strict, -1e9)
        yield Form(
            "the mask hides a token from itself",
            lambda: changed(is_causal=False, attn_mask=large),
            code="mask",
            actual="strict",
        )
    shown = torch.ones(n, m, dtype=torch.bool).tril() if causal else mask
    if shown is not None:
        hidden = ~shown if shown.dtype == torch.bool else shown < LOW
        added = 0.0 if shown.dtype == torch.bool else shown

        def filled(value: float) -> Tensor:
            scores = torch.zeros(hidden.shape, dtype=query.dtype) + added
            return changed(is_causal=False, attn_mask=scores.masked_fill(hidden, value))

        yield from _fillings(filled, -math.inf)


def _fillings(filled: Callable[[float], Tensor], declared: float) -> Iterator[Form | Number]:
    """Another number where something is masked."""
    text = f"masked with {{}} in place of {number(declared)}"
    for value in (-1.0, 0.0):
        if value != declared:
            yield Form(
                text.format(number(value)),
                lambda v=value: filled(v),
                code="mask",
                declared=declared,
                actual=value,
                family="mask",
            )
    yield Number(
        text,
        filled,
        (-0.5, -10.0, -100.0),
        "linear",
        code="mask",
        declared=declared,
        family="mask",
    )


def _masked_fill(a: Arguments) -> Iterator[Form | Number]:
    x, mask, value = a["input"], a["mask"], a["value"]
    yield Form("no mask", lambda: x, code="mask", actual="none")
    yield Form(
        "the mask is inverted",
        lambda: x.masked_fill(~mask, value),
        code="mask",
        actual="inverted",
    )
    if isinstance(value, int | float):
        yield from _fillings(lambda v: x.masked_fill(mask, v), float(value))


def _where(a: Arguments) -> Iterator[Form | Number]:
    condition, x, y = a["condition"], a["input"], a["other"]
    yield Form(
        "the condition is inverted",
        lambda: torch.where(~condition, x, y),
        code="mask",
        actual="inverted",
    )
    constants = [isinstance(side, int | float) or not side.ndim for side in (x, y)]
    if constants[1] and not constants[0]:
        yield Form("no mask", lambda: x, code="mask", actual="none")
        yield from _fillings(lambda v: torch.where(condition, x, v), float(y))
    elif constants[0] and not constants[1]:
        yield Form("no mask", lambda: y, code="mask", actual="none")
        yield from _fillings(lambda v: torch.where(condition, v, y), float(x))


TABLE = {
    "scaled_dot_product_attention": _attention,
    **dict.fromkeys(("masked_fill", "masked_fill_"), _masked_fill),
    "where": _where,
}
