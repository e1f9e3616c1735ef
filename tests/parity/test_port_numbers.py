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
    "a power": (lambda x: x.pow(2), lambda x: x, "exponent = 1 in place of 2"),
    "a factor of powers": (lambda x: 0.125 * x.abs() ** torch.arange(8),
                           lambda x: 0.7 * x.abs() ** torch.arange(8),
                           "multiplied by 0.7 in place of 0.125"),
    "exp": (lambda x: x.exp(), lambda x: x, "no exponential function"),
    "a margin": (lambda x: 1.0 - x, lambda x: 2.5 - x, "2.5 − x in place of 1 − x"),
    "a length": (lambda x: fn.normalize(x), lambda x: x, "not divided by its length"),
    "a length over the batch": (lambda x: fn.normalize(x), lambda x: fn.normalize(x, dim=0),
                                "its length over axis 0 in place of 1"),
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


def shares(z, y):
    return fn.one_hot(y, 3).to(z.dtype) * 0.7 + 0.1


def of_numbers(loss, **settings):
    return lambda z, y: loss(9 * z, 9 * z.detach().roll(1, 0), **settings)


def divergence(reduction):
    return lambda z, y: fn.kl_div(z.log_softmax(1), shares(z, y), reduction=reduction)


def contrastive(eps, margin=1.0):
    def loss(z, y):
        distance = fn.pairwise_distance(z, z.detach().roll(1, 0), eps=eps)
        alike = (y == y.roll(1)).to(z.dtype)
        return (alike * distance**2 + (1 - alike) * (margin - distance).clamp(min=0)).mean()

    return loss


# what is declared, what the port has, and the cause
LOSSES = {
    "Huber": (of_numbers(fn.huber_loss, delta=0.5), of_numbers(fn.huber_loss),
              "δ = 1 in place of 0.5"),
    "Huber, any δ": (of_numbers(fn.huber_loss), of_numbers(fn.huber_loss, delta=0.37),
                     "δ = 0.37 in place of 1"),
    "smooth L1": (of_numbers(fn.smooth_l1_loss), of_numbers(fn.smooth_l1_loss, beta=0.1),
                  "β = 0.1 in place of 1"),
    "smooth L1 as Huber": (of_numbers(fn.smooth_l1_loss, beta=0.5),
                           of_numbers(fn.huber_loss, delta=0.5),
                           "Huber's loss with δ = 0.5 in place of smooth L1 with β = 0.5"),
    "KL": (divergence("mean"), divergence("batchmean"),
           "kl_div's reduction = batchmean in place of mean"),
    "KL, summed": (divergence("batchmean"), divergence("sum"),
                   "kl_div's reduction = sum in place of batchmean"),
    "a distance": (contrastive(1e-6), contrastive(0.0), "no ε added to the differences"),
    "a margin": (contrastive(1e-6), contrastive(1e-6, 1.7), "1.7 − x in place of 1 − x"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize("name", LOSSES)
def test_a_number_of_a_loss_is_named(name):
    right, wrong, words = LOSSES[name]
    sides = []
    for side, loss in (("reference", right), ("port", wrong)):
        sides.append(TorchProgram(Model(torch.tanh), loss=loss, name=side))
    verdict = check_port(*sides, BATCHES)
    assert verdict.failed.name == "loss", verdict.text
    assert verdict.cause.text == f"the loss: {words}", verdict.text


def test_two_numbers_at_once_are_no_cause():
    def side(name, eps, slope):
        def between(x):
            return fn.leaky_relu(fn.layer_norm(x, (8,), eps=eps), slope)

        return TorchProgram(Model(between), name=name)

    verdict = check_port(side("reference", 1e-5, 0.01), side("port", 3.7e-4, 0.17), BATCHES)
    assert not verdict.cause.found
    assert "no single change explains it" in verdict.text
