"""The ladder: two backends in, a verdict per rung out.

Each rung rests on those below it, so the first that fails says where a port goes wrong:
inputs, logits, loss, gradients, one optimizer step, all of these from states that wake what sleeps
at an ordinary start, trajectory, predictions.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from mnist_fn.shared.backend import Backend
from mnist_fn.shared.parity.backends import rungs, states
from mnist_fn.shared.parity.backends.checks import Pair
from mnist_fn.shared.parity.backends.contract import breaches
from mnist_fn.shared.parity.backends.diagnosis import Diagnosis, diagnose
from mnist_fn.shared.parity.backends.trajectory import Trajectory
from mnist_fn.shared.parity.result import Check, Rung, run_rung

__all__ = ["Check", "Pair", "Rung", "RUNGS", "climb", "why"]

RUNGS = (
    "inputs",
    "logits",
    "loss",
    "gradients",
    "step",
    "stress states",
    "trajectory",
    "predictions",
)


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
    checked = _checks(pair, steps)
    for name in names:
        rung = run_rung(name, partial(checked, name), pair.names)
        yield rung
        if not rung.passed:
            return


def why(pair: Pair, failed: Rung, in_float64: Diagnosis | None = None) -> Diagnosis:
    """The cause of a failed rung, and the rung above it, climbed once more for what it shows.

    What parts in a lower precision is looked for in float64 first, where a difference stands out
    from rounding; in its own where the backends have no float64, or nothing is found there.

    Args:
        pair: the two backends and the experiment.
        failed: the rung that the ladder ended with.
        in_float64: what was found of the same experiment in float64, if it was looked for before.

    Raises:
        InputError: as `climb`.
    """
    next_rungs = RUNGS[RUNGS.index(failed.name) + 1 :][:1] if failed.name in RUNGS else ()
    checked = _checks(pair, 0)
    following = None
    if next_rungs and next_rungs[0] not in ("trajectory", "predictions"):
        following = run_rung(next_rungs[0], partial(checked, next_rungs[0]), pair.names)
    if pair.config.precision != "float64":
        wide = replace(pair, config=pair.config.replace(precision="float64"))
        wide_diagnosis = diagnose(wide, failed) if in_float64 is None else in_float64
        # what is rounded to float32 is no fault of a run in it
        if wide_diagnosis.cause and "float32" not in wide_diagnosis.cause:
            return replace(wide_diagnosis, next_rung=following, sought_in="float64")
    return diagnose(pair, failed, following)


def _checks(pair: Pair, steps: int) -> Callable[[str], list[Check]]:
    """What makes a rung's checks, by its name; the backends are made with the first."""
    backends: list[Backend] = []
    start = pair.start
    trained = Trajectory(pair, backends, steps)
    checks: dict[str, Callable[[], list[Check]]] = {
        "inputs": lambda: rungs.inputs(pair, backends, start),
        "logits": lambda: rungs.logits(pair, backends, start),
        "loss": lambda: rungs.loss(pair, backends, start),
        "gradients": lambda: rungs.gradients(pair, backends, start),
        "step": lambda: rungs.step(pair, backends, start),
        "stress states": lambda: states.rung(pair, backends, start),
        "trajectory": trained.weights,
        "predictions": trained.predictions,
    }

    def checked(name: str) -> list[Check]:
        if not backends:
            backends.extend(pair.make())
            if broken := breaches(backends, start):
                return broken
        return checks[name]()

    return checked
