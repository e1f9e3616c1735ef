"""Convolutions and pooling over other windows: strides, dilation, padding, the last part."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as fn

from mnist_fn.parity import check_port
from torch_ref.parity import TorchProgram

BATCHES = [(np.random.default_rng(0).normal(size=(3, 2, 8, 8)), np.zeros(3, int))]


class Model(nn.Module):
    """A convolution, a pooling, the mean of what is left."""

    def __init__(self, pool, **conv):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head = nn.Conv2d(2, 4, 3, **{"padding": 1, **conv}), nn.Linear(4, 3)
        self.pool = pool

    def forward(self, x):
        return self.head(self.pool(self.conv(x)).square().mean((2, 3)))


def padded(x):
    """SAME of windows of 3 in steps of 2: nothing before, one behind."""
    return fn.max_pool2d(fn.pad(x, (0, 1, 0, 1), value=-torch.inf), 3, 2)


MAX, MEAN = nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(3, 2, 1)
CASES = {
    "Flax's stride": (nn.MaxPool2d(2), nn.MaxPool2d(2, 1),
                      "stride 1 in place of 2 (Flax's default: write strides=(2, 2))"),
    "ceil_mode": (MAX, nn.MaxPool2d(3, 2, 1, ceil_mode=True), "ceil_mode=True: the part of a "
                  "window at the end is kept"),
    "no ceil_mode": (nn.MaxPool2d(3, 2, 1, ceil_mode=True), MAX, "ceil_mode=False: the part of a "
                     "window at the end is dropped"),
    "SAME": (MAX, padded, "padding SAME in place of 1"),
    "windows": (nn.MaxPool2d(2), nn.MaxPool2d(3, 2), "windows of 3 in place of 2"),
    "average": (MAX, MEAN, "average in place of maximum"),
    "what is padded counts": (MEAN, nn.AvgPool2d(3, 2, 1, count_include_pad=False),
                              "padding is not counted in the average (count_include_pad=False)"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_another_window_of_a_pooling_is_named(name):
    right, wrong, words = CASES[name]
    verdict = check_port(
        TorchProgram(Model(right)), TorchProgram(Model(wrong), name="port"), BATCHES
    )
    assert verdict.cause is not None, verdict.text
    assert verdict.cause.text.endswith(words), verdict.text


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"stride": 2}, "conv: stride 2 in place of 1"),
        ({"dilation": 2}, "conv: dilation 2 in place of 1"),
        ({"padding": 2}, "conv: padding (2, 2) in place of 1 on either side"),
    ],
)
def test_another_window_of_a_convolution_is_named(changed, words):
    def pool(x):
        return x

    right, wrong = TorchProgram(Model(pool)), TorchProgram(Model(pool, **changed), name="port")
    verdict = check_port(right, wrong, BATCHES)
    assert verdict.failed.name == "modules"
    assert verdict.cause.text == words, verdict.text
