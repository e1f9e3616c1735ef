"""Every Linen module's calls, by intercepting them: what went in and what came out, in order."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from flax.core.tracers import current_trace

SETTINGS = ("epsilon", "momentum", "use_bias", "use_scale", "strides", "padding", "num_heads")


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

    def heard(following: Any, args: Any, kwargs: Any, context: Any) -> Any:
        module, trace = context.module, current_trace()
        if not outermost:
            outermost.append(trace)
        if context.method_name != "__call__":
            return following(*args, **kwargs)
        if isinstance(module, nn.Dropout):
            return args[0]
        if isinstance(module, nn.MultiHeadDotProductAttention):
            kwargs = {**kwargs, "deterministic": True}  # which switches its dropout alone
        outputs = following(*args, **kwargs)
        if module.path and trace == outermost[0]:
            settings = tuple(
                (key, value)
                for key in SETTINGS
                if isinstance(value := getattr(module, key, None), int | float | str | bool)
            )
            what = What("/".join(module.path), type(module).__name__, settings)
            calls.append(Heard(what, _arrays((args, kwargs)), _arrays(outputs)))
        return outputs

    with nn.intercept_methods(heard):
        yield calls


def _arrays(value: Any) -> tuple[Any, ...]:
    return tuple(
        leaf for leaf in jax.tree.leaves(value) if isinstance(leaf, jax.Array | np.ndarray)
    )
