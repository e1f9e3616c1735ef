"""The declared experiment in plain NumPy, float64, formula by formula.

It shares no code with either framework, so when two backends disagree it says who is right: a
diagnosis holds each to it, and to it with one of its `Lines` changed (`numpy_variants`).
`NumpyBackend` is the shortest backend there is, which anybody's third one can be written after.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from mnist_fn.shared.backend import EpochMetrics
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset, scale_pixels
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.optimizers import ALPHA, OPTIMIZERS, learning_rates
from mnist_fn.shared.parity.causes.activation import softmax
from mnist_fn.shared.parity.causes.distance import Tensors
from mnist_fn.shared.parity.causes.loss import cross_entropy
from mnist_fn.shared.parity.causes.rules import Rule, stepped
from mnist_fn.shared.state import ParamTree, StateTree, named_tensors, tree_of

Activation = Callable[[int, np.ndarray], np.ndarray]  # of a hidden layer's number, from 0
Layer = Callable[[int, np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # number, x, kernel, bias


def dense(_: int, x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The declared layer."""
    return x @ kernel + bias


def relu(_: int, h: np.ndarray) -> np.ndarray:
    """The declared activation."""
    return np.maximum(h, 0)


def relu_slope(_: int, h: np.ndarray) -> np.ndarray:
    """Its derivative, 0 at 0."""
    return (h > 0).astype(float)


def sum_of_squares(params: Tensors, names: Sequence[str] | None = None) -> float:
    """Σ W² over the named tensors, or over the kernels."""
    total = 0.0
    for name, tensor in params.items():
        if tensor.ndim > 1 if names is None else name in names:
            total += (tensor**2).sum()
    return float(total)


def penalty(params: Tensors, examples: int, l2: float) -> float:
    """The declared penalty, λ Σ W² over the kernels, whatever the size of the batch."""
    return l2 * sum_of_squares(params)


@dataclass(frozen=True)
class Lines:
    """The lines of a pass that another program may have otherwise."""

    layer: Layer = dense
    activation: Activation = relu
    logits: Callable[[np.ndarray], np.ndarray] = np.asarray  # what is done to them
    slope: Activation = relu_slope
    penalty: Callable[[Tensors, int, float], float] = penalty


DECLARED = Lines()


def flat(tree: ParamTree) -> Tensors:
    """A tree as tensors by name, float64."""
    return {name: tensor.astype(np.float64) for name, tensor in named_tensors(tree)}


def layers(params: Tensors) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(kernel, bias) of each layer, by its name."""
    names = dict.fromkeys(name.partition("/")[0] for name in params)
    return {name: (params[f"{name}/kernel"], params[f"{name}/bias"]) for name in names}


def forward(
    params: Tensors, x: np.ndarray, lines: Lines = DECLARED, first: np.ndarray | None = None
) -> list[np.ndarray]:
    """What each layer gives before its activation, at last the logits [n, classes].

    Args:
        params: weights, float64.
        x: scaled pixels, [n, pixels].
        lines: of the pass.
        first: what the declared first layer gives, if it is known: its product is the dear one.
    """
    stack, values = layers(params).values(), []
    for i, (kernel, bias) in enumerate(stack):
        known = first is not None and i == 0 and lines.layer is dense
        values.append(first if known else lines.layer(i, x, kernel, bias))
        if i + 1 < len(stack):
            x = lines.activation(i, values[-1])
    values[-1] = lines.logits(values[-1])
    return values


def logits(params: Tensors, x: np.ndarray) -> np.ndarray:
    """Logits [n, classes] as declared."""
    return forward(params, x)[-1]


def gradients(
    params: Tensors, x: np.ndarray, y: np.ndarray, l2: float, lines: Lines = DECLARED
) -> Tensors:
    """Gradient of mean cross-entropy + λ Σ W²; of `lines` the slope is used."""
    stack, values = list(layers(params).items()), forward(params, x)
    delta = softmax(np, values[-1])
    delta[np.arange(len(y)), y] -= 1
    delta /= len(y)
    grads = {}
    for i, (name, (kernel, _)) in reversed(list(enumerate(stack))):
        inputs = np.maximum(values[i - 1], 0) if i else x
        grads[f"{name}/kernel"] = inputs.T @ delta + 2 * l2 * kernel
        grads[f"{name}/bias"] = delta.sum(axis=0)
        if i:
            delta = (delta @ kernel.T) * lines.slope(i - 1, values[i - 1])
    return {name: grads[name] for name in params}


def rule_of(config: Config, params: Tensors, rates: Sequence[float] = ()) -> Rule:
    """The declared optimizer. The study's penalty is a coupled decay of 2λ.

    Args:
        config: the experiment.
        params: the kernels of which decay.
        rates: the learning rates of some steps; none: it is the configured one at each.
    """
    kernels = tuple(name for name in params if name.endswith("kernel"))
    decay = 2 * config.l2 if OPTIMIZERS[config.optimizer].coupled else config.weight_decay
    kind, momentum = config.optimizer, 0.9
    if kind == "sgd" and config.momentum:
        kind, momentum = "nesterov" if config.nesterov else "momentum", config.momentum
    elif kind == "rmsprop":
        momentum = ALPHA
    rate = config.learning_rate
    schedule = tuple(step_rate / rate for step_rate in rates)
    return Rule(kind, rate, momentum, weight_decay=decay, decayed=kernels, schedule=schedule)


def make(config: Config, dataset: Dataset, device: str) -> "NumpyBackend":
    """As a backend's entry point would; InputError for a precision or device that it lacks."""
    if config.precision != "float64":
        raise InputError("precision", config.precision, "float64 for the numpy backend")
    if device == "gpu":
        raise InputError("device", device, "cpu for the numpy backend")
    return NumpyBackend(config, dataset)


class NumpyBackend:
    """The experiment as a backend; see `mnist_fn.shared.backend.Backend` for the methods.

    It computes in float64; only pixels are scaled in the run's precision.
    """

    name, device = "numpy", "cpu"

    def __init__(self, config: Config, dataset: Dataset) -> None:
        self.config, self._train = config, dataset.train
        self.steps_an_epoch = ceil(len(dataset.train) / config.batch_size)

    def examples(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scaled pixels [n, pixels], float64, and labels [n] of some training examples."""
        chosen = self._train.take(indices)
        return self.pixels(chosen.images), chosen.labels.astype(np.int64)

    def pixels(self, images: np.ndarray) -> np.ndarray:
        """Scaled pixels [n, pixels] of uint8 images, float64."""
        return scale_pixels(images, self.config.dtype).astype(np.float64)

    def load(self, state: StateTree) -> StateTree:
        """The state itself: no method below changes one in place."""
        return state

    def dump(self, state: StateTree) -> StateTree:
        """The state itself."""
        return state

    def logits(self, state: StateTree, images: np.ndarray) -> np.ndarray:
        """Logits [n, classes] of uint8 images."""
        return logits(flat(state.params), self.pixels(images))

    def losses(self, state: StateTree, indices: np.ndarray) -> tuple[float, float]:
        """(cross-entropy, objective) of one batch."""
        params, (x, y) = flat(state.params), self.examples(indices)
        mean = float(cross_entropy(np, logits(params, x), y).mean())
        return mean, mean + penalty(params, len(y), self.config.l2)

    def gradients(self, state: StateTree, indices: np.ndarray) -> ParamTree:
        """Backpropagation of one batch, the penalty's 2λW included."""
        return tree_of(gradients(flat(state.params), *self.examples(indices), self.config.l2))

    def train_epoch(self, state: StateTree, order: np.ndarray) -> tuple[StateTree, EpochMetrics]:
        """One epoch, step by step."""
        loss, correct = 0.0, 0
        for index in range(0, len(order), self.config.batch_size):
            batch = order[index : index + self.config.batch_size]
            x, y = self.examples(batch)
            z = logits(flat(state.params), x)
            correct += int((z.argmax(axis=1) == y).sum())
            loss += float(cross_entropy(np, z, y).sum())
            state = self.step(state, self.gradients(state, batch))
        return state, EpochMetrics(loss, correct, len(order))

    def step(self, state: StateTree, grads: ParamTree) -> StateTree:
        """One step of the optimizer; decoupled decay is on kernels only."""
        (rate,) = learning_rates(self.config, state.step, 1, self.steps_an_epoch)
        weights, gradient = flat(state.params), flat(grads)
        slots = {name: flat(tree) for name, tree in state.slots.items()}
        rule = replace(rule_of(self.config, weights), learning_rate=rate)
        params: Tensors = {}
        for name, weight in weights.items():
            memory = {slot: tensors[name] for slot, tensors in slots.items()}
            params[name] = stepped(rule, name, gradient[name], weight, memory, state.step + 1)
            for slot, tensors in slots.items():
                tensors[name] = memory[slot]
        slot_trees = {slot: tree_of(tensors) for slot, tensors in slots.items()}
        return StateTree(tree_of(params), slot_trees, state.step + 1)
