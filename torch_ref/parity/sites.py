"""What may stand in a program at one call of a function in place of what stands there.

A pass with one of these variants shows whether a port does just that: see `TorchProgram.run`.
"""

import functools
import inspect
import itertools
from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from typing import Any

import torch.overrides

from mnist_fn.shared.parity.causes.search import Form
from mnist_fn.shared.parity.program import Variant
from torch_ref.parity.guard import Site
from torch_ref.parity.operations import TABLE
from torch_ref.parity.operations.arithmetic import ANYWHERE

Arguments = dict[str, Any]

# Names of positional arguments where torch's own list of its functions has fewer, or others.
POSITIONS = {
    "scaled_dot_product_attention": ("query", "key", "value", "attn_mask", "dropout_p",
                                     "is_causal", "scale", "enable_gqa"),
    "mean": ("input", "dim", "keepdim"),
    **dict.fromkeys(("std", "var"), ("input", "dim", "unbiased", "keepdim")),
    "where": ("condition", "input", "other"),
    "view": ("input", "shape"),
}  # fmt: skip


@functools.cache
def _signatures() -> dict[str, tuple[str, ...]]:
    """Names of every function's arguments; of two of a name, torch.nn.functional's."""
    names: dict[str, tuple[str, ...]] = {}
    for function, stand_in in torch.overrides.get_testing_overrides().items():
        name = getattr(function, "__name__", "")
        if name not in names or getattr(function, "__module__", "") == "torch.nn.functional":
            names[name] = tuple(inspect.signature(stand_in).parameters)
    return names | POSITIONS


def bound(function: str, args: tuple[Any, ...], kwargs: Arguments) -> Arguments:
    """A call's arguments by name."""
    names = _signatures().get(function, ("input",))
    positional = dict(zip(names, args, strict=False))
    extra = args[len(names) :]
    if extra:  # mean(0, 1), reshape(2, 3)
        positional[names[-1]] = (positional[names[-1]], *extra)
    return {**positional, **kwargs}


def variants(sites: list[Site], modelled: int, first: int, last: int) -> list[Variant]:
    """Every variant of every call between two ticks, the latest call first.

    Args:
        sites: the calls of a pass.
        modelled: the tick at which its model ended; what follows is the loss.
        first: of the ticks.
        last: of the ticks.
    """
    listed: list[Variant] = []
    joint: dict[Hashable, list[tuple[str, Variant]]] = {}
    for site in reversed(sites):
        if first <= site.tick <= last and site.function in TABLE:
            arguments = bound(site.function, site.args, site.kwargs)
            for key, form in enumerate(_forms(site.function, arguments)):
                variant = _variant(site, site.tick > modelled, key, form)
                listed.append(variant)
                for code, role in form.together:
                    member = replace(variant, code=code or form.code)
                    place = site.within, site.tick > modelled, code or form.kind
                    joint.setdefault(place, []).append((role, member))
    return [*_joined(joint), *listed]


def _joined(joint: dict[Hashable, list[tuple[str, Variant]]]) -> Iterator[Variant]:
    """Variants of several lines of a module at once."""
    for members in joint.values():
        roles = {role for role, _ in members}
        if len(members) > 1 and (roles == {""} or len(roles) > 1):
            (_, leading), *following = sorted(members, key=lambda member: not member[1].starts)
            also = tuple((variant.site, int(variant.key)) for _, variant in following)
            yield replace(leading, also=also, family="")


def _variant(site: Site, is_loss: bool, key: int, form: Form) -> Variant:
    family = form.family
    if family and family not in ANYWHERE:
        family = f"{family} {site.index}"
    details = {**form.details, "outside": "the loss"} if is_loss else form.details
    facts = {**form.facts, "family": family, "at": site.within, "details": details}
    free = {"starts": form.starts, "scale": form.scale}
    return Variant(form.code, site.index, key, site.tick, **free, **facts)


def substitute(variant: Variant) -> Callable[..., Any]:
    """What computes a function as `variant` says."""

    def otherwise(func: Any, *args: Any, **kwargs: Any) -> Any:
        forms = _forms(func.__name__, bound(func.__name__, args, kwargs))
        form = next(itertools.islice(forms, int(variant.key), None), None)
        if form is None:
            return func(*args, **kwargs)
        return form.compute(variant.value) if form.starts else form.compute()

    return otherwise


def _forms(function: str, arguments: Arguments) -> Iterator[Form]:
    try:
        yield from TABLE[function](arguments)
    except (KeyError, TypeError, AttributeError):  # called in a way that the table doesn't know
        return
