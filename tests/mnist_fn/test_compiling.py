"""Ports are compiled quickly, with the options that this XLA knows."""

import jax
import pytest

from mnist_fn import compiling


@pytest.fixture
def options(monkeypatch):
    """Read the options anew, before the test and after it."""
    compiling.known_options.cache_clear()
    yield monkeypatch
    compiling.known_options.cache_clear()


def test_an_option_that_this_xla_does_not_know_is_left_out(options):
    options.setitem(compiling.QUICK, "xla_of_another_year", True)
    known = compiling.known_options()
    assert "xla_of_another_year" not in known
    assert known["xla_backend_optimization_level"] == 0
    assert compiling.quick_jit(lambda x: x + 1)(1.0) == 2.0


def test_code_for_a_gpu_is_compiled_as_usual(options):
    options.setattr(jax, "default_backend", lambda: "gpu")
    assert compiling.known_options() == {}
