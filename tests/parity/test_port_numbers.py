"""Numbers within a program: solved for, whatever they are, and claimed as all causes are."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as fn

from mnist_fn.parity import check_port
from mnist_fn.shared.parity.bounds import CLAIM_MARGIN
from torch_ref.parity import TorchProgram

BATCHES = [
    (np.random.default_rng(0).normal(size=(12, 6)), np.random.default_rng(1).integers(0, 3, 12))
]


class Model(nn.Module):
    """A dense layer, something between, a head."""

    def __init__(self, between):
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.head = nn.Linear(6, 8), nn.Linear(8, 3)
        self.between = between

    def forward(self, x):
        return self.head(self.between(self.inner(x)))


def attend(scale):
    def between(x):
        q = x.reshape(3, 4, 8)
        return fn.scaled_dot_product_attention(q, q.roll(1, 2), q * 2, scale=scale).flatten(0, 1)

    return between


def softmax(c):
    return lambda x: (x / c).softmax(-1)


PLACES = torch.linspace(-1, 1, 12 * 8).reshape(12, 8)


def placed(ids):
    return lambda x: x + fn.embedding(ids, PLACES.to(x.dtype))


def scaled(epsilon):
    return lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon)


# what is declared, what the port has, and the cause
CASES = {
    "LayerNorm": (nn.LayerNorm(8), nn.LayerNorm(8, eps=3.7e-4), "ε = 3.7e-4 in place of 1e-5"),
    "RMSNorm": (nn.RMSNorm(8, eps=1e-6), nn.RMSNorm(8, eps=2.5e-2), "ε = 0.025 in place of 1e-6"),
    "GroupNorm": (nn.GroupNorm(4, 8), nn.GroupNorm(4, 8, eps=4e-9), "ε = 4e-9 in place of 1e-5"),
    "BatchNorm": (nn.BatchNorm1d(8), nn.BatchNorm1d(8, eps=2e-4), "ε = 2e-4 in place of 1e-5"),
    "LeakyReLU": (nn.LeakyReLU(0.01), nn.LeakyReLU(0.17), "slope 0.17 in place of 0.01"),
    "ReLU": (torch.relu, nn.LeakyReLU(0.17), "leaky relu with slope 0.17 in place of relu"),
    "a cap": (torch.relu, lambda x: x.clamp(0, 0.45), "relu capped at 0.45 in place of relu"),
    "attention": (attend(None), attend(1 / 5.3), "scores divided by 5.3 in place of √d"),
    "a division": (softmax(8.0), softmax(3.1), "divided by 3.1 in place of 8"),
    "ε by hand": (scaled(1e-6), scaled(3.7e-4), "3.7e-4 added in place of 1e-6"),
    "softplus": (lambda x: fn.softplus(12 * x),
                 lambda x: torch.logaddexp(12 * x, torch.zeros_like(x)),
                 "softplus without its threshold of 20, above which torch gives x"),
    "a mean": (lambda x: x.reshape(3, 4, 8).mean(1), lambda x: x.reshape(3, 4, 8)[:, 0],
               "first entry in place of mean"),
    "places": (placed(torch.arange(12)), placed(torch.arange(12).flip(0)),
               "ids in the reverse order"),
    "a factor": (lambda x: x * 0.125, lambda x: x * 0.7, "multiplied by 0.7 in place of 0.125"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_number_is_solved_for(name):
    right, wrong, words = CASES[name]
    verdict = check_port(
        TorchProgram(Model(right)), TorchProgram(Model(wrong), name="port"), BATCHES
    )
    assert verdict.failed is not None, verdict.text
    (cause,) = verdict.cause.causes
    assert cause.text.endswith(words), verdict.text
    assert cause.units <= 1
    assert verdict.cause.next_best.units >= CLAIM_MARGIN * cause.units


def test_label_smoothing_is_solved_for():
    def side(name, smoothing):
        loss = lambda z, y: fn.cross_entropy(z, y, label_smoothing=smoothing)  # noqa: E731
        return TorchProgram(Model(torch.tanh), loss=loss, name=name)

    verdict = check_port(side("reference", 0.1), side("port", 0.037), BATCHES)
    assert verdict.failed.name == "loss"
    assert verdict.cause.text == "the loss: label smoothing 0.037 in place of 0.1", verdict.text


def test_two_numbers_at_once_are_no_cause():
    def side(name, eps, slope):
        def between(x):
            return fn.leaky_relu(fn.layer_norm(x, (8,), eps=eps), slope)

        return TorchProgram(Model(between), name=name)

    verdict = check_port(side("reference", 1e-5, 0.01), side("port", 3.7e-4, 0.17), BATCHES)
    assert not verdict.cause.found
    assert "no single change explains it" in verdict.text
