"""The arbiter: the experiment in plain NumPy, float64, formula by formula.

It shares no code with either framework, so when two backends disagree it says who is right. It
is also the shortest backend there is: what anybody's third one has to provide.
"""

from dataclasses import replace

import numpy as np

from mnist_fn.shared.backend import EpochMetrics
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset, scale_pixels
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.evaluation import log_probabilities
from mnist_fn.shared.state import ParamTree, StateTree

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8  # Kingma and Ba (2015), algorithm 1


def make(config: Config, dataset: Dataset, device: str) -> "NumpyBackend":
    """As a backend's entry point would; InputError for a precision or device that it lacks."""
    if config.precision != "float64":
        raise InputError(f'`precision="{config.precision}"`: the numpy backend has float64 only')
    if device == "gpu":
        raise InputError('`device="gpu"`: the numpy backend has none; use `device="cpu"`')
    return NumpyBackend(config, dataset)


class NumpyBackend:
    """See `mnist_fn.shared.backend.Backend` for the methods."""

    name, device = "numpy", "cpu"

    def __init__(self, config: Config, dataset: Dataset) -> None:
        self.config = config
        self.images = scale_pixels(dataset.train.images, "float64")
        self.labels = dataset.train.labels.astype(np.int64)

    def load(self, state: StateTree) -> StateTree:
        """The state itself: no method below changes one in place."""
        return state

    def dump(self, state: StateTree) -> StateTree:
        """The state itself."""
        return state

    def logits(self, state: StateTree, images: np.ndarray) -> np.ndarray:
        """Logits [n, classes] of uint8 images."""
        return forward(state.params, scale_pixels(images, "float64"))[-1]

    def losses(self, state: StateTree, indices: np.ndarray) -> tuple[float, float]:
        """(cross-entropy, objective) of one batch."""
        logs = log_probabilities(forward(state.params, self.images[indices])[-1])
        ce = -float(logs[np.arange(len(indices)), self.labels[indices]].mean())
        squares = sum(float((layer["kernel"] ** 2).sum()) for layer in state.params.values())
        return ce, ce + self.config.l2 * squares

    def gradients(self, state: StateTree, indices: np.ndarray) -> ParamTree:
        """Backpropagation: ∂CE/∂logits = (softmax - onehot)/n, ReLU′(0) = 0, penalty 2λW."""
        values = forward(state.params, self.images[indices])
        onehot = np.eye(values[-1].shape[1])[self.labels[indices]]
        delta = (np.exp(log_probabilities(values[-1])) - onehot) / len(indices)
        grads: ParamTree = {}
        for i, (name, layer) in reversed(list(enumerate(state.params.items()))):
            decay = 2 * self.config.l2 * layer["kernel"]
            grads[name] = {"kernel": values[i].T @ delta + decay, "bias": delta.sum(axis=0)}
            delta = (delta @ layer["kernel"].T) * (values[i] > 0)
        return {name: grads[name] for name in state.params}

    def train_epoch(self, state: StateTree, order: np.ndarray) -> tuple[StateTree, EpochMetrics]:
        """One epoch, step by step."""
        loss, correct = 0.0, 0
        for at in range(0, len(order), self.config.batch_size):
            batch = order[at : at + self.config.batch_size]
            logits = forward(state.params, self.images[batch])[-1]
            correct += int((logits.argmax(axis=1) == self.labels[batch]).sum())
            loss += self.losses(state, batch)[0] * len(batch)
            state = self.step(state, self.gradients(state, batch))
        return state, EpochMetrics(loss, correct, len(order))

    def step(self, state: StateTree, grads: ParamTree) -> StateTree:
        """Adam; AdamW's decay is decoupled and on kernels alone."""
        t, rate = state.step + 1, self.config.learning_rate
        new = replace(state, params={}, mu={}, nu={}, step=t)
        for name, layer in state.params.items():
            for tree in (new.params, new.mu, new.nu):
                tree[name] = {}
            for kind, weight in layer.items():
                g = grads[name][kind]
                mu = BETA1 * state.mu[name][kind] + (1 - BETA1) * g
                nu = BETA2 * state.nu[name][kind] + (1 - BETA2) * g * g
                update = mu / (1 - BETA1**t) / (np.sqrt(nu / (1 - BETA2**t)) + EPS)
                decay = self.config.weight_decay if kind == "kernel" else 0.0
                new.params[name][kind] = weight - rate * (update + decay * weight)
                new.mu[name][kind], new.nu[name][kind] = mu, nu
        return new


def forward(params: ParamTree, x: np.ndarray) -> list[np.ndarray]:
    """The input, each hidden layer after its ReLU, and the logits."""
    values = [x]
    for i, layer in enumerate(params.values(), start=1):
        z = values[-1] @ layer["kernel"] + layer["bias"]
        values.append(z if i == len(params) else np.maximum(z, 0))
    return values
