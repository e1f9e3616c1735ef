"""Does a backend compute right here, now? A second's worth of the ladder, against NumPy."""

from collections.abc import Iterator

import numpy as np

from mnist_fn.shared.backend import MakeBackend
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset, Split
from mnist_fn.shared.parity.backends import numpy_program
from mnist_fn.shared.parity.backends.checks import Pair, sums
from mnist_fn.shared.parity.backends.climb import BackendClimb
from mnist_fn.shared.parity.backends.numpy_program import flat
from mnist_fn.shared.parity.causes.distance import map_tensors
from mnist_fn.shared.parity.compare import compare_trees
from mnist_fn.shared.parity.ladder import climb
from mnist_fn.shared.parity.result import Check, Rung, failures, no_cause, run_rung
from mnist_fn.shared.state import tree_of
from mnist_fn.shared.streams import initial_state, raw

EXAMPLES = 200  # one batch of the study
CALLS = 4  # two with each weights
CLASSES = 10


def check_backend(make: MakeBackend) -> Iterator[Rung]:
    """Products with two weights in turn in float32, and one step in float64.

    Raises:
        InputError: a precision or device that the backend lacks.
    """
    yield run_rung("products", lambda: (_in_turn(make), no_cause))[0]
    config = Config(hidden=(16,), l2=3e-5, batch_size=EXAMPLES, precision="float64")
    pair = Pair(numpy_program.make, make, config, noise())
    yield from climb(BackendClimb(pair), ("step", "resuming", "report"))[0]


def noise() -> Dataset:
    """A batch of images and labels, the same everywhere."""
    images = raw(0, "initial_state", 0, EXAMPLES * 784 // 8).view(np.uint8)
    labels = (raw(1, "initial_state", 0, EXAMPLES) % np.uint64(CLASSES)).astype(np.uint8)
    split = Split(images.reshape(EXAMPLES, 28, 28), labels)
    return Dataset("idx", split, split.first(1), sha256="")


def _in_turn(make: MakeBackend) -> list[Check]:
    """Gradients for two weights, called in turn: a stale product would be the other's. Ends at
    the first that is wrong.
    """
    pair = Pair(numpy_program.make, make, Config(batch_size=EXAMPLES), noise())
    backend, batch = make(pair.config, pair.dataset, "cpu"), np.arange(EXAMPLES, dtype=np.int32)
    starts_and_gradients = []
    for seed in (0, 1):
        start = initial_state(pair.config.replace(seed=seed), pair.dataset.pixels, CLASSES)
        grads = flat(pair.declared.gradients(start, batch))
        rounded = map_tensors(lambda grad: grad.astype(pair.config.dtype), grads)
        starts_and_gradients.append((start, tree_of(rounded)))
    checks: list[Check] = []
    for call in range(CALLS):
        start, true = starts_and_gradients[call % 2]
        what = f", call {call + 1} of {CALLS}"
        grads = backend.gradients(backend.load(start), batch)
        differences = compare_trees(true, grads)
        checks = [sums(pair, f"gradient of {d.where}{what}", d) for d in differences]
        if failures(checks):
            break
    return checks
