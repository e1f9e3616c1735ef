"""The draws are pinned: the same numbers on every machine and with every version of NumPy."""

import hashlib

import numpy as np
import pytest
from scipy import stats

from mnist_fn.shared import streams
from mnist_fn.shared.config import Config
from mnist_fn.shared.state import count_parameters, named_tensors


def sha(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array.dtype.newbyteorder("<").str.encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]


GOLDEN = {
    "raw": "994c8bdee3f2005561f5034f7a62e9df",
    "order": "62f5606cfaf67617d9e85d7811449303",
    "float32": "b487749b844e7547b98de17b22f31dc6",
    "float64": "2889925c832363c0bdda3e0f7d79fb29",
}


def test_golden_raw_stream():
    assert sha(streams.raw(7, "twin", 3, 1000)) == GOLDEN["raw"]


def test_golden_batch_order():
    assert sha(streams.batch_order(0, 1, 60_000)) == GOLDEN["order"]


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_golden_initial_state(precision):
    state = streams.initial_state(Config(hidden=(512, 256), precision=precision), 784, 10)
    assert sha(*(tensor for _, tensor in named_tensors(state.params))) == GOLDEN[precision]


def test_an_order_is_a_permutation_and_its_own():
    orders = [streams.batch_order(seed, epoch, 500) for seed in (0, 1) for epoch in (1, 2)]
    for order in orders:
        assert order.dtype == np.int32
        assert np.array_equal(np.sort(order), np.arange(500))
    assert len({order.tobytes() for order in orders}) == 4


def test_purposes_do_not_share_a_stream():
    words = np.concatenate([streams.raw(0, purpose, 0, 1000) for purpose in streams.PURPOSES])
    assert len(np.unique(words)) == len(words)


@pytest.mark.parametrize(
    ("hidden", "count"), [((), 7_850), ((512,), 407_050), ((512, 256), 535_818)]
)
def test_parameter_counts_of_the_study(hidden, count):
    assert count_parameters(streams.initial_state(Config(hidden=hidden), 784, 10).params) == count


def test_initial_weights_have_pytorchs_distribution():
    """Kolmogorov-Smirnov against U(±1/√fan_in), weights and biases; seeds are fixed, so the
    p-values are too, and 0.01 is no chance of a red test on a bad day."""
    state = streams.initial_state(Config(hidden=(512, 256), precision="float64"), 784, 10)
    for (name, tensor), fan_in in zip(
        named_tensors(state.params), (784, 784, 512, 512, 256, 256), strict=True
    ):
        bound = 1 / np.sqrt(fan_in)
        assert np.abs(tensor).max() <= bound
        p = stats.kstest(tensor.ravel(), stats.uniform(-bound, 2 * bound).cdf).pvalue
        assert p > 0.01, name


def test_float32_starts_from_the_rounded_float64_numbers():
    half = streams.initial_state(Config(precision="float32"), 784, 10)
    full = streams.initial_state(Config(precision="float64"), 784, 10)
    for (_, a), (_, b) in zip(named_tensors(half.params), named_tensors(full.params), strict=True):
        assert np.array_equal(a, b.astype(np.float32))
