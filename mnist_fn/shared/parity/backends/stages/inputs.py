"""Weights as loaded, what is evaluated, pixels, labels and order: a side's inputs, explained."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mnist_fn.shared.backend import Backend
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset, scale_pixels
from mnist_fn.shared.parity.backends import numpy_program
from mnist_fn.shared.parity.backends.rungs import zero_state
from mnist_fn.shared.parity.backends.stages.implementation import PICTURES, Implementation
from mnist_fn.shared.parity.backends.states import scaled_by_layer
from mnist_fn.shared.parity.causes.distance import Tensors
from mnist_fn.shared.parity.causes.explanation import Candidate, Explanation, as_declared, judge
from mnist_fn.shared.parity.causes.inputs import explain_order, explain_pixels
from mnist_fn.shared.parity.causes.precision import round_to_bits
from mnist_fn.shared.parity.causes.search import Form, explain_variants
from mnist_fn.shared.streams import batch_order

QUERIES = 48  # examples asked for one by one


def loaded(side: Implementation) -> Explanation:
    """Weights as `load` and `dump` give them back."""
    start = side.pair.start
    observed = numpy_program.flat(side.backend.dump(side.backend.load(start)).params)
    expected = numpy_program.flat(start.params)
    exact = {n: np.full(t.shape, 1e-300) for n, t in expected.items()}
    if any(n not in observed or observed[n].shape != t.shape for n, t in expected.items()):
        return judge("weights as loaded", as_declared(), (), f"found {', '.join(observed)[:200]}")

    def changed(change: Callable[[np.ndarray], np.ndarray], flat: bool) -> Callable[[], Tensors]:
        return lambda: {n: change(t) if (t.ndim < 2) == flat else t for n, t in expected.items()}

    forms = [
        Form("biases start at 0", changed(np.zeros_like, True)),
        Form("kernels reshaped, not transposed", changed(reshaped, False)),
        Form("kernels transposed twice",
             changed(lambda t: t.T if t.shape[0] == t.shape[1] else t, False)),
        Form("weights rounded to float32",
             lambda: {n: round_to_bits(t, 24) for n, t in expected.items()}),
        Form("kernels are 0", changed(np.zeros_like, False)),
    ]  # fmt: skip
    numbers = [
        Form(
            "kernels scaled by {}",
            lambda c: changed(lambda t: c * t, False)(),
            (0.5, 3**0.5),
            "linear",
        )
    ]
    explanation = explain_variants(
        "weights as loaded", observed, expected, [*forms, *numbers], side.dtype, exact
    )
    if explanation.holds or explanation.found:
        return explanation

    def share(name: str) -> str:
        deviation = observed[name].std() / max(float(expected[name].std()), 1e-300)
        return f"{name} deviates {deviation:.3g} ×" if observed[name].any() else f"{name} is 0 ×"

    shares = [share(name) for name in observed]
    why = "weights are drawn again (Flax's own default has biases 0, kernels √3 ×)"
    return replace(explanation, pattern=f"{why}: {', '.join(shares)} the declared")


def reshaped(kernel: np.ndarray) -> np.ndarray:
    """[in, out] read as [out, in] without a transposition, and used as that."""
    return kernel.reshape(kernel.shape[::-1]).T


def evaluated(side: Implementation) -> Explanation:
    """Whether logits are those of the state that is given, a second time too."""
    pair, backend = side.pair, side.backend
    images = pair.dataset.test.images[:PICTURES]
    states = [scaled_by_layer(pair.start, lambda _, f=f: f) for f in (1, 2)]
    first, second = (backend.logits(backend.load(s), images).astype(np.float64) for s in states)
    subject = "logits of a second state"
    if not np.array_equal(first, second) or not np.any(first):
        return judge(subject, as_declared(0.0, 0.0), ())
    text = "the weights of the first call are evaluated, whatever state is given"
    return judge(subject, as_declared(), [Candidate(text, 0.0, 0.0)])


def pixels(side: Implementation) -> Explanation:
    """Every pixel of some pictures, read through a linear model with a single 1 for each logit."""
    pair, backend = side.pair, side.linear
    images = pair.dataset.test.images[:PICTURES]
    classes, n = pair.dataset.classes, pair.dataset.pixels
    config = pair.config.replace(hidden=())
    read = np.empty((len(images), n))
    for first in range(0, n, classes):
        state = zero_state(config, pair.dataset)
        indices = np.arange(first, min(first + classes, n))
        state.params["layer1"]["kernel"][indices, np.arange(len(indices))] = 1
        read[:, indices] = backend.logits(backend.load(state), images)[:, : len(indices)]
    true = scale_pixels(images, side.dtype).astype(np.float64)
    shape = images.shape
    explanation = explain_pixels(true.reshape(shape), read.reshape(shape), side.dtype)
    if not explanation.holds and not _plain_product(backend, config, pair.dataset, images):
        text = "what was read through one product is not as declared, nor is the product"
        return replace(explanation, causes=(), pattern=f"{text}; {explanation.pattern}")
    return explanation


def _plain_product(backend: Backend, config: Config, dataset: Dataset, images: np.ndarray) -> bool:
    """Whether logits are pixels times weights plus biases, whatever the pixels are."""
    state = zero_state(config, dataset)
    size = float(np.finfo(config.dtype).eps) * 2**8  # beyond the mantissa of coarser products
    middle = int((images.reshape(len(images), -1) > 0).sum(axis=0).argmax())
    kernel, bias = state.params["layer1"]["kernel"], state.params["layer1"]["bias"]
    kernel[middle, 0], kernel[middle, 1], bias[2] = 1, 1 + size, 0.7
    observed = backend.logits(backend.load(state), images).astype(np.float64)
    lit = observed[:, 0] != 0
    return bool(
        np.all(observed[lit, 1] != observed[lit, 0])
        and np.all(np.abs(observed[:, 2] - bias[2]) < size)
    )


def order(side: Implementation) -> Explanation:
    """Which examples are trained on: a model that says one class is right just on its examples."""
    pair, backend = side.pair, side.linear
    labels = pair.dataset.train.labels[:1000]
    label = labels[labels != labels[0]][0] if (labels != labels[0]).any() else labels[0]
    model = zero_state(pair.config.replace(hidden=()), pair.dataset)
    model.params["layer1"]["bias"][label] = 1
    members = np.flatnonzero(labels == label)[:QUERIES]
    drawn = batch_order(pair.config.seed, 1, len(labels))[: 2 * QUERIES]
    queries = np.r_[
        members[:1], np.stack([drawn, np.resize(members[1:], len(drawn))], axis=1).ravel()
    ]

    def correct(indices: np.ndarray) -> float:
        done = backend.train_epoch(backend.load(model), indices.astype(np.int32))
        return float(done[1].correct)

    right = (labels == label).astype(float)
    observed = np.array([correct(np.array([i])) for i in queries[:QUERIES]])
    explanation = explain_order(right, queries[:QUERIES], observed)
    full = np.resize(queries, min(pair.config.batch_size, len(labels)))
    if not explanation.holds and not observed.any() and correct(full) == right[full].sum():
        text = "a batch shorter than the batch size is dropped"
        return replace(explanation, causes=(Candidate(text, 0.0, 0.0),))
    return explanation
