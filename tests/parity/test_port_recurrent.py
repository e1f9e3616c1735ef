"""A recurrent module of Flax is a lifted scan: what happens within it is its own."""

import flax.linen as nn
import optax
import pytest

from mnist_fn.parity import FlaxProgram, check_port
from tests.support.port_models import batches, jax_cross_entropy


class Recurrent(nn.Module):
    kind: type = nn.OptimizedLSTMCell
    backwards: bool = False

    @nn.compact
    def __call__(self, x):
        x = nn.RNN(
            self.kind(6, param_dtype=float), reverse=self.backwards, keep_order=True, name="cells"
        )(x)
        return nn.Dense(4, name="head")(x[:, -1])


def side(**more):
    adam = optax.adam(1e-3)
    return FlaxProgram(Recurrent(**more), loss=jax_cross_entropy, optimizer=adam)


@pytest.mark.long
@pytest.mark.parametrize("kind", [nn.OptimizedLSTMCell, nn.GRUCell])
def test_a_recurrent_module_climbs(kind):
    data = batches(5, 7, 6, classes=4)
    check_port(side(kind=kind), side(kind=kind), data, steps=3).assert_passed()
    wrong = check_port(side(kind=kind), side(kind=kind, backwards=True), data, steps=3)
    assert wrong.failed.name == "modules"
    assert wrong.failed.worst.what == "input of head"
