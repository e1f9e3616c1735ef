"""The optimizers: the one table of their names, hyperparameters, slots of state and rules.

A rule is written in NumPy, for one tensor; `mnist_fn.training` and `torch_ref.train` make the same
of their framework's own. To add one: an entry here, one in either of those, and a test.

Sources: SGD with momentum and Nesterov's as in torch.optim.SGD (Sutskever et al., 2013); RMSprop
(Hinton, lecture 6e); Adam (Kingma and Ba, 2015, algorithm 1); AdamW (Loshchilov and Hutter, 2019).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:  # the command's help needs the table, not NumPy
    import numpy as np

Slots = Mapping[str, "np.ndarray"]

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8  # Adam's; ε is RMSprop's too
ALPHA = 0.99  # of RMSprop's average, PyTorch's default; optax's is 0.9
SCHEDULES = ("constant", "cosine", "linear-warmup-cosine")


class Range(NamedTuple):
    """Bounds of a number, both allowed."""

    low: float
    high: float


@dataclass(frozen=True)
class Optimizer:
    """An optimizer.

    Attributes:
        direction: `(g, slots, t, hyper)` to what is subtracted, times the learning rate, from the
            weights, and the slots after the step: g is the gradient with the penalty's 2λW in it,
            t the number of the step from 1, `hyper` has the hyperparameters as attributes.
        slots: what it remembers of each tensor, zeros at the start: the share of a step's gradient
            (of its square in `nu`) in each.
        hyperparameters: those of HYPERPARAMETERS that it has, besides the learning rate.
        coupled: whether it takes the penalty λ Σ W², as part of its gradient.
        adaptive: whether its first step is as large for a small gradient as for a large one.
    """

    direction: Callable[["np.ndarray", Slots, int, Any], tuple["np.ndarray", Slots]]
    slots: Mapping[str, float]
    hyperparameters: tuple[str, ...] = ()
    coupled: bool = True
    adaptive: bool = False


HYPERPARAMETERS = {
    "weight_decay": Range(0.0, 1e6),
    "momentum": Range(0.0, 1 - 1e-6),
    "nesterov": Range(0, 1),
}


def _adam(g: "np.ndarray", slots: Slots, t: int, hyper: Any) -> tuple["np.ndarray", Slots]:
    mu = BETA1 * slots["mu"] + (1 - BETA1) * g
    nu = BETA2 * slots["nu"] + (1 - BETA2) * g * g
    unbiased = mu / (1 - BETA1**t), nu / (1 - BETA2**t)
    return unbiased[0] / (unbiased[1] ** 0.5 + EPS), {"mu": mu, "nu": nu}


def _sgd(g: "np.ndarray", slots: Slots, t: int, hyper: Any) -> tuple["np.ndarray", Slots]:
    if not hyper.momentum:
        return g, {}
    mu = hyper.momentum * slots["mu"] + g
    return (g + hyper.momentum * mu if hyper.nesterov else mu), {"mu": mu}


def _rmsprop(g: "np.ndarray", slots: Slots, t: int, hyper: Any) -> tuple["np.ndarray", Slots]:
    nu = ALPHA * slots["nu"] + (1 - ALPHA) * g * g
    return g / (nu**0.5 + EPS), {"nu": nu}


_MOMENTS = {"mu": 1 - BETA1, "nu": 1 - BETA2}
OPTIMIZERS = {
    "adam": Optimizer(_adam, _MOMENTS, adaptive=True),
    "adamw": Optimizer(_adam, _MOMENTS, ("weight_decay",), coupled=False, adaptive=True),
    "sgd": Optimizer(_sgd, {"mu": 1.0}, ("momentum", "nesterov")),
    "rmsprop": Optimizer(_rmsprop, {"nu": 1 - ALPHA}, adaptive=True),
}


def slots_of(config: Any) -> tuple[str, ...]:
    """Names of the slots of a run's state: plain SGD remembers nothing."""
    if config.optimizer == "sgd" and not config.momentum:
        return ()
    return tuple(OPTIMIZERS[config.optimizer].slots)


def updated(
    config: Any,
    weight: "np.ndarray",
    g: "np.ndarray",
    slots: Slots,
    t: int,
    rate: float,
    decays: bool,
) -> tuple["np.ndarray", Slots]:
    """A tensor and its slots after one step.

    Args:
        config: the optimizer and its hyperparameters.
        weight: before the step.
        g: its gradient, the penalty's included.
        slots: before the step.
        t: the number of the step, from 1.
        rate: the learning rate of this step.
        decays: whether decoupled weight decay is for this tensor.
    """
    direction, next_slots = OPTIMIZERS[config.optimizer].direction(g, slots, t, config)
    decay = config.weight_decay if decays else 0.0
    return weight - rate * (direction + decay * weight), next_slots


def learning_rates(config: Any, first: int, count: int, steps_an_epoch: int) -> "np.ndarray":
    """The learning rate of `count` steps, float64, for every backend.

    Cosine: ½ (1 + cos πp) of the configured rate, p the share of the run's steps that are done
    (Loshchilov and Hutter, 2017, without restarts; torch's CosineAnnealingLR). With a warmup of w
    steps the first are 1/w, 2/w, … 1 of it, and p is a share of the steps after these.

    Args:
        config: learning rate, schedule, warmup and epochs.
        first: steps done before.
        count: of steps.
        steps_an_epoch: of the whole run.
    """
    import numpy as np

    done = first + np.arange(count, dtype=np.float64)
    if config.schedule == "constant":
        return np.full(count, config.learning_rate)
    decay_steps = max(1, config.epochs * steps_an_epoch - config.warmup)
    share = np.clip((done - config.warmup) / decay_steps, 0.0, 1.0)
    factor = 0.5 * (1 + np.cos(math.pi * share))
    if config.warmup:
        factor = np.where(done < config.warmup, (done + 1) / config.warmup, factor)
    return config.learning_rate * factor
