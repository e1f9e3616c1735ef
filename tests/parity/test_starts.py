"""The port's own start is not compared: how much wider or narrower it is stands in a note."""

import flax.linen as fnn
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn

from mnist_fn.parity import FlaxProgram, check_port
from mnist_fn.shared.parity.layouts import Layout
from mnist_fn.shared.parity.param_map import ParamMap, ParamPair
from mnist_fn.shared.parity.program import Weights
from mnist_fn.shared.parity.starts import starts_note
from mnist_fn.shared.parity.words import number
from torch_ref.parity import TorchProgram

INPUTS = [(np.random.default_rng(0).normal(size=(8, 30)), None)]
# a third of lecun_normal's variance, as PyTorch's default has it
AS_PYTORCH = fnn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


class Torch(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.head = nn.Linear(30, 40), nn.Linear(40, 50), nn.Linear(50, 20)
        for layer in (self.first, self.second, self.head):
            nn.init.zeros_(layer.bias)

    def forward(self, x):
        return self.head(torch.tanh(self.second(torch.tanh(self.first(x)))))


class Flax(fnn.Module):
    kernel: object = AS_PYTORCH
    bias: object = fnn.initializers.zeros

    @fnn.compact
    def __call__(self, x):
        for name, width in (("first", 40), ("second", 50)):
            layer = fnn.Dense(width, kernel_init=self.kernel, bias_init=self.bias, name=name)
            x = jnp.tanh(layer(x))
        return fnn.Dense(20, kernel_init=self.kernel, bias_init=self.bias, name="head")(x)


def starts(reference, port):
    verdict = check_port(reference, port, INPUTS)
    verdict.assert_passed()
    return [note for note in verdict.notes if "own start" in note]


FLAX_DEFAULT = fnn.initializers.lecun_normal()


def test_a_start_that_is_drawn_alike_has_no_note():
    assert starts(TorchProgram(Torch()), FlaxProgram(Flax())) == []
    assert starts(FlaxProgram(Flax()), TorchProgram(Torch())) == []


def test_another_initialization_is_noted_in_both_directions():
    port = FlaxProgram(Flax(FLAX_DEFAULT))
    text = "the port's own start, which is not compared, is "
    assert starts(TorchProgram(Torch()), port) == [
        f"{text}√3 times as wide in 3 kernels: Flax's lecun_normal for PyTorch's default"
    ]
    assert starts(port, TorchProgram(Torch())) == [
        f"{text}1/√3 as wide in 3 kernels: PyTorch's default for Flax's lecun_normal"
    ]


@pytest.mark.parametrize(
    ("bias", "words"),
    [
        (fnn.initializers.ones, "1 in 3 biases, 0 in the reference"),
        (fnn.initializers.normal(), "drawn in 3 biases, 0 in the reference"),
    ],
)
def test_biases_that_start_elsewhere_are_noted(bias, words):
    (note,) = starts(TorchProgram(Torch()), FlaxProgram(Flax(bias=bias)))
    assert note.endswith(f"is {words}")


def direct(ours, theirs):
    """The note on two tensors of one shape, beside one that is drawn."""
    drawn = np.random.default_rng(1).normal(size=(4, 4))
    pairs = [
        ParamPair(name, name, Layout(tuple(range(a.ndim)), a.shape, a.shape))
        for name, a in (("gamma", ours), ("kernel", drawn))
    ]
    weights = (Weights({"gamma": side, "kernel": drawn}) for side in (ours, theirs))
    return starts_note(ParamMap(tuple(pairs)), *weights)


@pytest.mark.parametrize("value", [0.1, 1e-6])
def test_a_constant_is_not_drawn_and_is_itself_in_float32(value):
    ours = np.full(50, value)
    assert direct(ours, ours.copy()) == ""
    assert direct(ours, ours.astype(np.float32).astype(np.float64)) == ""
    assert direct(ours, 2 * ours).endswith(f"{number(2 * value)} in gamma, {number(value)} in the "
                                           "reference")  # fmt: skip


@pytest.mark.parametrize(
    ("ratio", "words"),
    [(2.5, "2.5 times as wide in gamma"), (1.8, "√3 times as wide in gamma: Flax's")],
)
def test_a_ratio_is_a_known_one_only_if_it_is_near(ratio, words):
    """Of 100 numbers, between whose spreads there are 5/√100 by chance."""
    ours = np.random.default_rng(0).normal(size=(10, 10))
    assert words in direct(ours, ratio * ours)
