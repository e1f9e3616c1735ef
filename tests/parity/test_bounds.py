"""The bounds: what their reasons say of rounding is what it does, and what the evidence has."""

import make_parity
import numpy as np
import pytest

from mnist_fn import Config
from mnist_fn.shared.parity.checks import SUM_FACTOR, Pair, sum_bound
from mnist_fn.shared.parity.trajectory import FLOAT64_BOUND, FLOAT64_REASON

STATED = 0.53  # times √n eps: sums one after another


def one_after_another(a, b):
    """a [m, n] times b [n, k], each term added to the sum so far."""
    total = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for k in range(a.shape[1]):
        total += a[:, k, None] * b[k]
    return total


def test_the_worst_order_stays_thirty_times_below_the_bound():
    """Of both signs, which cancel, and of one, whose sums grow: 64 x 64 sums of each length. The
    lengths are those of a batch, MNIST's pixels, a convolution and beyond."""
    rng, eps = np.random.default_rng(0), float(np.finfo("float32").eps)
    off = {}
    for n in (200, 784, 4608, 20_000):
        for low in (-1, 0):
            a = rng.random((64, n)).astype("float32")
            b = rng.uniform(low, 1, (n, 64)).astype("float32")
            true = a.astype(float) @ b.astype(float)
            found = np.abs(one_after_another(a, b) - true).max() / np.abs(true).max()
            off[n, low] = found / (np.sqrt(n) * eps)
    assert STATED * 0.9 < max(off.values()) <= STATED, off  # the reason gives the number itself
    assert pytest.approx(30, abs=0.5) == SUM_FACTOR / STATED
    assert sum_bound(784, "float32") == pytest.approx(16 * 28 * eps)


def test_the_longest_sum_is_the_experiments(digits):
    def longest(**changes):
        return Pair(None, None, Config(dataset="digits", **changes), digits).longest_sum

    assert longest(hidden=(), batch_size=10) == 64
    assert longest(hidden=(16, 300), batch_size=200) == 300
    assert longest(hidden=(16,), batch_size=200) == 200


def test_the_evidence_is_as_far_below_the_bounds_as_is_said():
    """8.6 eps, 50 times below; and 6.6e-14 along the trajectories, 15 times below."""
    page = " ".join(make_parity.PAGE.read_text().split())
    sums, weights = [], []
    for ladder in make_parity.evidence("full")["ladders"]:
        eps = float(np.finfo(ladder["precision"]).eps)
        for rung in ladder["rungs"]:
            relative = [one for one in rung["checks"] if one["measure"] == "relative"]
            sums += [float(one["relative"]) / eps for one in relative]
            if rung["rung"] == "trajectory" and ladder["precision"] == "float64":
                weights += [float(one["absolute"]) for one in rung["checks"]]
    assert f"difference of all is {max(sums):.1f} eps" in page
    assert 50 <= SUM_FACTOR * 28 / max(sums) < 55
    assert f"the {max(weights):.1e} that" in FLOAT64_REASON
    assert f"makes up to {max(weights):.1e} in" in page
    assert 15 <= FLOAT64_BOUND / max(weights) < 16
