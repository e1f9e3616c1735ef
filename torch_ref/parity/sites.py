"""What may stand in a program at one call of a function in place of what stands there.

A pass with one of these variants shows whether a port does just that: see `TorchProgram.run`.
"""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from mnist_fn.shared.parity.program import Variant
from torch_ref.parity import layers, losses, numbers
from torch_ref.parity.guard import Site

Arguments = dict[str, Any]
Alternatives = Callable[[Arguments], Iterator[tuple[str, Callable[[], Any]]]]

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
    "div": ("input", "other"),
    "softmax": ("input", "dim"),
    "flatten": ("input", "start_dim", "end_dim"),
    "conv_transpose2d": ("input", "weight", "bias", "stride", "padding", "output_padding",
                         "groups", "dilation"),
    "max_pool2d": ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode"),
}  # fmt: skip
SAME = {
    "conv2d": "conv1d", "conv3d": "conv1d", "clip": "clamp", "__truediv__": "div",
    "true_divide": "div", "mul": "div", "log_softmax": "softmax", "sum": "mean",
}  # fmt: skip

TABLE: dict[str, Alternatives] = {**layers.TABLE, **losses.TABLE}


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


def variants(sites: list[Site], first: int, last: int) -> list[Variant]:
    """Every variant of every call between two ticks, the latest call first."""
    listed = []
    for site in reversed(sites):
        if first <= site.tick <= last and site.function in TABLE:
            place = site.within or "between the modules"
            arguments = bound(site.function, site.args, site.kwargs)
            listed += [
                Variant(site.index, f"{place}: {text}", text, site.tick, *_family(site, text))
                for text, _ in _tried(site.function, arguments)
            ]
            scaling = "scale" if site.function in numbers.SCALING else ""
            listed += [
                Variant(
                    site.index,
                    f"{place}: {text}",
                    text,
                    site.tick,
                    scaling or _family(site, text)[0],
                    starts=starts,
                    scale=scale,
                    declared=declared,
                )
                for text, _, starts, scale, declared in _free(site.function, arguments)
            ]
    return listed


def _family(site: Site, text: str) -> tuple[str, int]:
    """Paddings that mean the same at a size are one cause: SAME is what is written."""
    if text.startswith("padding"):
        return f"padding {site.index}", int(not text.startswith("padding SAME"))
    if text.startswith("ε = "):  # one of the table, or solved for
        return f"ε {site.index}", 0
    return "", 0


def substitute(variant: Variant) -> Callable[..., Any]:
    """What does a function's work otherwise, as `variant` says."""

    def otherwise(func: Any, *args: Any, **kwargs: Any) -> Any:
        function = func.__name__
        if variant.starts:
            for text, do, *_ in _free(function, bound(function, args, kwargs)):
                if text == variant.key:
                    return do(variant.value)
        for text, do in _tried(function, bound(function, args, kwargs)):
            if text == variant.key:
                return do()
        return func(*args, **kwargs)

    return otherwise


def _free(function: str, arguments: Arguments) -> Iterator[numbers.Number]:
    try:
        yield from numbers.TABLE.get(function, lambda _: iter(()))(arguments)
    except (KeyError, TypeError, AttributeError):  # called in a way that the table doesn't know
        return


def _tried(function: str, arguments: Arguments) -> Iterator[tuple[str, Callable[[], Any]]]:
    try:
        yield from TABLE[function](arguments)
    except (KeyError, TypeError, AttributeError):  # called in a way that the table doesn't know
        return
