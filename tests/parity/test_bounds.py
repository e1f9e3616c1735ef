"""The bounds: what their reasons say of rounding is what it does, and what the evidence has."""

import make_parity
import numpy as np
import pytest
import torch
from torch import nn

from mnist_fn import Config
from mnist_fn.shared.parity.backends.checks import Pair
from mnist_fn.shared.parity.bounds import (
    FLOAT64_BOUND,
    FLOAT64_REASON,
    SUM_FACTOR,
    sum_bound,
)
from mnist_fn.shared.parity.program import Batch
from mnist_fn.shared.parity.sum_lengths import SumLengths
from torch_ref.parity import TorchProgram

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
    """8.6 eps, 50 times below; stress states 32 times below their own; and 6.7e-14 along the
    trajectories, 15 times below.
    """
    page = " ".join(make_parity.PAGE.read_text().split())
    sums, weights, shares = [], [], []
    for ladder in make_parity.evidence("full")["ladders"]:
        eps = float(np.finfo(ladder["precision"]).eps)
        for rung in ladder["rungs"]:
            relative = [one for one in rung["checks"] if one["measure"] == "relative"]
            if rung["rung"] == "stress states":
                shares += [float(one["relative"]) / float(one["tolerance"]) for one in relative]
            else:
                sums += [float(one["relative"]) / eps for one in relative]
            if rung["rung"] == "trajectory" and ladder["precision"] == "float64":
                weights += [float(one["absolute"]) for one in rung["checks"]]
    assert f"difference is {max(sums):.1f} eps" in page
    # and no check that comes closer goes unsaid
    every = [float(check[check["measure"]]) / float(check["tolerance"])
             for ladder in make_parity.evidence("full")["ladders"] for rung in ladder["rungs"]
             for check in rung["checks"] if float(check["tolerance"])]  # fmt: skip
    assert f"| {max(every):.8f} | absolute |" in page
    assert 50 <= SUM_FACTOR * 28 / max(sums) < 55
    assert f"stay {int(1 / max(shares))} times below their own" in page
    assert f"at most {max(weights):.1e} of" in FLOAT64_REASON
    assert f"made up to {max(weights):.1e} in" in page
    assert 15 <= FLOAT64_BOUND / max(weights) < 16


def test_a_ports_longest_sums_are_read_from_its_modules():
    """What docs/porting.md says: 4,608 terms behind a convolution of 3 x 3 x 512, 64 before it."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(64, 512, 1), nn.Conv2d(512, 4, 3), nn.BatchNorm2d(4),
                          nn.Flatten(), nn.LayerNorm(16), nn.Linear(16, 3))  # fmt: skip
    program, batch = TorchProgram(model), Batch((np.ones((5, 64, 4, 4)),))
    weights = program.start(batch)
    trace = program.run(weights, batch)
    lengths = SumLengths(trace, weights, batch, "channels_first")
    first, second, *_ = (call.ended for call in trace.calls)
    assert [lengths.upto(tick) for tick in (0, first, second)] == [1, 64, 4608]
    assert (lengths.outputs, lengths.all) == (4608, 4608)
    assert lengths._forward(trace.calls[2]) == 5 * 2 * 2  # BatchNorm: the batch's positions
    assert lengths._forward(trace.calls[4]) == 16
    backward = SumLengths(trace, weights, batch, "channels_last")  # kernels read as [.., in, out]
    assert backward.outputs > 4608
    page = (make_parity.PAGE.parent / "porting.md").read_text()
    for terms in (4608, 64):
        assert f"{sum_bound(terms, 'float64'):.1e}" in page
