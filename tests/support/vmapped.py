"""The sweep's program as a backend: one model among others of a group, for the ladder.

What one model of a group computes must not depend on its neighbours. They have other weights,
batches, λ and learning rates, so whatever is mixed up between models is another number.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np

from mnist_fn.backend import find_devices, make_model, scaled, to_numpy
from mnist_fn.shared.backend import EpochMetrics
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset
from mnist_fn.shared.state import ParamTree, StateTree
from mnist_fn.sweeping import JaxGroup, Loaded
from mnist_fn.training import apply, make_loss

MODELS, OURS = 3, 1  # the one in the middle is asked for


def make(config: Config, dataset: Dataset, device: str = "auto") -> "VmappedBackend":
    """Make a group on one device, a CPU too, where a sweep would take its models one by one.

    Raises:
        InputError: no such device, or not with this precision.
    """
    return VmappedBackend(config, dataset, find_devices(device)[0])


class LadderGroup(JaxGroup):
    """A group with what the ladder asks for besides a sweep."""

    def pixels(self, images: np.ndarray) -> jax.Array:
        """Scaled pixels of uint8 images [n, rows, columns]."""
        with self._scope():
            return scaled(images, self._dtype, self._whole)

    def over_models(self, function: Callable[..., Any], *axes: bool) -> Callable[..., Any]:
        """`function` compiled for every model; `axes` says which arguments each has its own of."""
        mapped = jax.jit(self._over(function, axes))

        def scoped(*arguments: Any) -> Any:
            with self._scope():
                return mapped(*arguments)

        return scoped

    def batch(self, indices: np.ndarray) -> tuple[jax.Array, jax.Array]:
        """Scaled images and labels of these training examples."""
        with self._scope():
            return self._data.images[indices], self._data.labels[indices]


class VmappedBackend:
    """See `mnist_fn.shared.backend.Backend` for the methods."""

    name = "jax-vmap"

    def __init__(self, config: Config, dataset: Dataset, device: Any) -> None:
        neighbour = config.replace(l2=config.l2 + 1e-3, learning_rate=2 * config.learning_rate)
        self._configs = [neighbour, config, neighbour]
        self._group = LadderGroup(config, dataset, [device], MODELS)
        self.device, self.threads = self._group.device, self._group.threads
        model = make_model(config, dataset.classes, device)
        loss = make_loss(model)
        batch = (True, False, False, True)  # params, images, labels, l2
        self._losses = self._group.over_models(loss, *batch)
        self._gradients = self._group.over_models(jax.grad(loss, has_aux=True), *batch)
        self._logits = self._group.over_models(partial(apply, model), True, False)

    def load(self, state: StateTree) -> Loaded:
        """The state between its negative and its half."""
        negative, halved = (
            replace(state, params=_map(lambda tensor, factor=factor: factor * tensor, state.params))
            for factor in (-1, 0.5)
        )
        return self._group.load(self._configs, [negative, state, halved])

    def dump(self, state: Loaded) -> StateTree:
        """Copy the one in the middle to NumPy."""
        return self._group.dump(state)[OURS]

    def train_epoch(self, state: Loaded, order: np.ndarray) -> tuple[Loaded, EpochMetrics]:
        """Run one epoch; the neighbours take the examples in the opposite order."""
        state, metrics = self._group.train_epoch(state, [order[::-1], order, order[::-1]])
        return state, metrics[OURS]

    def logits(self, state: Loaded, images: np.ndarray) -> np.ndarray:
        """Logits of uint8 images [n, rows, columns]."""
        return np.asarray(self._logits(state.state.params, self._group.pixels(images)))[OURS]

    def losses(self, state: Loaded, indices: np.ndarray) -> tuple[float, float]:
        """(cross-entropy, objective) of one batch."""
        objective, (cross_entropy, _) = self._on_batch(self._losses, state, indices)
        return float(cross_entropy[OURS]), float(objective[OURS])

    def gradients(self, state: Loaded, indices: np.ndarray) -> ParamTree:
        """Gradient of the objective on one batch."""
        grads, _ = self._on_batch(self._gradients, state, indices)
        return _map(lambda tensor: tensor[OURS], to_numpy(grads))

    def _on_batch(self, program: Callable[..., Any], state: Loaded, indices: np.ndarray) -> Any:
        return program(state.state.params, *self._group.batch(indices), state.hyper.l2)


def _map(change: Callable[[np.ndarray], np.ndarray], tree: ParamTree) -> ParamTree:
    return {
        layer: {kind: np.asarray(change(tensor), tensor.dtype) for kind, tensor in tensors.items()}
        for layer, tensors in tree.items()
    }
