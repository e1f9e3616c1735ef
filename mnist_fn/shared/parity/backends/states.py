"""States that two backends are compared in: the start, and those that wake what sleeps there.

Clipping at a norm of 1, a ReLU capped at 6, max-norm 3, a floor under a log: at an ordinary start
each of them does nothing, bit for bit. Two right programs agree on every stress as well.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.parity.backends.checks import Pair
from mnist_fn.shared.parity.backends.numpy_program import flat, forward, layers
from mnist_fn.shared.parity.bounds import NEAR_BOUNDARY_EPS, ULPS_OF_ONE
from mnist_fn.shared.parity.causes.distance import Tensors, largest_of_all
from mnist_fn.shared.state import ParamTree, StateTree

LATE = 1000  # steps, where a training is resumed


@dataclass(frozen=True)
class BackendState:
    """A state, the batch that is seen from there, and what rounding may do there besides the order
    of sums.
    """

    name: str  # "" for the ordinary start
    tree: StateTree
    batch: np.ndarray  # int32 [batch_size], indices of training examples
    slack: float  # what the rounding of p - 1 does to a gradient's entry
    times: float  # by how much the logits there multiply the bounds

    def label(self, what: str) -> str:
        """What is compared, with the state's name before it."""
        return f"{self.name}: {what}" if self.name else what


def state_of(
    pair: Pair,
    name: str,
    tree: StateTree,
    order: np.ndarray | None = None,
    stressed: bool = False,
) -> BackendState:
    """A state, and a batch on which rounding switches no ReLU: the first such examples of `order`,
    or of the first epoch. Where there are fewer than a batch has they come again.

    Raises:
        InputError: they are less than half of a batch.
    """
    order = pair.first_epoch if order is None else order
    params, eps = flat(tree.params), float(np.finfo(pair.config.dtype).eps)
    size = min(pair.config.batch_size, len(order))
    steady = order[:0]
    for at in range(0, len(order), size):
        part = order[at : at + size]
        x, _ = pair.declared.examples(part)
        steady = np.concatenate([steady, part[~switched(params, x, eps)]])
        if len(steady) >= size:
            break
    if 2 * len(steady) < size:
        raise InputError(
            f"{name or 'the start'}: rounding alone switches a ReLU in all but {len(steady)} of "
            f"{len(order)} examples, too few for a batch of {size}",
            hint="compare in float64, or on more examples",
        )
    batch = np.resize(steady, size)
    x, _ = pair.declared.examples(batch)
    *inputs, logits = forward(params, x)
    largest = max(1.0, largest_of_all([x, *inputs, *params.values()]))
    times = max(1.0, float(np.abs(logits).max())) if stressed else 1.0
    return BackendState(name, tree, batch, ULPS_OF_ONE * eps * largest, times)


def switched(params: Tensors, x: np.ndarray, eps: float) -> np.ndarray:
    """Which examples have a ReLU that rounding may switch, bool [n]: its input is nearer to 0 than
    the rounding of its own sum, and of the inputs to that, can carry it. Where it is 0 to the bit
    the derivative is a convention, which has to be the same.

    Args:
        params: weights, float64.
        x: scaled pixels, [n, pixels].
        eps: of the precision that is compared.
    """
    off, found = np.zeros_like(x), np.zeros(len(x), bool)
    *hidden, _ = layers(params).values()
    for kernel, bias in hidden:
        h, off = x @ kernel + bias, rounding(x, off, kernel, bias, eps)
        found |= ((h != 0) & (np.abs(h) <= off)).any(axis=1)
        x, off = np.maximum(h, 0), off * (h > 0)
    return found


def rounding(
    x: np.ndarray, off: np.ndarray, kernel: np.ndarray, bias: np.ndarray, eps: float
) -> np.ndarray:
    """How far rounding may carry each entry of x W + b, where that of x is `off`; see
    NEAR_BOUNDARY_EPS.
    """
    terms = np.abs(x) @ np.abs(kernel) + np.abs(bias)
    return np.hypot(NEAR_BOUNDARY_EPS * eps * terms, np.sqrt(off**2 @ kernel**2))


def ordinary(pair: Pair) -> BackendState:
    """The start."""
    return state_of(pair, "", pair.start)


def at_boundary(pair: Pair) -> BackendState:
    """The first unit of each hidden layer gets no input: its ReLU stands at exactly 0."""
    tree = copied(pair.start)
    for layer in list(tree.params)[:-1]:
        tree.params[layer]["kernel"][:, 0] = 0
        tree.params[layer]["bias"][0] = 0
    return state_of(pair, "a ReLU's boundary", tree)


def middle(grads: ParamTree, start: StateTree) -> StateTree:
    """Moments as after many steps, and a step count that the bias correction feels."""
    slots = copy.deepcopy(start.slots)
    for layer, tensors in start.params.items():
        for kind, tensor in tensors.items():
            g = grads[layer][kind].astype(tensor.dtype)
            moments = {"mu": 0.1 * g, "nu": g * g + g.dtype.type(1e-6)}
            for name, slot in slots.items():
                slot[layer][kind] = moments[name]
    return StateTree(start.params, slots, LATE)


def stress_states(pair: Pair, grads: ParamTree) -> list[BackendState]:
    """All of them; `grads` are those at the start, for the moments of a late step."""
    start, labels = pair.start, pair.dataset.train.labels
    alike = np.flatnonzero(labels == labels[0]).astype(np.int32)
    alike = np.resize(alike, max(len(alike), pair.config.batch_size))
    late, last = middle(grads, start), len(start.params) - 1
    state = partial(state_of, pair, stressed=True)

    def last_layer(factor: float, others: float = 1) -> StateTree:
        return scaled_by_layer(start, lambda i: factor if i == last else others)

    alternating = scaled_by_layer(start, lambda i: (10, 0.1)[i % 2])
    return [
        state("weights × 0.1", scaled_by_layer(start, lambda _: 0.1)),
        state("weights × 3", scaled_by_layer(start, lambda _: 3)),
        state("weights × 10", scaled_by_layer(start, lambda _: 10)),
        state("layers × 10 and × 0.1 in turn", alternating),
        state("one class in the batch", start, alike),
        state("saturated logits", last_layer(1000)),
        state("logits right beyond doubt", _certain(start, int(labels[0])), alike),
        state("huge gradients", last_layer(1e4, others=10)),
        state("a column × 300", _column(start, 300)),
        state("step 10,000", replace(late, step=10_000)),
        state("step 1,000,000", replace(late, step=1_000_000)),
    ]


def copied(start: StateTree) -> StateTree:
    """The same with parameters that may be written to."""
    return replace(start, params=copy.deepcopy(start.params))


def scaled_by_layer(start: StateTree, factor: Callable[[int], float]) -> StateTree:
    """The state with each layer's weights times a factor, of the layer's number from 0."""
    params = {}
    for i, (layer, tensors) in enumerate(start.params.items()):
        params[layer] = {k: (t * factor(i)).astype(t.dtype) for k, t in tensors.items()}
    return replace(start, params=params)


def _certain(start: StateTree, label: int) -> StateTree:
    """A class has all the probability but e⁻²⁵: gradients are far below ε."""
    state = copied(start)
    *_, last = state.params.values()
    last["kernel"][:] = last["bias"][:] = 0
    last["bias"][label] = 25
    return state


def _column(start: StateTree, factor: float) -> StateTree:
    """Each kernel's first column beyond any norm that a layer has."""
    state = copied(start)
    for tensors in state.params.values():
        tensors["kernel"][:, 0] *= factor
    return state
