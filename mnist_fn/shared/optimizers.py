"""The optimizers: the one table of their names, hyperparameters and slots of state.

`parity/causes/rules.py` has the rules in NumPy; `mnist_fn.training` and `torch_ref.train` make the
same of their framework's own. To add one: an entry here, one in either of those, and a test.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:  # the command's help needs the table, not NumPy
    import numpy as np

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
        slots: what it remembers of each tensor, zeros at the start: the share of a step's gradient
            (of its square in `nu`) in each.
        hyperparameters: those of HYPERPARAMETERS that it has, besides the learning rate.
        coupled: whether it takes the penalty λ Σ W², as part of its gradient.
        adaptive: whether its first step is as large for a small gradient as for a large one.
    """

    slots: Mapping[str, float]
    hyperparameters: tuple[str, ...] = ()
    coupled: bool = True
    adaptive: bool = False


HYPERPARAMETERS = {
    "weight_decay": Range(0.0, 1e6),
    "momentum": Range(0.0, 1 - 1e-6),
    "nesterov": Range(0, 1),
}


_MOMENTS = {"mu": 1 - BETA1, "nu": 1 - BETA2}
OPTIMIZERS = {
    "adam": Optimizer(_MOMENTS, adaptive=True),
    "adamw": Optimizer(_MOMENTS, ("weight_decay",), coupled=False, adaptive=True),
    "sgd": Optimizer({"mu": 1.0}, ("momentum", "nesterov")),
    "rmsprop": Optimizer({"nu": 1 - ALPHA}, adaptive=True),
}


def slots_of(config: Any) -> tuple[str, ...]:
    """Names of the slots of a run's state: plain SGD remembers nothing."""
    if config.optimizer == "sgd" and not config.momentum:
        return ()
    return tuple(OPTIMIZERS[config.optimizer].slots)


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
