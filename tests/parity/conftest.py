"""A fixture for what takes long to compile."""

import functools
from types import ModuleType

import jax
import pytest

from mnist_fn.parity import program

# LLVM's optimizations left out, and the emitters of before MLIR: half of the time to compile
QUICK = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
}


@functools.cache
def known_options() -> dict[str, int | bool]:
    """The options that this XLA knows."""
    known = {}
    for name, value in QUICK.items():
        try:
            jax.jit(lambda x: x + 1, compiler_options={name: value})(1.0)
        except jax.errors.JaxRuntimeError:
            continue
        known[name] = value
    return known


@pytest.fixture
def quick_compiling(monkeypatch):
    """Compile ports as quickly as XLA can: what is tested is the ladder, not XLA's code."""
    quick_jax = ModuleType("jax")
    quick_jax.__dict__.update(vars(jax))
    quick_jax.jit = functools.partial(jax.jit, compiler_options=known_options())
    monkeypatch.setattr(program, "jax", quick_jax)
