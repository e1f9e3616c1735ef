"""Where PyTorch and JAX differ by default, each as two programs of one layer or one step.

`docs/make/make_porting.py` makes the table in docs/porting.md from `DEFAULTS`;
tests/parity/test_port_defaults.py holds every row.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flax.linen as fnn
import jax.numpy as jnp
import numpy as np
import optax
import torch
from torch import nn

from mnist_fn.parity import FlaxProgram
from tests.support.port_models import jax_cross_entropy
from torch_ref.parity import TorchProgram


@dataclass(frozen=True)
class Default:
    """One row: what either does by default, what to write, and what the verdict must say."""

    topic: str
    pytorch: str
    jax: str
    write: str
    rung: str  # "" where the verdict passes with a note
    words: str
    programs: Callable[[], tuple[Any, Any, list[Any]]]


class Flax(fnn.Module):
    """A Dense layer, something between, a head."""

    between: Any
    first: Any = None

    @fnn.compact
    def __call__(self, x, train=True):
        x = (self.first or fnn.Dense(8, name="inner"))(x)
        return fnn.Dense(3, name="head")(self.between(x, train))


class Torch(nn.Module):
    def __init__(self, between, first=None, width=8):
        super().__init__()
        self.inner, self.head = first or nn.Linear(6, 8), nn.Linear(width, 3)
        self.between = between
        if isinstance(between, nn.Module):
            self.norm = between

    def forward(self, x):
        return self.head(self.between(self.inner(x)))


def rows(n=12):
    rng = np.random.default_rng(0)
    return [(rng.normal(size=(n, 6)), rng.integers(0, 3, n))]


def images(rng_seed=0):
    rng = np.random.default_rng(rng_seed)
    return [(rng.normal(size=(4, 2, 8, 8)), rng.integers(0, 3, 4))]


def between(torch_part, flax_part, batches=rows, **more):
    def programs():
        torch.manual_seed(0)
        reference = TorchProgram(Torch(torch_part()), loss=nn.functional.cross_entropy,
                              optimizer=lambda p: torch.optim.SGD(p, 0.1))  # fmt: skip
        port = FlaxProgram(
            Flax(flax_part), loss=jax_cross_entropy, optimizer=optax.sgd(0.1), **more
        )
        return reference, port, batches()

    return programs


def convolutions(torch_conv, flax_conv):
    def programs():
        torch.manual_seed(0)
        reference = TorchProgram(Torch(lambda x: x.mean((2, 3)), torch_conv(), 4))
        port = FlaxProgram(Flax(lambda x, _: x.mean((1, 2)), flax_conv()))
        return reference, port, images()

    return programs


def steps(torch_optimizer, optax_optimizer, **more):
    def programs():
        torch.manual_seed(0)
        reference = TorchProgram(Torch(torch.tanh), loss=nn.functional.cross_entropy,
                              optimizer=torch_optimizer, **more)  # fmt: skip
        port = FlaxProgram(Flax(lambda x, _: jnp.tanh(x)), loss=jax_cross_entropy,
                        optimizer=optax_optimizer)  # fmt: skip
        return reference, port, rows()

    return programs


def losses(torch_loss, jax_loss, targets):
    def programs():
        torch.manual_seed(0)
        reference = TorchProgram(Torch(torch.tanh), loss=torch_loss)
        port = FlaxProgram(Flax(lambda x, _: jnp.tanh(x)), loss=jax_loss)
        ((x, _),) = rows()
        return reference, port, [(x, targets)]

    return programs


IGNORED = np.array([0, 1, -100, 2, -100, 0, 1, 2, 0, 1, 2, 0])

DEFAULTS = [
    Default("LayerNorm's ε", "1e-5", "1e-6", "`nn.LayerNorm(epsilon=1e-5)`", "modules",
            "ε = 1e-6 in place of 1e-5",
            between(lambda: nn.LayerNorm(8), lambda x, _: fnn.LayerNorm(name="norm")(x))),
    Default("GroupNorm's ε", "1e-5", "1e-6", "`nn.GroupNorm(4, epsilon=1e-5)`", "modules",
            "ε = 1e-6 in place of 1e-5",
            between(lambda: nn.GroupNorm(4, 8), lambda x, _: fnn.GroupNorm(4, name="norm")(x))),
    Default("RMSNorm's ε", "the dtype's eps, 1.2e-7 in float32", "1e-6",
            "`eps=1e-6` in PyTorch", "modules", "ε = 1e-6",
            between(lambda: nn.RMSNorm(8), lambda x, _: fnn.RMSNorm(name="norm")(x))),
    Default("BatchNorm's momentum", "0.1, the share that is new", "0.99, the share that is kept",
            "`nn.BatchNorm(momentum=0.9)`", "buffers", "running averages keep 0.99",
            between(lambda: nn.BatchNorm1d(8),
                    lambda x, train: fnn.BatchNorm(not train, name="norm")(x))),
    Default("BatchNorm's kept variance", "unbiased", "biased", "nothing: no argument changes it",
            "", "PyTorch keeps the unbiased variance, Flax the biased one",
            between(lambda: nn.BatchNorm1d(8),
                    lambda x, train: fnn.BatchNorm(not train, momentum=0.9, name="norm")(x))),
    Default("GELU", "exact", "by tanh", "`nn.gelu(x, approximate=False)`", "modules",
            "gelu by tanh in place of exact gelu",
            between(lambda: nn.functional.gelu, lambda x, _: fnn.gelu(x))),
    Default("padding of a convolution", "none", "SAME", '`nn.Conv(…, padding="VALID")`', "modules",
            'padding SAME, which is (1, 1) here, in place of no: write padding="VALID"',
            convolutions(lambda: nn.Conv2d(2, 4, 3),
                         lambda: fnn.Conv(4, (3, 3), name="inner"))),
    Default("SAME of a strided one", "`padding=1` is (1, 1)", "SAME is (0, 1)",
            "`padding=[(1, 1), (1, 1)]`", "modules", "padding SAME, which is (0, 1) here",
            convolutions(lambda: nn.Conv2d(2, 4, 3, stride=2, padding=1),
                         lambda: fnn.Conv(4, (3, 3), (2, 2), name="inner"))),
    Default("kernel of a transposed convolution", "flipped", "not flipped, [.., in, out]",
            "`transpose_kernel=True`", "modules", "the kernel is not flipped",
            convolutions(lambda: nn.ConvTranspose2d(2, 4, 3),
                         lambda: fnn.ConvTranspose(4, (3, 3), padding="VALID", name="inner"))),
    Default("flattening of images", "[c, h, w]", "[h, w, c]",
            "`x.transpose(0, 3, 1, 2)` before `reshape`", "modules", "flattened channels last",
            lambda: flattened()),
    Default("AdamW's weight decay", "0.01", "1e-4", "`optax.adamw(…, weight_decay=0.01)`", "step",
            "decay 1e-4 in place of 0.01",
            steps(lambda p: torch.optim.AdamW(p, 1e-3), optax.adamw(1e-3))),
    Default("weight_decay of Adam", "added to the gradient", "`adamw`: taken off the weights",
            "`optax.chain(add_decayed_weights(λ), adam(…))`", "step", "decoupled decay",
            steps(lambda p: torch.optim.Adam(p, 1e-3, weight_decay=0.01),
                  optax.adamw(1e-3, weight_decay=0.01))),
    Default("RMSprop's ε", "outside of the root", "inside of it", "`eps_in_sqrt=False`", "step",
            "ε inside the root",
            steps(lambda p: torch.optim.RMSprop(p, 1e-3), optax.rmsprop(1e-3, decay=0.99))),
    Default("RMSprop's decay", "alpha 0.99", "0.9", "`optax.rmsprop(…, decay=0.99)`", "step", "0.9",
            steps(lambda p: torch.optim.RMSprop(p, 1e-3),
                  optax.rmsprop(1e-3, eps_in_sqrt=False))),
    Default("clipping by norm", "divides by norm + 1e-6", "divides by norm",
            "nothing: 1e-6 of a step", "", "clip_grad_norm_ divides by the norm + 1e-06",
            steps(lambda p: torch.optim.SGD(p, 0.1),
                  optax.chain(optax.clip_by_global_norm(0.1), optax.sgd(0.1)),
                  before_step=lambda p: nn.utils.clip_grad_norm_(p, 0.1))),
    Default("squared error", "`mse_loss`", "`optax.l2_loss` is half of it",
            "`optax.squared_error`", "loss", "half of the squared error (optax.l2_loss)",
            losses(nn.functional.mse_loss, lambda z, y: optax.l2_loss(z, y).mean(),
                   np.random.default_rng(1).normal(size=(12, 3)))),
    Default("a target of -100", "`cross_entropy` ignores it", "optax does not",
            "`where` and the sum over those that count", "loss",
            "the mean counts the ignored targets (-100) as well",
            losses(nn.functional.cross_entropy,
                   lambda z, y: (optax.softmax_cross_entropy_with_integer_labels(
                       z, jnp.maximum(y, 0)) * (y >= 0)).mean(), IGNORED)),
]  # fmt: skip


def flattened():
    """A convolution, flattened into the head."""
    torch.manual_seed(0)
    reference = TorchProgram(Torch(lambda x: x.relu().flatten(1), nn.Conv2d(2, 4, 3), 144))
    conv = fnn.Conv(4, (3, 3), padding="VALID", name="inner")
    port = FlaxProgram(Flax(lambda x, _: fnn.relu(x).reshape(len(x), -1), conv))
    return reference, port, images()
