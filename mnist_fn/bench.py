"""What JAX's epoch is compared with: its bare products, and its optimizer's memory traffic."""

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
    """`jax/products`: the matrix products of an epoch, nothing else. `jax/traffic`: reading and
    writing of weights and moments.
    """
    jax_device = find_devices(device)[0]
    start = initial_state(config, dataset.pixels, dataset.classes)
    kernels = [layer["kernel"] for layer in start.params.values()]
    steps = len(dataset.train) // config.batch_size
    with scope(config, jax_device):
        weights = jax.device_put(kernels, jax_device)
        if name == "jax/traffic":
            run = compiled(partial(_traffic, steps), weights, weights, weights, weights)
        else:
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


def _traffic(steps: int, params: Any, mu: Any, nu: Any, grads: Any) -> Any:
    """Read weights, both moments and gradients, and write the first three: what Adam must."""
    shrink = partial(jax.tree.map, lambda x: (1 - 2.0**-20) * x)
    add = partial(jax.tree.map, lambda x, g: x + 2.0**-20 * g)
    return jax.lax.scan(
        lambda trees, _: ((shrink(trees[0]), add(trees[1], grads), shrink(trees[2])), None),
        (params, mu, nu),
        None,
        length=steps,
    )[0]
