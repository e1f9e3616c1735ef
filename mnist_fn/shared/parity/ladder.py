"""The ladder: two backends in, a verdict per rung out.

Each rung rests on those below it, so the first that fails says where a port goes wrong:
inputs, logits, loss, gradients, one optimizer step, trajectory, predictions.
"""

from collections.abc import Callable, Iterator
from functools import partial

from mnist_fn.shared.backend import Backend
from mnist_fn.shared.parity import rungs
from mnist_fn.shared.parity.checks import Check, Pair, Rung, run_rung
from mnist_fn.shared.parity.trajectory import Trajectory

__all__ = ["Check", "Pair", "Rung", "RUNGS", "climb"]

RUNGS = ("inputs", "logits", "loss", "gradients", "step", "trajectory", "predictions")


def climb(pair: Pair, names: tuple[str, ...] = RUNGS, steps: int = 300) -> Iterator[Rung]:
    """The rungs in turn; ends after the first that fails.

    A backend that raises fails its rung with what it said, one that can't be made the first.

    Args:
        pair: the two backends and the experiment.
        names: which rungs, `predictions` only after `trajectory`.
        steps: length of the trajectory, in batches.

    Raises:
        InputError: a backend doesn't have the device or the precision.
    """
    backends: list[Backend] = []
    start = pair.start
    trained = Trajectory(pair, backends, steps)
    checks: dict[str, Callable[[], list[Check]]] = {
        "inputs": lambda: rungs.inputs(pair, backends, start),
        "logits": lambda: rungs.logits(pair, backends, start),
        "loss": lambda: rungs.loss(pair, backends, start),
        "gradients": lambda: rungs.gradients(pair, backends, start),
        "step": lambda: rungs.step(pair, backends, start),
        "trajectory": trained.weights,
        "predictions": trained.predictions,
    }

    def checked(name: str) -> list[Check]:
        if not backends:
            backends.extend(pair.make())
        return checks[name]()

    for name in names:
        rung = run_rung(name, partial(checked, name))
        yield rung
        if not rung.passed:
            return
