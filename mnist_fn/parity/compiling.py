"""Compile ports quickly: a check runs each program a few times, so compiling takes most of it."""

import functools
from collections.abc import Callable
from typing import Any

import jax

# Without LLVM's optimizations, and with the emitters of before MLIR. A check of a small model takes
# a third to a quarter of the time; a pass of a large one takes twice as long.
QUICK = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
}


def quick_jit(function: Callable[..., Any], **options: Any) -> Any:
    """`jax.jit` of a function that is run a few times only."""
    return jax.jit(function, compiler_options=_known_options(), **options)


@functools.cache
def _known_options() -> dict[str, int | bool]:
    """The options that this XLA knows; none on a GPU, whose code is made otherwise."""
    known: dict[str, int | bool] = {}
    if jax.default_backend() != "cpu":
        return known
    for name, value in QUICK.items():
        try:
            jax.jit(lambda x: x + 1, compiler_options={name: value})(1.0)
        except jax.errors.JaxRuntimeError:
            continue
        known[name] = value
    return known
