"""The figures of an epoch, computed again in plain NumPy: train, test and validation each."""

import numpy as np
import pytest

from mnist_fn import Config, train
from mnist_fn.shared.data.datasets import load_for
from mnist_fn.shared.streams import batch_order, initial_state

CONFIG = Config(dataset="digits", hidden=(), epochs=1, batch_size=300, validation=250,
                learning_rate=1e-2, precision="float64")  # fmt: skip


def figures(params, split):
    """Mean cross-entropy in nats and accuracy of a linear model."""
    pixels = split.images.reshape(len(split), -1) / 255
    logits = pixels @ params["layer1"]["kernel"] + params["layer1"]["bias"]
    logits = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(logits)), split.labels]
    return losses, logits.argmax(axis=1) == split.labels


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_validation_and_test_figures_are_of_their_own_split(backend):
    """The honest protocol stands on them: validation figures taken of the test set went unseen."""
    dataset, run = load_for(CONFIG), train(CONFIG, backend)
    (row,) = run.rows
    for name, split in (("test", dataset.test), ("validation", dataset.validation)):
        losses, right = figures(run.weights, split)
        assert row[f"{name}_loss"] == pytest.approx(losses.mean(), rel=1e-9)
        assert row[f"{name}_accuracy"] == pytest.approx(right.mean(), abs=1e-12)
    assert abs(row["test_loss"] - row["validation_loss"]) > 1e-3
    assert len(dataset.validation) == 250
    for label in range(10):
        of_class = dataset.test.labels == label
        _, right = figures(run.weights, dataset.test)
        assert row[f"test_accuracy_{label}"] == pytest.approx(right[of_class].mean())


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_train_figures_are_of_every_batch_before_its_update(backend):
    """Of the first batches alone they would be larger: the loss falls within an epoch."""
    dataset, run = load_for(CONFIG), train(CONFIG, backend)
    state = initial_state(CONFIG, dataset.pixels, dataset.classes)
    layer = {name: tensor.astype(np.float64) for name, tensor in state.params["layer1"].items()}
    moments = {name: [np.zeros_like(t), np.zeros_like(t)] for name, t in layer.items()}
    order = batch_order(CONFIG.seed, 1, len(dataset.train))
    losses, right = [], []
    for step, start in enumerate(range(0, len(order), CONFIG.batch_size), start=1):
        batch = order[start : start + CONFIG.batch_size]
        pixels = dataset.train.images[batch].reshape(len(batch), -1) / 255
        labels = dataset.train.labels[batch]
        logits = pixels @ layer["kernel"] + layer["bias"]
        probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        losses += list(-np.log(probabilities[np.arange(len(batch)), labels]))
        right += list(logits.argmax(axis=1) == labels)
        error = (probabilities - np.eye(10)[labels]) / len(batch)
        for name, gradient in (("kernel", pixels.T @ error), ("bias", error.sum(axis=0))):
            first, second = moments[name]
            first += 0.1 * (gradient - first)
            second += 0.001 * (gradient**2 - second)
            corrected = first / (1 - 0.9**step), second / (1 - 0.999**step)
            layer[name] = layer[name] - CONFIG.learning_rate * corrected[0] / (
                np.sqrt(corrected[1]) + 1e-8
            )
    (row,) = run.rows
    assert len(losses) == len(dataset.train)
    assert row["train_loss"] == pytest.approx(np.mean(losses), rel=1e-8)
    assert row["train_accuracy"] == pytest.approx(np.mean(right), abs=1e-12)
    assert np.mean(losses[: len(losses) // 2]) > 1.02 * np.mean(losses)
