"""Compiling: an epoch to be fast, a port's few passes to be ready soon; a cache on disk."""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax

from mnist_fn.shared.data.cache import cache_folder
from mnist_fn.shared.runs.environment import vectors

# Elementwise loops (Adam above all) with vectors as wide as the processor has; XLA's default is
# half of that. 4 % of an epoch of the shallow model, and not a bit of the result.
WIDE_VECTORS: dict[str, Any] = {"xla_cpu_prefer_vector_width": 512}

# Without LLVM's optimizations, and with the emitters of before MLIR. A check of a small model takes
# a third to a quarter of the time; a pass of a large one takes twice as long.
QUICK: dict[str, Any] = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
}


def compile_for(lowered: jax.stages.Lowered, device: Any) -> jax.stages.Compiled:
    """Compile for a device, wide vectors for a CPU that has them."""
    if device.platform == "cpu" and vectors() == "AVX512F":
        try:
            return lowered.compile(compiler_options=WIDE_VECTORS)
        except jax.errors.JaxRuntimeError as error:
            if "compile option" not in str(error):  # of an XLA that doesn't know this one
                raise
    return lowered.compile()


def quick_jit(function: Callable[..., Any], **options: Any) -> Any:
    """`jax.jit` of a function that is run a few times only."""
    return jax.jit(function, compiler_options=known_options(), **options)


@cache
def known_options() -> dict[str, Any]:
    """Those of QUICK that this XLA knows; none for a GPU, whose code is made otherwise."""
    known: dict[str, Any] = {}
    if jax.default_backend() != "cpu":
        return known
    for name, value in QUICK.items():
        try:
            jax.jit(lambda x: x + 1, compiler_options={name: value})(1.0)
        except jax.errors.JaxRuntimeError:
            continue
        known[name] = value
    return known


def use_compilation_cache() -> None:
    """Keep compiled programs in the user's cache, unless the user has said where or not at all.

    MNIST_FN_CACHE=off switches it off; JAX's own setting, if there is one, is left as it is.
    """
    if jax.config.values["jax_compilation_cache_dir"] is not None:
        return
    folder = cache_folder("compiled")
    if folder is not None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
