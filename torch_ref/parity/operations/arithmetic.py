"""Factors, softmax, clamps and embeddings in another way."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as fn

from mnist_fn.shared.parity.causes.explanation import number
from mnist_fn.shared.parity.causes.search import Form, Number
from mnist_fn.shared.parity.causes.sums import HIDING, INVERTED, SENSE, sums

Arguments = dict[str, Any]
Ways = Iterator[Form | Number]
# Families of changes that may fit at several lines: one cause, of which the shortest is named.
SCALE = "scale"
ANYWHERE = (SCALE, SENSE)


def output_times(function: Callable[..., Tensor], a: Arguments) -> Number:
    """What a function gives, times a number."""
    return Number(
        "its output times {}",
        lambda c: c * function(**a),
        (0.5, 2.0),
        "linear",
        code="scale",
        declared=1.0,
        family=SCALE,
    )


AVERAGED = "a mean over padding too"  # two lines: no mask, and another count


def _added(a: Arguments) -> Ways:
    if isinstance(a["input"], Tensor) and isinstance(a["other"], Tensor):
        yield from sums(a["input"], a["other"])


def _subtracted_from(a: Arguments) -> Ways:
    """Variants of 1 − x, such as a mask that hides."""
    x, total = a["input"], a["other"]
    yield Form(
        f"{INVERTED} (x in place of {total} − x)",
        lambda: x,
        code="mask",
        actual="inverted",
        family=SENSE,
    )


def _divided(a: Arguments) -> Ways:
    x, count = a["input"], a["other"]
    if isinstance(count, Tensor):
        yield Form("not divided by its second term", lambda: x, code="quotient")
        if bool((count == count.round()).all()):
            yield Number(
                "divided by {} in place of a count of its own for each row",
                lambda c: x / c,
                (float(count.detach().mean()), float(count.detach().max())),
                "linear",
                code="count",
                together=((AVERAGED, "count"),),
            )
        return
    yield from _factor(a, "divided by", "multiplied by", lambda x, c: x / c, lambda x, c: x * c)


def _multiplied(a: Arguments) -> Ways:
    x, factor = a["input"], a["other"]
    if isinstance(factor, Tensor) and isinstance(x, Tensor):
        shape = torch.broadcast_shapes(x.shape, factor.shape)
        masks = not ((factor != 0) & (factor != 1)).any()
        for place, remaining in (("second", x), ("first", factor)):
            yield Form(
                f"a product without its {place} factor" + (", a mask" if masks else ""),
                lambda f=remaining: f.expand(shape),
                code="mask" if masks else "product",
                declared="both factors",
                actual=f"without the {place}",
                together=((AVERAGED, "mask"),) if masks and place == "second" else (),
            )
        return
    yield from _factor(a, "multiplied by", "divided by", lambda x, c: x * c, lambda x, c: x / c)


def _factor(
    a: Arguments,
    verb: str,
    inverse: str,
    apply: Callable[[Tensor, float], Tensor],
    invert: Callable[[Tensor, float], Tensor],
) -> Ways:
    """Variants of x / c or of x · c."""
    x, c = a["input"], a["other"]
    if not isinstance(c, int | float) or not isinstance(x, Tensor) or not c:
        return
    c = float(c)
    facts = {"code": "scale", "declared": c}
    if c != 1:
        yield Form(f"not {verb} {c:g}", lambda: x, actual=1.0, **facts)
        yield Form(
            f"{verb} {c * c:g} in place of {c:g}", lambda: apply(x, c * c), actual=c * c, **facts
        )
        yield Form(f"{inverse} {c:g}, not {verb.split()[0]}", lambda: invert(x, c), **facts)
        if abs(c) >= HIDING:
            facts |= {"code": "mask", "family": SENSE}
        text = f"{verb} {-c:g} in place of {c:g}"
        text = f"{INVERTED} ({text})" if abs(c) >= HIDING else text
        yield Form(text, lambda: apply(x, -c), actual=-c, **facts)
    text = f"{verb} {{}} in place of {number(c)}"
    starts = (c / 2, c * 2)
    facts = {"code": "scale", "declared": c, "family": SCALE}
    yield Number(text, lambda v: apply(x, v), starts, "linear", **facts)


def _softmax(a: Arguments) -> Ways:
    x, dim = a["input"], a.get("dim", -1)
    for axis in range(x.ndim):
        if axis != dim % x.ndim:
            yield Form(
                f"softmax over axis {axis} in place of {dim}",
                lambda d=axis: x.softmax(d),
                code="axis",
                declared=dim,
                actual=axis,
            )
    yield Form(
        "sigmoid in place of softmax", lambda: x.sigmoid(), code="activation",
        declared="softmax", actual="sigmoid",
    )  # fmt: skip
    yield Number(
        "softmax of its input divided by {}",
        lambda t: (x / t).softmax(dim),
        (0.5, 2.0),
        code="scale",
        declared=1.0,
        family=SCALE,
    )


def _bounds(a: Arguments) -> tuple[Any, Any]:
    low = a.get("min", a.get("min_val", -1.0 if "max_val" in a else None))
    return low, a.get("max", a.get("max_val"))


def _between(low: Any, high: Any) -> str:
    return f"{'' if low is None else f'{low:g} ≤ '}x{'' if high is None else f' ≤ {high:g}'}"


def _clamped(a: Arguments) -> Ways:
    x = a["input"]
    low, high = _bounds(a)
    between = _between(low, high)
    yield Form(
        f"the gradient passes through the clamp ({between}) as if it were not there; "
        "PyTorch's is 0 outside of its bounds",
        lambda: x + (x.clamp(low, high) - x).detach(),
        code="clamp",
        actual="straight through",
    )
    yield Form(f"no clamp ({between})", lambda: x, code="clamp", actual="none")
    numeric = [isinstance(bound, int | float) for bound in (low, high)]
    if numeric[0]:
        yield Form(
            f"the clamp's gradient at {low:g} itself is 0",
            lambda: torch.where(x > low, x, torch.full_like(x, low)),
            code="clamp",
            actual="0 at its bound",
        )
    if all(numeric) and low == -high:
        text = f"clamped to ±{{}} in place of ±{number(high)}"
        starts = (high / 2, high * 2.0)
        yield Number(text, lambda c: x.clamp(-c, c), starts, code="clamp", declared=float(high))
        return
    sides = {"above": (high, lambda c: x.clamp(low, c)), "below": (low, lambda c: x.clamp(c, high))}
    for side, (bound, clamp) in sides.items():
        if isinstance(bound, int | float):
            text = f"clamped at {{}} in place of {number(bound)} {side}"
            starts = (bound / 2, bound * 2.0 or 0.1)
            yield Number(text, clamp, starts, "linear", code="clamp", declared=float(bound))


def _embedding(a: Arguments) -> Ways:
    ids, weight = a["input"], a["weight"]
    root = weight.shape[1] ** 0.5
    yield Form("times √d", lambda: root * fn.embedding(ids, weight), code="scale", actual=root)
    yield Form("ids begin at 1", lambda: fn.embedding((ids - 1).clamp_min(0), weight), code="ids")
    yield Form(
        "the row of id 0 is 0",
        lambda: fn.embedding(ids, weight) * (ids != 0)[..., None],
        code="ids",
        actual="row 0 is 0",
    )
    if a.get("padding_idx") is None:
        for row in (0, 1):
            yield Form(
                f"row {row} is not trained, as padding_idx={row} has it",
                lambda p=row: fn.embedding(ids, weight, padding_idx=p),
                code="padding_idx",
                actual=row,
            )
    yield output_times(fn.embedding, a)


TABLE = {
    "add": _added,
    "__rsub__": _subtracted_from,
    **dict.fromkeys(("div", "true_divide"), _divided),
    "mul": _multiplied,
    "softmax": _softmax,
    **dict.fromkeys(("clamp", "clip", "hardtanh"), _clamped),
    "embedding": _embedding,
}
