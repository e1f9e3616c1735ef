"""The pure functions' shapes and dtypes, checked while they run: jaxtyping with beartype."""

import jax
import jax.numpy as jnp
import pytest
from beartype import beartype
from beartype.roar import BeartypeException
from jaxtyping import Array, Float32, Int32, TypeCheckError, jaxtyped

from mnist_fn.model import MLP
from mnist_fn.training import apply, make_loss

MODEL = MLP((16, 8))
PARAMS = MODEL.init(jax.random.key(0), jnp.zeros((1, 64)))["params"]


@jaxtyped(typechecker=beartype)
def logits_of(images: Float32[Array, "n 64"]) -> Float32[Array, "n 10"]:
    return apply(MODEL, PARAMS, images)


@jaxtyped(typechecker=beartype)
def loss_of(
    images: Float32[Array, "n 64"], labels: Int32[Array, "n"]
) -> tuple[Float32[Array, ""], tuple[Float32[Array, ""], Int32[Array, ""]]]:
    return make_loss(MODEL)(PARAMS, images, labels, jnp.float32(1e-3))


@pytest.mark.parametrize("n", [1, 7])
def test_logits_and_loss_have_their_shapes(n):
    logits_of(jnp.zeros((n, 64)))
    objective, (cross_entropy, correct) = loss_of(jnp.zeros((n, 64)), jnp.zeros(n, jnp.int32))
    assert objective > cross_entropy > 0
    assert 0 <= correct <= n


def test_the_check_can_fail():
    with pytest.raises((TypeCheckError, BeartypeException)):
        logits_of(jnp.zeros((3, 65)))
