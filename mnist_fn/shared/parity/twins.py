"""Twins: one backend against itself, to tell what arithmetic alone can do.

Two kinds, equal in exact arithmetic or nearly so:

- the *ulp twin* starts with one weight moved by one unit in the last place;
- the *renumbered twin* is the same experiment with pixels, hidden units and the examples inside
  each batch renumbered. Sums are taken in another order, so it is rounded anew at every step, as
  another framework is, which one moved weight is not. Nothing else differs: it is the null control.

Where asked, its steps are larger by `step_error` besides: the rounding of Adam's β₂ to float32,
which one framework does and the other leaves. That is a difference of the frameworks, small and
named; what it leads to is told by the twin that has it beside the one that has it not.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mnist_fn.shared.backend import Backend, EpochMetrics
from mnist_fn.shared.data.datasets import Dataset, Split
from mnist_fn.shared.parity.backends.checks import Pair
from mnist_fn.shared.state import ParamTree, StateTree
from mnist_fn.shared.streams import permutation, raw


def step_error(dtype: str) -> float:
    """The relative error of Adam's steps where β₂ is rounded to `dtype`: 6.4e-6 in float32.

    The bias correction takes √(1 - β₂ᵗ); optax computes it in the weights' dtype, PyTorch in
    Python's floats. At t = 1, and nearly as much for hundreds of steps.
    """
    rounded = float(np.dtype(dtype).type(0.999))
    return abs(math.sqrt((1 - rounded) / (1 - 0.999)) - 1)


@dataclass(eq=False)
class Lane:
    """A training that goes step by step beside others."""

    name: str
    backend: Backend
    state: Any
    shuffle: Callable[[np.ndarray, int], np.ndarray] = lambda order, _: order
    restore: Callable[[ParamTree], ParamTree] = lambda params: params
    images: np.ndarray | None = None  # test images as this lane numbers their pixels

    def advance(self, order: np.ndarray, step: int) -> EpochMetrics:
        """Train on the examples of `order`, and what is reported of it; `step` batches were trained
        on before.
        """
        self.state, metrics = self.backend.train_epoch(self.state, self.shuffle(order, step))
        return metrics

    def dump(self) -> StateTree:
        """The state as this lane numbers it: what `backend.load` takes back."""
        return self.backend.dump(self.state)

    def params(self) -> ParamTree:
        """The weights in the experiment's own numbering."""
        return self.restore(self.dump().params)

    def predictions(self, dataset: Dataset) -> np.ndarray:
        """Predicted classes of the test set, int64 [n]."""
        images = dataset.test.images if self.images is None else self.images
        return self.backend.logits(self.state, images).argmax(axis=1)


def one_by_one(
    lanes: Sequence[Lane], states: Sequence[StateTree], order: np.ndarray, size: int, first: int
) -> Iterator[int]:
    """Train lanes again, a step at a time, from the states that they had; gives the steps done.

    Args:
        lanes: side by side.
        states: what `dump` gave of each.
        order: the examples that they are trained on.
        size: of a batch.
        first: steps done before.
    """
    for lane, state in zip(lanes, states, strict=True):
        lane.state = lane.backend.load(state)
    for step, index in enumerate(range(0, len(order), size), start=first):
        for lane in lanes:
            lane.advance(order[index : index + size], step)
        yield step + 1


def ulp_twin(name: str, backend: Backend, start: StateTree, draw: int, seed: int) -> Lane:
    """The same backend from a start with one weight of the first layer one ulp larger.

    Args:
        name: of the lane.
        backend: the one that the lane is a twin of; shared, not copied.
        start: the common start; left as it is.
        draw: which weight, by the shared streams; another for each draw.
        seed: the run's.
    """
    kernel = start.params["layer1"]["kernel"].copy()
    index = int(raw(seed, "twin", draw, 1)[0] % np.uint64(kernel.size))
    kernel.flat[index] = np.nextafter(kernel.flat[index], np.inf)
    params = {**start.params, "layer1": {**start.params["layer1"], "kernel": kernel}}
    return Lane(name, backend, backend.load(replace(start, params=params)))


def renumbered_twin(name: str, pair: Pair, side: int, larger: float = 0.0) -> Lane:
    """A backend of the same kind on the renumbered experiment; see the module.

    Args:
        name: of the lane.
        pair: the experiment.
        side: 0 for a twin of its left backend, 1 of its right; each has its own numbers.
        larger: by which share its steps are.
    """
    config, dataset = pair.config, pair.dataset
    # epoch numbers of the stream: far from those of the ulp twins
    orders = []
    for layer, size in enumerate([dataset.pixels, *config.hidden]):
        epoch = 2**32 * (side + 1) + layer
        orders.append(permutation(config.seed, "twin", epoch, size))
    orders.append(np.arange(dataset.classes, dtype=np.int32))  # logits keep their places

    def renumber(params: ParamTree, orders: list[np.ndarray]) -> ParamTree:
        renumbered = {}
        for i, (layer, tensors) in enumerate(params.items()):
            kernel = tensors["kernel"][orders[i]][:, orders[i + 1]]
            renumbered[layer] = {"kernel": kernel, "bias": tensors["bias"][orders[i + 1]]}
        return renumbered

    def pixels(split: Split) -> Split:
        flat = split.images.reshape(len(split), -1)[:, orders[0]]
        return replace(split, images=flat.reshape(split.images.shape))

    def shuffle(order: np.ndarray, step: int) -> np.ndarray:
        batches = []
        for index in range(0, len(order), config.batch_size):
            batch = order[index : index + config.batch_size]
            epoch = 2**48 * (side + 1) + step + len(batches)
            batches.append(batch[permutation(config.seed, "twin", epoch, len(batch))])
        return np.concatenate(batches)

    moved = replace(dataset, train=pixels(dataset.train), test=pixels(dataset.test))
    rate = config.learning_rate * (1 + larger)
    make, device = pair.makers[side]
    backend = make(config.replace(learning_rate=rate), moved, device)
    back = [np.argsort(order).astype(np.int32) for order in orders]
    trees = {kind: renumber(tree, orders) for kind, tree in pair.start.trees().items()}
    return Lane(
        name,
        backend,
        backend.load(StateTree(trees.pop("params"), trees, pair.start.step)),
        shuffle,
        lambda params: renumber(params, back),
        moved.test.images,
    )
