"""A backend of a few lines of NumPy: lets tests of the trainer and the records run in
milliseconds, by the hundred. Softmax regression, plain gradient descent."""

import numpy as np

from mnist_fn.shared.backend import EpochMetrics
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset, scale_pixels
from mnist_fn.shared.evaluation import log_probabilities
from mnist_fn.shared.state import ParamTree, StateTree

TINY = Config(dataset="digits", hidden=(), epochs=4, batch_size=700, precision="float64")


class Tiny:
    name, device = "tiny", "cpu"

    def __init__(self, config: Config, dataset: Dataset, device: str = "auto") -> None:
        self.config, self.dataset = config, dataset
        self.images = scale_pixels(dataset.train.images, config.precision)

    def load(self, state: StateTree) -> StateTree:
        return state

    def dump(self, state: StateTree) -> StateTree:
        return state

    def train_epoch(self, state: StateTree, order: np.ndarray) -> tuple[StateTree, EpochMetrics]:
        loss, correct, step = 0.0, 0, state.step
        kernel, bias = (state.params["layer1"][kind].copy() for kind in ("kernel", "bias"))
        for start in range(0, len(order), self.config.batch_size):
            batch = order[start : start + self.config.batch_size]
            images, labels = self.images[batch], self.dataset.train.labels[batch]
            logs = log_probabilities(images @ kernel + bias)
            loss -= float(logs[np.arange(len(batch)), labels].sum())
            correct += int((logs.argmax(axis=1) == labels).sum())
            slope = (np.exp(logs) - np.eye(10)[labels]) / len(batch)
            kernel -= self.config.learning_rate * images.T @ slope
            bias -= self.config.learning_rate * slope.sum(axis=0)
            step += 1
        params: ParamTree = {"layer1": {"kernel": kernel, "bias": bias}}
        return StateTree(params, state.slots, step), EpochMetrics(loss, correct, len(order))

    def logits(self, state: StateTree, images: np.ndarray) -> np.ndarray:
        layer = state.params["layer1"]
        return scale_pixels(images, self.config.precision) @ layer["kernel"] + layer["bias"]
