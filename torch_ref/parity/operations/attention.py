"""Attention with other scores; masks, of attention and of what else is masked."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as fn

from mnist_fn.shared.parity.causes.search import Form

Arguments = dict[str, Any]
LOW = -1e3  # what is added to a score that it hides


def _attention(a: Arguments) -> Iterator[Form]:
    query, mask, causal = a["query"], a.get("attn_mask"), a.get("is_causal", False)
    d = query.shape[-1]
    heads = query.shape[1] if query.ndim == 4 else 1

    def changed(**settings: Any) -> Tensor:
        return fn.scaled_dot_product_attention(**{**a, "dropout_p": 0.0, **settings})

    declared = "√d" if a.get("scale") is None else f"{1 / a['scale']:g}"
    scales = {
        "d": 1 / d,
        "1 (not scaled)": 1.0,
        "√(width of all heads)": (d * heads) ** -0.5,
        "√d": d**-0.5,
        "d squared": d**-2.0,
    }
    for name, scale in scales.items():
        if name != declared:
            scaled = lambda s=scale: changed(scale=s)  # noqa: E731
            yield Form("scale of scores", scaled, declared=declared, actual=name)
    starts, details = (0.5, d**0.5, float(d)), {"declared": declared}
    scaled = lambda c: changed(scale=1 / c)  # noqa: E731
    yield Form("scale of scores", scaled, starts, declared=d**0.5, details=details)
    turned = lambda: changed(is_causal=not causal, attn_mask=None)  # noqa: E731
    yield Form("not causal" if causal else "causal", turned)
    n, m = query.shape[-2], a["key"].shape[-2]
    if mask is not None:
        yield Form("no mask", lambda: changed(attn_mask=None))
        if mask.dtype == torch.bool:
            yield Form("the mask is inverted", lambda: changed(attn_mask=~mask))
        else:
            yield Form("the mask has the other sign", lambda: changed(attn_mask=-mask))
    if causal:
        strict = torch.ones(n, m, dtype=torch.bool).tril(-1)
        large = torch.zeros(n, m, dtype=query.dtype).masked_fill(~strict, -1e9)
        without_itself = lambda: changed(is_causal=False, attn_mask=large)  # noqa: E731
        yield Form("the mask hides a token from itself", without_itself)
    shown = torch.ones(n, m, dtype=torch.bool).tril() if causal else mask
    if shown is not None:
        binary = shown.dtype == torch.bool
        hidden = ~shown if binary else shown < LOW

        def filled(value: float) -> Tensor:
            scores = torch.zeros(hidden.shape, dtype=query.dtype) + (0.0 if binary else shown)
            return changed(is_causal=False, attn_mask=scores.masked_fill(hidden, value))

        yield from _fillings(filled, -math.inf)


def _fillings(filled: Callable[[float], Tensor], declared: float) -> Iterator[Form]:
    """Another number where something is masked."""
    facts: dict[str, Any] = {"declared": declared, "family": "mask"}
    for value in (-1.0, 0.0):
        if value != declared:
            yield Form("masked value", lambda v=value: filled(v), actual=value, **facts)
    yield Form("masked value", filled, (-0.5, -10.0, -100.0), "linear", **facts)


def _masked_fill(a: Arguments) -> Iterator[Form]:
    x, mask, value = a["input"], a["mask"], a["value"]
    yield Form("no mask", lambda: x)
    yield Form("the mask is inverted", lambda: x.masked_fill(~mask, value))
    if isinstance(value, int | float):
        yield from _fillings(lambda v: x.masked_fill(mask, v), float(value))


def _where(a: Arguments) -> Iterator[Form]:
    condition, x, y = a["condition"], a["input"], a["other"]
    yield Form("the condition is inverted", lambda: torch.where(~condition, x, y))
    constants = [isinstance(side, int | float) or not side.ndim for side in (x, y)]
    if constants[1] and not constants[0]:
        yield Form("no mask", lambda: x)
        yield from _fillings(lambda v: torch.where(condition, x, v), float(y))
    elif constants[0] and not constants[1]:
        yield Form("no mask", lambda: y)
        yield from _fillings(lambda v: torch.where(condition, v, y), float(x))


TABLE = {
    "scaled_dot_product_attention": _attention,
    **dict.fromkeys(("masked_fill", "masked_fill_"), _masked_fill),
    "where": _where,
}
