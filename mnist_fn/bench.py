"""What JAX's epoch is measured against: its bare products, its memory traffic, parts left out."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mnist_fn.backend import find_devices, make_model, place, scope
from mnist_fn.compiling import compile_for
from mnist_fn.shared.bench.timing import Contender
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.streams import batch_order, initial_state
from mnist_fn.shared.sweeps.request import grid
from mnist_fn.training import Data, make_loss


def floor(config: Config, dataset: Dataset, device: str) -> Iterator[Contender]:
    """The matrix products of an epoch, and the traffic of weights and moments, nothing else."""
    place_one = find_devices(device)[0]
    start = initial_state(config, dataset.pixels, dataset.classes)
    kernels = [layer["kernel"] for layer in start.params.values()]
    steps = len(dataset.train) // config.batch_size
    with scope(config, place_one):
        weights = jax.device_put(kernels, place_one)
        batch = jax.random.uniform(
            jax.random.key(0), (config.batch_size, dataset.pixels), config.dtype
        )
        precision = make_model(config, dataset.classes, place_one).precision
        products = _compiled(partial(_products, steps, precision), weights, batch)
        four = [weights, weights, weights, weights]
        traffic = _compiled(partial(_traffic, steps), *four)
    yield Contender("jax/products", "its matrix products alone", products)
    yield Contender("jax/traffic", "reading and writing what Adam must, alone", traffic)


def _compiled(function: Callable[..., Any], *arguments: Any) -> Callable[[], object]:
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


def parts(config: Config, dataset: Dataset, device: str) -> Iterator[Contender]:
    """The epoch with a part left out, each a program of its own: the profile of what is above
    the floor. Programs fuse differently, so the differences are near, not exact.
    """
    place_one = find_devices(device)[0]
    start = initial_state(config, dataset.pixels, dataset.classes)
    order = batch_order(config.seed, 1, len(dataset.train))
    steps = len(order) // config.batch_size
    with scope(config, place_one):
        data = Data(*place(dataset.train, np.dtype(config.dtype), place_one))
        params = jax.device_put(start.params, place_one)
        batches = jnp.asarray(order[: steps * config.batch_size].reshape(steps, -1))
        loss = make_loss(make_model(config, dataset.classes, place_one))
        for name, what, gathers, penalty in (
            ("jax/no Adam", "plain gradient descent instead of Adam", True, True),
            ("jax/no Adam or gather", "and always the same batch", False, True),
            ("jax/no Adam, gather or penalty", "and without λ Σ W²", False, False),
        ):
            epoch = partial(_descend, loss, gathers, config.l2 if penalty else None)
            yield Contender(name, what, _compiled(epoch, params, batches, data))


def _descend(
    loss: Callable[..., Any],
    gathers: bool,
    l2: float | None,
    params: Any,
    batches: jax.Array,
    data: Data,
) -> Any:
    def objective(params: Any, images: jax.Array, labels: jax.Array) -> Any:
        penalized, aside = loss(params, images, labels, l2 or 0.0)
        return (aside[0], aside) if l2 is None else (penalized, aside)

    def step(params: Any, batch: jax.Array) -> tuple[Any, Any]:
        images = data.images[batch] if gathers else data.images[: len(batch)]
        grads, sums = jax.grad(objective, has_aux=True)(params, images, data.labels[batch])
        return jax.tree.map(lambda p, g: p - 5e-4 * g, params, grads), sums

    return jax.lax.scan(step, params, batches)


def sweeps(
    config: Config, dataset: Dataset, device: str, models: tuple[int, ...]
) -> Iterator[Contender]:
    """An epoch of several models at once, as `mnist-fn sweep` runs it. What does not fit into
    memory is left out.
    """
    from mnist_fn.capacity import make_group

    for count in models:
        try:
            group = make_group(config, dataset, device, count, None)
        except (InputError, jax.errors.JaxRuntimeError):
            return
        configs = grid(config, seeds=count)
        orders = [batch_order(run_config.seed, 1, len(dataset.train)) for run_config in configs]
        starts = [
            initial_state(run_config, dataset.pixels, dataset.classes) for run_config in configs
        ]
        chunks = [slice(start, start + group.size) for start in range(0, count, group.size)]
        states = [group.load(configs[chunk], starts[chunk]) for chunk in chunks]

        def run(group: Any = group, states: Any = states, orders: Any = orders) -> None:
            for i, state in enumerate(states):
                shuffled = orders[i * group.size : (i + 1) * group.size]
                states[i], _ = group.train_epoch(state, shuffled)

        yield Contender(f"jax/sweep of {count}", f"an epoch of {count} models", run)


def trace(folder: str, run: Callable[[], object]) -> None:
    """Profile `run`, once, into a folder that TensorBoard and Perfetto read: names each kernel."""
    with jax.profiler.trace(folder):
        run()
