"""A model in a group computes what it computes alone; and a fault of the mapping is found."""

import jax
import pytest

from mnist_fn import Config, sweeping
from mnist_fn import backend as jax_backend
from mnist_fn.shared.parity.backends.checks import Pair
from mnist_fn.shared.parity.backends.climb import BackendClimb
from mnist_fn.shared.parity.ladder import BACKEND_RUNGS, climb
from tests.support import vmapped

CONFIG = Config(dataset="digits", hidden=(8,), l2=3e-5, precision="float64")


@pytest.mark.long
def test_a_model_in_a_group_climbs_beside_the_model_alone(small):
    rungs, _ = climb(BackendClimb(Pair(jax_backend.make, vmapped.make, CONFIG, small), steps=4))
    assert [rung.name for rung in rungs] == list(BACKEND_RUNGS)
    assert rungs[-1].passed, rungs[-1].to_dict()


@pytest.mark.long
def test_a_neighbours_learning_rate_is_found_at_the_step(small, monkeypatch):
    """As if vmap gave every model the first one's λ, learning rate and decay."""
    mapped = sweeping._over_models

    def mixed(mesh, function, axes):
        def first(*arguments):
            *others, hyper = arguments
            return over(*others, jax.tree.map(lambda leaf: leaf[:1].repeat(len(leaf)), hyper))

        over = mapped(mesh, function, axes)
        return first if len(axes) == 4 and axes == (True, True, False, True) else over

    monkeypatch.setattr(sweeping, "_over_models", mixed)
    pair = Pair(jax_backend.make, vmapped.make, CONFIG, small)
    (*passed, last), _ = climb(BackendClimb(pair), ("gradients", "step"))
    assert [rung.name for rung in passed] == ["gradients"]
    assert not last.passed
    assert last.name == "step"
