"""What JAX's epoch is compared with: its bare products."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from mnist_fn.backend import describe, find_devices, make_model, scope
from mnist_fn.compiling import compile_for
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset
from mnist_fn.shared.streams import initial_state


def make(
    name: str, config: Config, dataset: Dataset, device: str
) -> tuple[Callable[[], object], str]:
    """`jax/products`: the matrix products of an epoch, nothing else."""
    jax_device = find_devices(device)[0]
    start = initial_state(config, dataset.pixels, dataset.classes)
    kernels = [layer["kernel"] for layer in start.params.values()]
    steps = len(dataset.train) // config.batch_size
    with scope(config, jax_device):
        weights = jax.device_put(kernels, jax_device)
        shape = (config.batch_size, dataset.pixels)
        batch = jax.random.uniform(jax.random.key(0), shape, config.dtype)
        precision = make_model(config, dataset.classes, jax_device).precision
        run = compiled(partial(_products, steps, precision), weights, batch)
    return run, describe(jax_device)


def compiled(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    """A call of the function on these arguments, compiled, that waits for the result."""
    device = jax.tree.leaves(arguments)[0].device
    program = compile_for(jax.jit(function).lower(*arguments), device)
    return lambda: jax.block_until_ready(program(*arguments))


def _products(steps: int, precision: Any, weights: list[jax.Array], batch: jax.Array) -> Any:
    """Forward, then back: each layer's gradient becomes its next weights, so that no product
    can be left out or moved out of the loop. The small factor keeps the numbers finite.
    """
    dot = partial(jnp.dot, precision=precision)

    def step(weights: list[jax.Array], _: None) -> tuple[list[jax.Array], None]:
        inputs = [batch]
        for kernel in weights:
            inputs.append(dot(inputs[-1], kernel))
        back = 1e-6 * inputs.pop()  # (batch, classes), the smallest there is
        products = []
        for layer in reversed(range(len(weights))):
            products.append(dot(inputs[layer].T, back))
            if layer:
                back = dot(back, weights[layer].T)
        return products[::-1], None

    return jax.lax.scan(step, weights, None, length=steps)[0]
