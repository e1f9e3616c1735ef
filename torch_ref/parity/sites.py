"""What may stand in a program at one call of a function in place of what stands there.

A pass with one of these variants shows whether a port does just that: see `TorchProgram.run`.
"""

import inspect
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from mnist_fn.shared.parity.causes.search import Form, Number
from mnist_fn.shared.parity.program import Variant
from torch_ref.parity.guard import Site
from torch_ref.parity.operations import TABLE
from torch_ref.parity.operations.arithmetic import ANYWHERE

Arguments = dict[str, Any]

# Names of positional arguments, where torch's own functions have no signature to read.
POSITIONS = {
    "linear": ("input", "weight", "bias"),
    "conv1d": ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    "gelu": ("input", "approximate"),
    "scaled_dot_product_attention": ("query", "key", "value", "attn_mask", "dropout_p",
                                     "is_causal", "scale", "enable_gqa"),
    "avg_pool2d": ("input", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad",
                   "divisor_override"),
    "clamp": ("input", "min", "max"),
    "mean": ("input", "dim", "keepdim"),
    "std": ("input", "dim", "unbiased", "keepdim"),
    "masked_fill": ("input", "mask", "value"),
    "where": ("condition", "input", "other"),
    "unflatten": ("input", "dim", "sizes"),
    "div": ("input", "other"),
    "softmax": ("input", "dim"),
    "flatten": ("input", "start_dim", "end_dim"),
    "conv_transpose2d": ("input", "weight", "bias", "stride", "padding", "output_padding",
                         "groups", "dilation"),
    "max_pool2d": ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode"),
}  # fmt: skip
SAME = {
    "conv2d": "conv1d", "conv3d": "conv1d", "clip": "clamp",
    "true_divide": "div", "mul": "div", "add": "div", "__rsub__": "div", "log_softmax": "softmax",
    "sum": "mean", "var": "std", "masked_fill_": "masked_fill",
}  # fmt: skip


def bound(function: str, args: tuple[Any, ...], kwargs: Arguments, func: Any = None) -> Arguments:
    """A call's arguments by name."""
    names = POSITIONS.get(SAME.get(function, function))
    if names is None:
        try:
            names = tuple(inspect.signature(func).parameters) if func is not None else ()
        except (ValueError, TypeError):
            names = ()
        names = names or KNOWN.get(function, ("input",))
    positional = dict(zip(names, args, strict=False))
    extra = args[len(names) :]
    if extra:  # mean(0, 1), reshape(2, 3)
        positional[names[-1]] = (positional[names[-1]], *extra)
    return {**positional, **kwargs}


KNOWN = {
    "layer_norm": ("input", "normalized_shape", "weight", "bias", "eps"),
    "rms_norm": ("input", "normalized_shape", "weight", "eps"),
    "group_norm": ("input", "num_groups", "weight", "bias", "eps"),
    "batch_norm": ("input", "running_mean", "running_var", "weight", "bias", "training",
                   "momentum", "eps"),
    "embedding": ("input", "weight"),
    "leaky_relu": ("input", "negative_slope"),
    "reshape": ("input", "shape"),
    "view": ("input", "shape"),
    "cross_entropy": ("input", "target", "weight", "size_average", "ignore_index", "reduce",
                      "reduction", "label_smoothing"),
    "binary_cross_entropy_with_logits": ("input", "target", "weight", "size_average", "reduce",
                                         "reduction", "pos_weight"),
    "mse_loss": ("input", "target", "size_average", "reduce", "reduction"),
    "hardtanh": ("input", "min_val", "max_val"),
}  # fmt: skip


def variants(sites: list[Site], modelled: int, first: int, last: int) -> list[Variant]:
    """Every variant of every call between two ticks, the latest call first.

    Args:
        sites: the calls of a pass.
        modelled: the tick at which its model ended; what follows is the loss.
        first: of the ticks.
        last: of the ticks.
    """
    listed: list[Variant] = []
    joint: dict[tuple[str, str], list[tuple[str, Variant]]] = {}
    for site in reversed(sites):
        if first <= site.tick <= last and site.function in TABLE:
            arguments = bound(site.function, site.args, site.kwargs)
            outside = "the loss" if site.tick > modelled else "between the modules"
            place = site.within or outside
            for key, way in enumerate(_ways(site.function, arguments)):
                variant = _variant(site, place, key, way)
                listed.append(variant)
                for cause, role in way.together:
                    joint.setdefault((place, cause), []).append((role, variant))
    return [*_joined(joint), *listed]


def _joined(joint: dict[tuple[str, str], list[tuple[str, Variant]]]) -> Iterator[Variant]:
    """Variants of several lines of a module at once."""
    for (place, cause), members in joint.items():
        roles = {role for role, _ in members}
        if len(members) > 1 and (roles == {""} or len(roles) > 1):
            (_, leading), *following = sorted(members, key=lambda member: not member[1].starts)
            also = tuple((variant.site, int(variant.key)) for _, variant in following)
            yield replace(leading, text=f"{place}: {cause}", also=also, family="")


def _variant(site: Site, place: str, key: int, way: Form | Number) -> Variant:
    free = {"starts": way.starts, "scale": way.scale} if isinstance(way, Number) else {}
    family = way.family
    if family and family not in ANYWHERE:
        family = f"{family} {site.index}"
    facts = {**way.facts, "family": family, "at": site.within}
    return Variant(f"{place}: {way.text}", site.index, key, site.tick, **free, **facts)


def substitute(variant: Variant) -> Callable[..., Any]:
    """What computes a function as `variant` says."""

    def otherwise(func: Any, *args: Any, **kwargs: Any) -> Any:
        ways = _ways(func.__name__, bound(func.__name__, args, kwargs))
        way = next(itertools.islice(ways, int(variant.key), None), None)
        if way is None:
            return func(*args, **kwargs)
        return way.compute(variant.value) if isinstance(way, Number) else way.compute()

    return otherwise


def _ways(function: str, arguments: Arguments) -> Iterator[Form | Number]:
    try:
        yield from TABLE[function](arguments)
    except (KeyError, TypeError, AttributeError):  # called in a way that the table doesn't know
        return
