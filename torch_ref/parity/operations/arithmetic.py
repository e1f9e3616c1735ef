"""Factors, softmax, clamps and embeddings in another way."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as fn

from mnist_fn.shared.parity.causes.search import Form
from mnist_fn.shared.parity.causes.sums import HIDING, SENSE, sums

Arguments = dict[str, Any]
Ways = Iterator[Form]
# Families of changes that may fit at several lines: one cause, of which the shortest is named.
SCALE = "scale"
ANYWHERE = (SCALE, SENSE)
AVERAGED = "a mean over padding too"  # two lines: no mask, and another count


def output_times(function: Callable[..., Tensor], a: Arguments) -> Form:
    """What a function gives, times a number."""
    scaled = lambda c: c * function(**a)  # noqa: E731
    return Form("output times", scaled, (0.5, 2.0), "linear", declared=1.0, family=SCALE)


def _added(a: Arguments) -> Ways:
    x, other = a["input"], a["other"]
    if isinstance(x, Tensor) and isinstance(other, Tensor):
        yield from sums(x, other)
    elif isinstance(x, Tensor) and isinstance(other, float) and other > 0:
        yield Form("constant", lambda c: x + c, (other / 10, other * 10), declared=other)


def _subtracted_from(a: Arguments) -> Ways:
    """Variants of 1 − x: a mask that hides, or the other share of a gate."""
    x = a["input"]
    masks = isinstance(x, Tensor) and not ((x != 0) & (x != 1)).any()
    code = "subtracted mask" if masks else "subtracted"
    yield Form(code, lambda: x, declared=a["other"], family=SENSE)
    if not masks and isinstance(a["other"], int | float) and a["other"]:
        number = float(a["other"])  # a margin
        less = lambda c: c - x  # noqa: E731
        yield Form("subtracted from", less, (number / 2, number * 2), "linear", declared=number)


def _divided(a: Arguments) -> Ways:
    x, count = a["input"], a["other"]
    if isinstance(count, Tensor):
        yield Form("not divided by its second term", lambda: x)
        if bool((count == count.round()).all()):
            starts = (float(count.detach().mean()), float(count.detach().max()))
            together = ((AVERAGED, "count"),)
            yield Form("count", lambda c: x / c, starts, "linear", together=together)
    else:
        verbs = {"verb": "divided", "inverse": "multiplied"}
        yield from _factor(x, count, verbs, lambda c: x / c, lambda c: x * c)


def _multiplied(a: Arguments) -> Ways:
    x, factor = a["input"], a["other"]
    if isinstance(factor, Tensor) and isinstance(x, Tensor):
        shape = torch.broadcast_shapes(x.shape, factor.shape)
        masks = not ((factor != 0) & (factor != 1)).any()
        code = "mask forgotten" if masks else "factor forgotten"
        for place, remaining in (("second", x), ("first", factor)):
            together = ((AVERAGED, "mask"),) if masks and place == "second" else ()
            expanded = lambda f=remaining: f.expand(shape)  # noqa: E731
            yield Form(code, expanded, actual=place, together=together)
    else:
        verbs = {"verb": "multiplied", "inverse": "divided"}
        yield from _factor(x, factor, verbs, lambda c: x * c, lambda c: x / c)


def _factor(
    x: Any,
    c: Any,
    verbs: dict[str, str],
    apply: Callable[[float], Tensor],
    invert: Callable[[float], Tensor],
) -> Ways:
    """Variants of x / c or of x · c."""
    if not isinstance(c, int | float) or not isinstance(x, Tensor) or not c:
        return
    c = float(c)
    facts: dict[str, Any] = {"declared": c, "details": verbs}
    if c != 1:
        yield Form("no factor", lambda: x, **facts)
        yield Form("factor", lambda: apply(c * c), actual=c * c, **facts)
        yield Form("inverse factor", lambda: invert(c), **facts)
        if abs(c) >= HIDING:
            yield Form("factor of a mask", lambda: apply(-c), actual=-c, family=SENSE, **facts)
        else:
            yield Form("factor", lambda: apply(-c), actual=-c, **facts)
    yield Form("factor", apply, (c / 2, c * 2), "linear", family=SCALE, **facts)


def _power(a: Arguments) -> Ways:
    x, declared = a["input"], a.get("exponent", 2)
    if not isinstance(x, Tensor) or not isinstance(declared, int | float):
        return
    for exponent in (0.5, 1, 2, 3):
        if exponent != declared:
            changed = lambda e=exponent: x**e  # noqa: E731
            yield Form("exponent", changed, declared=declared, actual=exponent)


def _exponential(a: Arguments) -> Ways:
    yield Form("no exponential function", lambda: a["input"])


def _length(a: Arguments) -> Ways:
    """Variants of a vector divided by its length."""
    x, dim = a["input"], a.get("dim", 1)
    yield Form("not divided by its length", lambda: x)
    for axis in range(x.ndim):
        if axis != dim % x.ndim:
            other = lambda d=axis: fn.normalize(**{**a, "dim": d})  # noqa: E731
            facts: dict[str, Any] = {"declared": dim, "details": {"function": "its length"}}
            yield Form("axis", other, actual=axis, **facts)


def _softmax(a: Arguments) -> Ways:
    x, dim = a["input"], a.get("dim", -1)
    details = {"function": "softmax"}
    for axis in range(x.ndim):
        if axis != dim % x.ndim:
            other = lambda d=axis: x.softmax(d)  # noqa: E731
            yield Form("axis", other, declared=dim, actual=axis, details=details)
    yield Form("activation", lambda: x.sigmoid(), declared="softmax", actual="sigmoid")
    warmer = lambda t: (x / t).softmax(dim)  # noqa: E731
    yield Form("softmax temperature", warmer, (0.5, 2.0), declared=1.0, family=SCALE)


def _clamped(a: Arguments) -> Ways:
    x = a["input"]
    low: Any = a.get("min", a.get("min_val", -1.0 if "max_val" in a else None))
    high: Any = a.get("max", a.get("max_val"))
    left, right = "" if low is None else f"{low:g} ≤ ", "" if high is None else f" ≤ {high:g}"
    details = {"between": f"{left}x{right}"}
    passed = lambda: x + (x.clamp(low, high) - x).detach()  # noqa: E731
    yield Form("clamp passed", passed, details=details)
    yield Form("no clamp", lambda: x, details=details)
    if isinstance(low, int | float):
        strict = lambda: torch.where(x > low, x, torch.full_like(x, low))  # noqa: E731
        yield Form("clamp at its bound", strict, declared=float(low))
    if isinstance(high, int | float) and low == -high:
        both = lambda c: x.clamp(-c, c)  # noqa: E731
        yield Form("clamp of both", both, (high / 2, high * 2.0), declared=float(high))
        return
    sides = {"above": (high, lambda c: x.clamp(low, c)), "below": (low, lambda c: x.clamp(c, high))}
    for side, (bound, clamp) in sides.items():
        if isinstance(bound, int | float):
            facts: dict[str, Any] = {"declared": float(bound), "details": {"side": side}}
            yield Form("clamp", clamp, (bound / 2, bound * 2.0 or 0.1), "linear", **facts)


def _embedding(a: Arguments) -> Ways:
    ids, weight = a["input"], a["weight"]
    root = weight.shape[1] ** 0.5
    yield Form("times √d", lambda: root * fn.embedding(ids, weight))
    yield Form("ids in the reverse order", lambda: fn.embedding(ids.flip(-1), weight))
    yield Form("ids begin at 1", lambda: fn.embedding((ids - 1).clamp_min(0), weight))
    without = lambda: fn.embedding(ids, weight) * (ids != 0)[..., None]  # noqa: E731
    yield Form("the row of id 0 is 0", without)
    if a.get("padding_idx") is None:
        for row in (0, 1):
            padded = lambda p=row: fn.embedding(ids, weight, padding_idx=p)  # noqa: E731
            yield Form("padding_idx", padded, actual=row)
    yield output_times(fn.embedding, a)


TABLE = {
    "add": _added,
    "__rsub__": _subtracted_from,
    **dict.fromkeys(("div", "true_divide"), _divided),
    "mul": _multiplied,
    **dict.fromkeys(("pow", "square"), _power),
    "exp": _exponential,
    "normalize": _length,
    "softmax": _softmax,
    **dict.fromkeys(("clamp", "clip", "hardtanh"), _clamped),
    "embedding": _embedding,
}
