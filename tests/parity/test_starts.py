"""The port's own start is not compared: how much wider or narrower it is stands in a note."""

import flax.linen as fnn
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn

from mnist_fn.parity import FlaxProgram, check_port
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
