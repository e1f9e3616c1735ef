"""Every Linen module's calls, by intercepting them: what went in and what came out, in order."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from flax.core.tracers import current_trace

DROPOUT = "the rate of a dropout"  # the kind of a call that stands for nothing else
SETTINGS = (
    "epsilon",
    "momentum",
    "use_bias",
    "use_scale",
    "strides",
    "padding",
    "num_heads",
    "num_groups",
)


@jax.tree_util.register_static
@dataclass(frozen=True)
class What:
    """Which module was called; static, so that it passes through a jitted function."""

    module: str
    kind: str
    settings: tuple[tuple[str, Any], ...]


@jax.tree_util.register_dataclass
@dataclass
class Heard:
    """One call."""

    what: What
    inputs: Any
    outputs: Any


@contextlib.contextmanager
def listen() -> Iterator[list[Heard]]:
    """Every call of a module below the root while the block runs; dropout hands through. What a
    lifted scan, such as nn.RNN's, calls has arrays of the scan alone: it is left out.
    """
    calls: list[Heard] = []
    outermost: list[Any] = []
    within: list[tuple[str, ...]] = []  # paths of the modules whose calls are open

    def dropped(module: nn.Module, rate: float) -> None:
        if rate:
            what = What("/".join(module.path), DROPOUT, (("rate", float(rate)),))
            calls.append(Heard(what, (), ()))

    def heard(following: Any, args: Any, kwargs: Any, context: Any) -> Any:
        module, trace = context.module, current_trace()
        if not outermost:
            outermost.append(trace)
        if context.method_name != "__call__":
            return following(*args, **kwargs)
        if isinstance(module, nn.Dropout):
            off = module.deterministic  # by its field or by its call
            if off is None:
                off = kwargs.get("deterministic", args[1] if len(args) > 1 else None)
            if not off:
                dropped(module, module.rate)
            return args[0] if args else kwargs["inputs"]
        if isinstance(module, nn.MultiHeadDotProductAttention):
            if not (module.deterministic or kwargs.get("deterministic")):
                dropped(module, module.dropout_rate)
            kwargs = {**kwargs, "deterministic": True}  # which switches nothing but its dropout
        again = module.path in within  # a subclass that calls its parent's __call__
        within.append(module.path)
        try:
            outputs = following(*args, **kwargs)
        finally:
            within.pop()
        if module.path and trace == outermost[0] and not again:
            settings = []
            for key in SETTINGS:
                value = getattr(module, key, None)
                if isinstance(value, int | float | str | bool):
                    settings.append((key, value))
            what = What("/".join(module.path), type(module).__name__, tuple(settings))
            calls.append(Heard(what, _arrays((args, kwargs)), _arrays(outputs)))
        return outputs

    with nn.intercept_methods(heard):
        yield calls


def divided(calls: list[Heard]) -> tuple[list[Heard], tuple[float, ...]]:
    """Calls of modules, and the rates of dropout above 0, sorted."""
    modules, rates = [], []
    for call in calls:
        if call.what.kind == DROPOUT:
            rates.append(dict(call.what.settings)["rate"])
        else:
            modules.append(call)
    return modules, tuple(sorted(rates))


def _arrays(value: Any) -> tuple[Any, ...]:
    return tuple(
        leaf for leaf in jax.tree.leaves(value) if isinstance(leaf, jax.Array | np.ndarray)
    )
