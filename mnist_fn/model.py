"""The model: one Flax Linen MLP for every depth, `MLP(())` being the linear one."""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


def uniform_by(fan_in: int) -> Callable[..., jax.Array]:
    """PyTorch's Linear initializer: uniform in ±1/√fan_in, for the kernel and the bias alike.

    Flax's own default is another distribution: lecun_normal kernels, a standard deviation √3
    larger, and zero biases.
    """
    bound = 1 / math.sqrt(fan_in)

    def init(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


class MLP(nn.Module):
    """Dense layers with ReLU between them; the last gives logits.

    Attributes:
        hidden: widths of the hidden layers.
        classes: number of logits.
        dtype: of parameters, of everything between the layers and of the logits.
        compute: of the matrix products' inputs; None: as `dtype`. They sum in float32 or better.
        precision: of the matrix products: XLA's own default on a GPU would be TF32.
    """

    hidden: tuple[int, ...]
    classes: int = 10
    dtype: jnp.dtype = jnp.float32
    compute: jnp.dtype | None = None
    precision: Any = jax.lax.Precision.HIGHEST  # float32 means float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:  # (n, pixels) -> (n, classes)
        """Logits of images flattened and scaled to [0, 1]."""
        for index, width in enumerate((*self.hidden, self.classes), start=1):
            if index > 1:
                x = nn.relu(x)
            x = nn.Dense(
                width,
                dtype=self.compute or self.dtype,
                param_dtype=self.dtype,
                precision=self.precision,
                kernel_init=uniform_by(x.shape[-1]),
                bias_init=uniform_by(x.shape[-1]),
                name=f"layer{index}",
            )(x)
        return x.astype(self.dtype)  # (n, classes)
