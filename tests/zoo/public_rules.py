"""torch's optimizers, schedules and losses, and optax's: right settings, a wrong one of each, and
pairs that differ truly whatever is set. test_optax.py puts each on the ladder.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flax.linen as fnn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from torch import nn

from mnist_fn.parity import FlaxProgram
from tests.support.port_models import jax_cross_entropy
from torch_ref.parity import TorchProgram

fn = nn.functional
ROWS, INPUTS, OUTPUTS = 8, 6, 5


@dataclass(frozen=True)
class Pair:
    """An optimizer or a loss of torch, and one of optax."""

    name: str
    torch: Callable[..., Any]
    optax: Any
    rung: str = ""  # where they differ; "" where they agree
    words: str = ""  # what the cause must say; "" where no cause may be claimed
    scheduler: Callable[..., Any] | None = None
    targets: str = "classes"  # or "numbers", "shares", "bits", "signs"

    def programs(self, loss: bool = False) -> tuple[TorchProgram, FlaxProgram, list[Any]]:
        """Reference, port and batches: the pair's loss with SGD, or its optimizer."""
        torch.manual_seed(0)
        reference = TorchProgram(
            TorchModel(),
            loss=self.torch if loss else fn.cross_entropy,
            optimizer=(lambda p: torch.optim.SGD(p, 0.1)) if loss else self.torch,
            scheduler=self.scheduler,
        )
        port = FlaxProgram(
            FlaxModel(),
            loss=self.optax if loss else jax_cross_entropy,
            optimizer=optax.sgd(0.1) if loss else self.optax,
        )
        rng = np.random.default_rng(0)
        batches = [(rng.normal(size=(ROWS, INPUTS)), TARGETS[self.targets](rng)) for _ in range(3)]
        return reference, port, batches


def shares(rng: np.random.Generator) -> np.ndarray:
    """A distribution over the outputs for each row."""
    made = rng.random((ROWS, OUTPUTS))
    return made / made.sum(1, keepdims=True)


TARGETS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "classes": lambda rng: rng.integers(0, OUTPUTS, ROWS),
    "numbers": lambda rng: rng.normal(size=(ROWS, OUTPUTS)),
    "shares": shares,
    "bits": lambda rng: rng.integers(0, 2, (ROWS, OUTPUTS)).astype(np.float64),
    "counts": lambda rng: rng.poisson(2.0, (ROWS, OUTPUTS)).astype(np.float64),
}


class TorchModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(INPUTS, 8), nn.Linear(8, OUTPUTS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.body(x)))


class FlaxModel(fnn.Module):
    @fnn.compact
    def __call__(self, x: Any) -> Any:
        return fnn.Dense(OUTPUTS, name="head")(jnp.tanh(fnn.Dense(8, name="body")(x)))


def rate(change: Any) -> Any:
    """A transformation with a learning rate of 1e-3."""
    return optax.chain(change, optax.scale(-1e-3))


o = torch.optim
OPTIMIZERS = [
    Pair("SGD", lambda p: o.SGD(p, 0.1), optax.sgd(0.1)),
    Pair("SGD, wrong rate", lambda p: o.SGD(p, 0.1), optax.sgd(0.2), "step",
         "learning rate 0.2 in place of 0.1"),
    Pair("momentum", lambda p: o.SGD(p, 0.1, momentum=0.9), optax.sgd(0.1, momentum=0.9)),
    Pair("momentum, wrong", lambda p: o.SGD(p, 0.1, momentum=0.9), optax.sgd(0.1, momentum=0.5),
         "trajectory", "momentum = 0.5"),
    Pair("Nesterov", lambda p: o.SGD(p, 0.1, momentum=0.9, nesterov=True),
         optax.sgd(0.1, momentum=0.9, nesterov=True)),
    Pair("Nesterov forgotten", lambda p: o.SGD(p, 0.1, momentum=0.9, nesterov=True),
         optax.sgd(0.1, momentum=0.9), "step", "momentum in place of nesterov"),
    Pair("SGD with a decay", lambda p: o.SGD(p, 0.1, weight_decay=0.01),
         optax.chain(optax.add_decayed_weights(0.01), optax.sgd(0.1))),
    Pair("SGD, decay forgotten", lambda p: o.SGD(p, 0.1, weight_decay=0.01), optax.sgd(0.1),
         "step", "decay"),
    Pair("dampening, which optax lacks", lambda p: o.SGD(p, 0.1, momentum=0.9, dampening=0.5),
         optax.sgd(0.1, momentum=0.9), "trajectory", "no dampening"),
    Pair("Adam", lambda p: o.Adam(p, 1e-3), optax.adam(1e-3)),
    Pair("Adam, wrong ε", lambda p: o.Adam(p, 1e-3), optax.adam(1e-3, eps=1e-5), "step",
         "ε = 1e-5"),
    Pair("Adam with a decay", lambda p: o.Adam(p, 1e-3, weight_decay=0.01),
         optax.chain(optax.add_decayed_weights(0.01), optax.adam(1e-3))),
    Pair("Adam, decay decoupled", lambda p: o.Adam(p, 1e-3, weight_decay=0.01),
         optax.adamw(1e-3, weight_decay=0.01), "step", "decoupled decay"),
    Pair("AdamW", lambda p: o.AdamW(p, 1e-3), optax.adamw(1e-3, weight_decay=0.01)),
    Pair("AdamW, optax's default decay", lambda p: o.AdamW(p, 1e-3), optax.adamw(1e-3), "step",
         "decay"),
    Pair("AMSGrad, which optax takes of the corrected v",
         lambda p: o.Adam(p, 1e-2, amsgrad=True), optax.amsgrad(1e-2), "trajectory", "AMSGrad"),
    Pair("RMSprop", lambda p: o.RMSprop(p, 1e-3),
         optax.rmsprop(1e-3, decay=0.99, eps_in_sqrt=False)),
    Pair("RMSprop, optax's defaults", lambda p: o.RMSprop(p, 1e-3), optax.rmsprop(1e-3), "step",
         "optax.rmsprop's defaults"),
    Pair("RMSprop, centered", lambda p: o.RMSprop(p, 1e-3, centered=True),
         optax.rmsprop(1e-3, decay=0.99, centered=True, eps_in_sqrt=False)),
    Pair("RMSprop, centering forgotten", lambda p: o.RMSprop(p, 1e-3, centered=True),
         optax.rmsprop(1e-3, decay=0.99, eps_in_sqrt=False), "step", "not centered"),
    Pair("RMSprop with momentum", lambda p: o.RMSprop(p, 1e-3, momentum=0.9),
         optax.rmsprop(1e-3, decay=0.99, momentum=0.9, eps_in_sqrt=False)),
    Pair("RMSprop, momentum forgotten", lambda p: o.RMSprop(p, 1e-3, momentum=0.9),
         optax.rmsprop(1e-3, decay=0.99, eps_in_sqrt=False), "trajectory", "no momentum"),
    Pair("Adagrad, whose ε optax has inside of the root", lambda p: o.Adagrad(p, 1e-2),
         optax.adagrad(1e-2, initial_accumulator_value=0.0, eps=1e-10), "step", "ε inside"),
    Pair("Adagrad, optax's defaults", lambda p: o.Adagrad(p, 1e-2), optax.adagrad(1e-2), "step",
         "optax.adagrad's defaults"),
    Pair("Adadelta", lambda p: o.Adadelta(p, 1.0), optax.adadelta(1.0)),
    Pair("Adadelta, wrong ρ", lambda p: o.Adadelta(p, 1.0), optax.adadelta(1.0, rho=0.95), "step",
         "decay = 0.95 in place of 0.9"),
    Pair("Adamax", lambda p: o.Adamax(p, 1e-3), optax.adamax(1e-3)),
    Pair("Adamax, wrong β₂", lambda p: o.Adamax(p, 1e-3), optax.adamax(1e-3, b2=0.9), "trajectory",
         "β₂ = 0.9 in place of 0.999"),
    Pair("NAdam, whose momentum decays in torch alone", lambda p: o.NAdam(p, 1e-3),
         optax.nadam(1e-3), "step", "Nesterov's momentum"),
    Pair("RAdam, whose ε torch has before the correction", lambda p: o.RAdam(p, 1e-3),
         optax.radam(1e-3), "trajectory", "ε added after the bias correction"),
    Pair("Rprop, whose step optax takes one late", lambda p: o.Rprop(p, 1e-2), optax.rprop(1e-2),
         "step", "each step is taken one step late"),
    Pair("one cycle, which peaks a step later in optax", lambda p: o.SGD(p, 0.1),
         optax.sgd(optax.cosine_onecycle_schedule(20, 0.1, 0.3, 25.0, 1e4)), "trajectory",
         "learning rate × 0.04, 0.1043",
         lambda s: o.lr_scheduler.OneCycleLR(s, 0.1, total_steps=20, cycle_momentum=False)),
]  # fmt: skip


def mean(loss: Callable[..., Any]) -> Callable[..., Any]:
    """A loss of optax, which gives one number a row or an entry, averaged."""
    return lambda z, y: loss(z, y).mean()


def cosine(z: Any, y: Any) -> Any:
    """torch's cosine loss of pairs that should be alike."""
    return fn.cosine_embedding_loss(z, y, torch.ones(len(z)))


def triplet(z: Any, y: Any, loss: Callable[..., Any]) -> Any:
    """Anchors, positives and negatives, so that every row counts."""
    return loss(z, y, -y)


LOSSES = [
    Pair("cross-entropy", fn.cross_entropy, jax_cross_entropy),
    Pair("cross-entropy, summed", fn.cross_entropy,
         lambda z, y: jax_cross_entropy(z, y) * len(z), "loss", "sum"),
    Pair("cross-entropy of shares", fn.cross_entropy, mean(optax.softmax_cross_entropy),
         targets="shares"),
    Pair("label smoothing", lambda z, y: fn.cross_entropy(z, y, label_smoothing=0.1),
         lambda z, y: optax.softmax_cross_entropy(
             z, optax.smooth_labels(jax.nn.one_hot(y, OUTPUTS, dtype=z.dtype), 0.1)).mean()),
    Pair("label smoothing forgotten", lambda z, y: fn.cross_entropy(z, y, label_smoothing=0.1),
         jax_cross_entropy, "loss", "label smoothing"),
    Pair("binary cross-entropy", fn.binary_cross_entropy_with_logits,
         mean(optax.sigmoid_binary_cross_entropy), targets="bits"),
    Pair("binary cross-entropy, summed over the outputs", fn.binary_cross_entropy_with_logits,
         lambda z, y: optax.sigmoid_binary_cross_entropy(z, y).sum(1).mean(), "loss",
         "summed over the outputs", targets="bits"),
    Pair("squared error", fn.mse_loss, mean(optax.squared_error), targets="numbers"),
    Pair("squared error, optax.l2_loss", fn.mse_loss, mean(optax.l2_loss), "loss", "half",
         targets="numbers"),
    Pair("Huber", lambda z, y: fn.huber_loss(z, y, delta=0.5),
         lambda z, y: optax.huber_loss(z, y, delta=0.5).mean(), targets="numbers"),
    Pair("Huber, δ forgotten", lambda z, y: fn.huber_loss(z, y, delta=0.5),
         mean(optax.huber_loss), "loss", "δ = 1 in place of 0.5", targets="numbers"),
    Pair("smooth L1", lambda z, y: fn.smooth_l1_loss(z, y, beta=0.5),
         lambda z, y: optax.huber_loss(z, y, delta=0.5).mean() / 0.5, targets="numbers"),
    Pair("smooth L1, Huber in its place", lambda z, y: fn.smooth_l1_loss(z, y, beta=0.5),
         lambda z, y: optax.huber_loss(z, y, delta=0.5).mean(), "loss", "Huber's loss",
         targets="numbers"),
    Pair("KL divergence",
         lambda z, y: fn.kl_div(z.log_softmax(1), y, reduction="batchmean"),
         lambda z, y: optax.kl_divergence(jax.nn.log_softmax(z), y).mean(), targets="shares"),
    Pair("KL divergence, mean over all", lambda z, y: fn.kl_div(z.log_softmax(1), y),
         lambda z, y: optax.kl_divergence(jax.nn.log_softmax(z), y).mean(), "loss",
         "kl_div's reduction = batchmean", targets="shares"),
    Pair("triplet margin, whose ε torch adds to the differences",
         lambda z, y: triplet(z, y, fn.triplet_margin_loss),
         lambda z, y: triplet(z, y, optax.losses.triplet_margin_loss).mean(), "loss",
         "ε under the root", targets="numbers"),
    Pair("cosine, with 1e-12 in torch", cosine, mean(optax.cosine_distance), "loss",
         "no 1e-12 added", targets="numbers"),
    Pair("cosine, with the same 1e-12", cosine, lambda z, y: (
        1 - (z * y).sum(1) / jnp.sqrt(((z * z).sum(1) + 1e-12) * ((y * y).sum(1) + 1e-12))).mean(),
         targets="numbers"),
]  # fmt: skip
