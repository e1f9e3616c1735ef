"""Why two backends part: each side, stage by stage, against the declared experiment in NumPy.

The ladder says where; this says which side is not as declared, and by which change to what was
declared its figures are reproduced. Stages go upwards, so that the first which doesn't hold is the
cause and what stands above it the consequences.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from mnist_fn.shared.parity.backends import states
from mnist_fn.shared.parity.backends.checks import Pair
from mnist_fn.shared.parity.backends.stages import epochs, gradients, inputs, logits, losses, steps
from mnist_fn.shared.parity.backends.stages.implementation import Implementation
from mnist_fn.shared.parity.bounds import ROUNDED_AWAY
from mnist_fn.shared.parity.causes.explanation import Explanation
from mnist_fn.shared.parity.result import Rung, raised
from mnist_fn.shared.state import ParamTree

# what is read through a product may be wrong for the product's sake, which the logits show
PASSED_ON = ("pixels", "labels and order")
# what fails there shows before any step is taken
ONE_PASS = ("inputs", "outputs", "loss", "gradients", "ReLU at 0")
# Units of a hidden layer and batches of a dataset, for a diagnosis of the steps; all of them where
# few show nothing.
NARROW, BATCHES = 16, 8


@dataclass(frozen=True)
class Deviation:
    """What a side does that was not declared."""

    side: str
    at: str  # the state it was seen from
    explanation: Explanation

    @property
    def sentence(self) -> str:
        """In one plain sentence."""
        place = f" from {self.at}" if self.at else ""
        return f"{self.side}{place}: {self.explanation.sentence}"


@dataclass(frozen=True)
class Diagnosis:
    """Why a ladder failed, as far as it can be said."""

    found: tuple[Deviation, ...]  # a side each, or one
    held: tuple[str, ...]  # what is as declared on both
    error: str = ""
    sought_in: str = ""  # a precision, if it is not the run's own

    @property
    def sentence(self) -> str:
        """The cause in one plain sentence, or that there is none."""
        if self.error:
            return self.error
        if not self.found:
            held = ", ".join(self.held)
            return f"no cause found: as declared on both sides are {held}"
        return "; ".join(finding.sentence for finding in self.found)

    @property
    def cause(self) -> str:
        """The cause alone: what a side does in place of what was declared; empty if unknown."""
        return "; ".join(
            finding.explanation.text for finding in self.found if finding.explanation.found
        )

    def shows_in(self, precision: str) -> bool:
        """Whether a cause is named whose effect is more than rounding in a lower precision: what
        that rounds away is no fault of a run in it.
        """
        share = float(np.finfo("float64").eps / np.finfo(precision).eps)
        return any(
            finding.explanation.found and finding.explanation.units * share > ROUNDED_AWAY
            for finding in self.found
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "sentence": self.sentence,
            "cause": self.cause,
            "found": [
                {"side": finding.side, "from": finding.at, **finding.explanation.to_dict()}
                for finding in self.found
            ],
            "held": list(self.held),
            "sought_in": self.sought_in,
        }


NOTHING = Diagnosis((), ())  # of a ladder that holds
Stage = tuple[
    str, str, Callable[[Implementation], Explanation]
]  # name, the state it starts from, what to do


def explain(pair: Pair, failed: Rung, in_float64: Diagnosis | None = None) -> Diagnosis:
    """The cause of a failed rung.

    What differs in a lower precision is looked for in float64 first, where a difference stands out
    from rounding; in its own where the backends have no float64, or nothing is found there.

    Args:
        pair: the two backends and the experiment.
        failed: the rung that the ladder ended with.
        in_float64: what was found of the same experiment in float64, if it was climbed before.
    """
    if failed.traceback or failed.worst.kind == "contract":
        return Diagnosis((), (), "; ".join(check.what for check in failed.failed))
    precision = pair.config.precision
    if precision != "float64":
        wide = replace(pair, config=pair.config.replace(precision="float64"))
        in_float64 = in_float64 or _diagnose(wide, failed)
        if in_float64.shows_in(precision):
            return replace(in_float64, sought_in="float64")
    return _diagnose(pair, failed)


def _diagnose(pair: Pair, failed: Rung) -> Diagnosis:
    """The first stage at which a backend is not as declared; some seconds long."""
    held: list[str] = []
    unnamed: list[Deviation] = []  # of a stage that the next one may name
    try:
        sides = [Implementation(pair, i, backend) for i, backend in enumerate(pair.make())]
        for name, place, stage in _stages(pair, failed):
            parting = []
            for side in sides:
                explanation = stage(side)
                if not explanation.holds:
                    parting.append(Deviation(side.name, place, explanation))
            if any(finding.explanation.found for finding in parting):
                return Diagnosis(tuple(parting), tuple(held))
            if parting and (unnamed or name not in PASSED_ON):
                return Diagnosis(tuple(unnamed or parting), tuple(held))
            if parting:
                unnamed = parting
                continue
            held.append(f"{name} from {place}" if place else name)
    except Exception as error:  # a backend may fail in ways that the rungs did not meet
        text = f"no diagnosis: {raised(error)}"
        return Diagnosis((), tuple(held), text)
    return Diagnosis(tuple(unnamed), tuple(dict.fromkeys(held)))


def _stages(pair: Pair, failed: Rung) -> Iterator[Stage]:
    """What to look at, in the order in which it is computed, and cheap before dear: what takes
    steps is seen of a narrow network first, whose search takes a second.
    """
    narrow = _narrower(pair)
    pairs = [pair] if narrow is None else [narrow, pair]
    yield "weights as loaded", "", inputs.loaded
    yield "the state that is evaluated", "", inputs.evaluated
    yield "pixels", "", inputs.pixels
    yield "labels and order", "", inputs.order
    yield "logits", "", logits.logits
    yield "loss", "", losses.losses
    yield "penalty", "", losses.penalty
    for stress in (
        states.StressState("", pair.start, states.first_batch(pair)),
        *gradients.boundary_states(pair),
    ):
        yield "gradients", stress.name, partial(gradients.gradients, stress=stress)
    if failed.name == "stress states":  # up to there all held
        yield from _stressed(pair, pairs, lambda name: name == failed.worst.state)
    if failed.name == "trajectory" and (step := failed.worst.step):
        for sized in pairs:
            yield "steps", f"step {step}", partial(steps.late, pair=sized, step=step)
    for sized in pairs:
        yield "steps", "", partial(steps.steps, pair=sized)
        yield "steps", "a state as after 1,000 steps", partial(steps.resumed, pair=sized)
        yield "epoch", "", partial(epochs.epoch, pair=sized)
        yield "report", "", partial(epochs.report, pair=sized)
    yield "logits after a training", "", epochs.predictions
    if failed.name not in ONE_PASS:
        yield from _stressed(pair, pairs[:1], lambda _: True)


def _stressed(pair: Pair, pairs: list[Pair], wanted: Callable[[str], bool]) -> Iterator[Stage]:
    """The gradients in some stress states, and steps from them in each of some networks."""
    stresses, *sized_stresses = [
        {
            stress.name: stress
            for stress in states.stress_states(sized, sized.start, _start_gradients(sized))
        }
        for sized in (pair, *pairs)
    ]
    for name in filter(wanted, stresses):
        yield "gradients", name, partial(gradients.gradients, stress=stresses[name])
        for sized, states_here in zip(pairs, sized_stresses, strict=True):
            yield "steps", name, partial(steps.stressed, pair=sized, stress=states_here[name])


def _start_gradients(pair: Pair) -> ParamTree:
    return gradients.reference_gradients(pair, pair.start, states.first_batch(pair))


def _narrower(pair: Pair) -> Pair | None:
    """The experiment with few units and few examples; None if it has few units."""
    hidden = tuple(min(width, NARROW) for width in pair.config.hidden)
    if hidden == pair.config.hidden:
        return None
    small = replace(pair.dataset, train=pair.dataset.train.first(BATCHES * pair.config.batch_size))
    return replace(pair, config=pair.config.replace(hidden=hidden), dataset=small)
