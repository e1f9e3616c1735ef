"""The declared experiment in plain NumPy, float64, formula by formula.

It shares no code with either framework, so when two backends disagree it says who is right: a
diagnosis holds each to it, and each line of it can be computed in another way, to see whether that
is what the backend does. `NumpyBackend` is the shortest backend there is, which anybody's third one
can be written after.
"""

from collections.abc import Callable, Sequence
from math import ceil

import numpy as np

from mnist_fn.shared.backend import EpochMetrics
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset, scale_pixels
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.optimizers import ALPHA, OPTIMIZERS, learning_rates, updated
from mnist_fn.shared.parity.causes.activation import softmax
from mnist_fn.shared.parity.causes.distance import Tensors
from mnist_fn.shared.parity.causes.loss import cross_entropy
from mnist_fn.shared.parity.causes.rules import Rule, simulate
from mnist_fn.shared.state import ParamTree, StateTree, named_tensors

Activation = Callable[[int, np.ndarray], np.ndarray]  # of a hidden layer's number, from 0
Layer = Callable[[int, np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # number, x, kernel, bias


def relu(_: int, h: np.ndarray) -> np.ndarray:
    """The declared activation."""
    return np.maximum(h, 0)


def dense(_: int, x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The declared layer."""
    return x @ kernel + bias


def flat(tree: ParamTree) -> Tensors:
    """A tree as tensors by name, float64."""
    return {name: tensor.astype(np.float64) for name, tensor in named_tensors(tree)}


def nested(tensors: Tensors, dtype: str = "float64") -> ParamTree:
    """The way back: a tree of tensors by layer and kind."""
    tree: ParamTree = {}
    for name, tensor in tensors.items():
        layer, _, kind = name.partition("/")
        tree.setdefault(layer, {})[kind] = tensor.astype(dtype)
    return tree


def layers(params: Tensors) -> list[tuple[np.ndarray, np.ndarray]]:
    """(kernel, bias) of each layer."""
    names = dict.fromkeys(name.partition("/")[0] for name in params)
    return [(params[f"{name}/kernel"], params[f"{name}/bias"]) for name in names]


def hidden_inputs(params: Tensors, x: np.ndarray) -> list[np.ndarray]:
    """What each hidden layer gives before its ReLU."""
    inputs = []
    for kernel, bias in layers(params)[:-1]:
        h = x @ kernel + bias
        inputs.append(h)
        x = np.maximum(h, 0)
    return inputs


def logits(
    params: Tensors,
    x: np.ndarray,
    activation: Activation = relu,
    layer: Layer = dense,
) -> np.ndarray:
    """Logits [n, classes] of scaled pixels [n, pixels]."""
    stack = layers(params)
    for i, (kernel, bias) in enumerate(stack):
        x = layer(i, x, kernel, bias)
        if i + 1 < len(stack):
            x = activation(i, x)
    return x


def gradients(
    params: Tensors,
    x: np.ndarray,
    y: np.ndarray,
    l2: float,
    passes: Callable[[int, np.ndarray], np.ndarray] = lambda _, h: (h > 0).astype(float),
) -> Tensors:
    """Gradient of mean cross-entropy + λ Σ W²; `passes` is the ReLU's derivative by layer."""
    stack, values, inputs = layers(params), [x], []
    for i, (kernel, bias) in enumerate(stack):
        h = values[-1] @ kernel + bias
        inputs.append(h)
        values.append(np.maximum(h, 0) if i + 1 < len(stack) else h)
    delta = softmax(np, values[-1])
    delta[np.arange(len(y)), y] -= 1
    delta /= len(y)
    grads = {}
    names = list(dict.fromkeys(name.partition("/")[0] for name in params))
    for i in reversed(range(len(stack))):
        grads[f"{names[i]}/kernel"] = values[i].T @ delta + 2 * l2 * stack[i][0]
        grads[f"{names[i]}/bias"] = delta.sum(axis=0)
        if i:
            delta = (delta @ stack[i][0].T) * passes(i - 1, inputs[i - 1])
    return {name: grads[name] for name in params}


def rule_of(config: Config, params: Tensors) -> Rule:
    """The declared optimizer. The study's penalty is a coupled decay of 2λ."""
    kernels = tuple(name for name in params if name.endswith("kernel"))
    decay = 2 * config.l2 if OPTIMIZERS[config.optimizer].coupled else config.weight_decay
    kind, momentum = config.optimizer, 0.9
    if kind == "sgd" and config.momentum:
        kind, momentum = "nesterov" if config.nesterov else "momentum", config.momentum
    elif kind == "rmsprop":
        momentum = ALPHA
    return Rule(kind, config.learning_rate, momentum, weight_decay=decay, decayed=kernels)


def train(
    config: Config,
    params: Tensors,
    batches: Sequence[tuple[np.ndarray, np.ndarray]],
    scales: Sequence[float] | None = None,
) -> Tensors:
    """Weights after a step on each batch (pixels, labels), from moments of 0.

    `scales` multiplies the gradient of each batch, decay included.
    """
    rule = rule_of(config, params)
    grads, trajectory = [], []
    for i, (x, y) in enumerate(batches):
        weights = trajectory[-1] if trajectory else params
        grad = gradients(weights, x, y, 0.0)
        grads.append({n: (scales[i] if scales else 1.0) * g for n, g in grad.items()})
        trajectory.append(simulate(rule, grads, params, [*trajectory, weights])[-1])
    return trajectory[-1] if trajectory else params


def make(config: Config, dataset: Dataset, device: str) -> "NumpyBackend":
    """As a backend's entry point would; InputError for a precision or device that it lacks."""
    if config.precision != "float64":
        raise InputError("precision", config.precision, "float64 for the numpy backend")
    if device == "gpu":
        raise InputError("device", device, "cpu for the numpy backend")
    return NumpyBackend(config, dataset)


class NumpyBackend:
    """The experiment as a backend; see `mnist_fn.shared.backend.Backend` for the methods."""

    name, device = "numpy", "cpu"

    def __init__(self, config: Config, dataset: Dataset) -> None:
        self.config = config
        self.images = scale_pixels(dataset.train.images, "float64")
        self.labels = dataset.train.labels.astype(np.int64)
        self._steps_an_epoch = ceil(len(dataset.train) / config.batch_size)

    def load(self, state: StateTree) -> StateTree:
        """The state itself: no method below changes one in place."""
        return state

    def dump(self, state: StateTree) -> StateTree:
        """The state itself."""
        return state

    def logits(self, state: StateTree, images: np.ndarray) -> np.ndarray:
        """Logits [n, classes] of uint8 images."""
        return logits(flat(state.params), scale_pixels(images, "float64"))

    def losses(self, state: StateTree, indices: np.ndarray) -> tuple[float, float]:
        """(cross-entropy, objective) of one batch."""
        params = flat(state.params)
        z = logits(params, self.images[indices])
        mean = float(cross_entropy(np, z, self.labels[indices]).mean())
        squares = sum(float((kernel**2).sum()) for kernel, _ in layers(params))
        return mean, mean + self.config.l2 * squares

    def gradients(self, state: StateTree, indices: np.ndarray) -> ParamTree:
        """Backpropagation of one batch, the penalty's 2λW included."""
        x, y = self.images[indices], self.labels[indices]
        return nested(gradients(flat(state.params), x, y, self.config.l2))

    def train_epoch(self, state: StateTree, order: np.ndarray) -> tuple[StateTree, EpochMetrics]:
        """One epoch, step by step."""
        loss, correct = 0.0, 0
        for index in range(0, len(order), self.config.batch_size):
            batch = order[index : index + self.config.batch_size]
            z = logits(flat(state.params), self.images[batch])
            correct += int((z.argmax(axis=1) == self.labels[batch]).sum())
            loss += float(cross_entropy(np, z, self.labels[batch]).sum())
            state = self.step(state, self.gradients(state, batch))
        return state, EpochMetrics(loss, correct, len(order))

    def step(self, state: StateTree, grads: ParamTree) -> StateTree:
        """One step of the optimizer; decoupled decay is on kernels only."""
        (rate,) = learning_rates(self.config, state.step, 1, self._steps_an_epoch)
        new = StateTree({}, {name: {} for name in state.slots}, state.step + 1)
        for layer, tensors in state.params.items():
            for tree in new.trees().values():
                tree[layer] = {}
            for kind, weight in tensors.items():
                slots = {name: tree[layer][kind] for name, tree in state.slots.items()}
                g, decays = grads[layer][kind], kind == "kernel"
                new.params[layer][kind], new_slots = updated(
                    self.config, weight, g, slots, new.step, rate, decays
                )
                for name, slot in new_slots.items():
                    new.slots[name][layer][kind] = slot
        return new
