"""Why two backends part: each side, stage by stage, against the declared experiment in NumPy.

The ladder says where; this says which side is not as declared, and by which change to what was
declared its figures are reproduced. Stages go upwards, so that the first which doesn't hold is the
cause and what stands above it the consequences.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from mnist_fn.shared.parity import probes, stages, training_stages
from mnist_fn.shared.parity.causes.explanation import Explanation
from mnist_fn.shared.parity.checks import Pair, Rung, raised
from mnist_fn.shared.parity.contract import REASON
from mnist_fn.shared.parity.stages import Side

# what is read through a product may be wrong for the product's sake, which the logits show
PASSED_ON = ("pixels", "labels and order")
NARROW = 16  # units of a hidden layer, for a diagnosis of the steps; wider where it takes width


@dataclass(frozen=True)
class Found:
    """What a side does that was not declared."""

    side: str
    at: str  # the state it was seen from
    explanation: Explanation

    @property
    def sentence(self) -> str:
        """In one plain sentence."""
        at = f" from {self.at}" if self.at else ""
        return f"{self.side}{at}: {self.explanation.sentence}"


@dataclass(frozen=True)
class Diagnosis:
    """Why a ladder failed, as far as it can be said."""

    found: tuple[Found, ...]  # a side each, or one
    held: tuple[str, ...]  # what is as declared on both
    next_rung: Rung | None  # the one above the failed one, climbed once more
    error: str = ""

    @property
    def sentence(self) -> str:
        """The cause in one plain sentence, or that there is none."""
        if self.error:
            return self.error
        if not self.found:
            held = ", ".join(self.held)
            return f"no cause found: as declared on both sides are {held}"
        return "; ".join(one.sentence for one in self.found)

    @property
    def cause(self) -> str:
        """The cause alone: what a side does in place of what was declared; empty if unknown."""
        return "; ".join(one.explanation.text for one in self.found if one.explanation.found)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "sentence": self.sentence,
            "cause": self.cause,
            "found": [
                {"side": one.side, "from": one.at, **one.explanation.to_dict()}
                for one in self.found
            ],
            "held": list(self.held),
            "next_rung": self.next_rung.to_dict() if self.next_rung else None,
        }


Stage = tuple[str, str, Callable[[Side], Explanation]]  # name, the state it starts from, what to do


def diagnose(pair: Pair, failed: Rung, following: Rung | None = None) -> Diagnosis:
    """Look for the cause of a failed rung, some seconds long.

    Args:
        pair: the two backends and the experiment.
        failed: the rung that the ladder ended with.
        following: the rung above it, for what it adds.
    """
    if failed.traceback or failed.worst.reason == REASON:
        return Diagnosis((), (), None, "; ".join(check.what for check in failed.failed))
    held: list[str] = []
    unnamed: list[Found] = []  # of a stage that the next one may name
    try:
        sides = [Side(pair, i, backend) for i, backend in enumerate(pair.make())]
        for name, at, stage in _stages(pair, failed):
            found = []
            for side in sides:
                explanation = stage(side)
                if not explanation.holds:
                    found.append(Found(side.name, at, explanation))
            if any(one.explanation.found for one in found):
                return Diagnosis(tuple(found), tuple(held), following)
            if found and (unnamed or name not in PASSED_ON):
                return Diagnosis(tuple(unnamed or found), tuple(held), following)
            if found:
                unnamed = found
                continue
            held.append(f"{name} from {at}" if at else name)
    except Exception as error:  # a backend may fail in ways that the rungs did not meet
        text = f"no diagnosis: {raised(error)}"
        return Diagnosis((), tuple(held), following, text)
    return Diagnosis(tuple(unnamed), tuple(dict.fromkeys(held)), following)


def _stages(pair: Pair, failed: Rung) -> Iterator[Stage]:
    start = probes.Probe("", pair.start, probes.first_batch(pair))
    yield "weights as loaded", "", stages.loaded
    yield "the state that is evaluated", "", stages.evaluated
    yield "pixels", "", stages.pixels
    yield "labels and order", "", stages.order
    yield "logits", "", stages.logits
    yield "loss", "", stages.losses
    yield "penalty", "", stages.penalty
    for probe in (start, *stages.kinked(pair)):
        yield "gradients", probe.name, partial(stages.gradients, probe=probe)
    if failed.name == "trajectory" and (at := training_stages.located(failed)):
        yield "steps", f"step {at}", partial(training_stages.late, step=at)
    narrow = _narrower(pair)
    for one in [pair] if narrow is None else [narrow, pair]:
        yield "steps", "", partial(training_stages.steps, pair=one)
        yield "steps", "a state as after 1,000 steps", partial(training_stages.resumed, pair=one)
        yield "epoch", "", partial(training_stages.epoch, pair=one)
        yield "report", "", partial(training_stages.report, pair=one)
    yield "logits after a training", "", training_stages.predictions
    if failed.name not in ("inputs", "logits", "loss", "gradients"):
        grads = stages.reference_gradients(pair, start.state, start.batch)
        for probe in probes.probes(pair, start.state, grads):
            yield "gradients", probe.name, partial(stages.gradients, probe=probe)
            yield "steps", probe.name, partial(training_stages.probed, probe=probe)


def _narrower(pair: Pair) -> Pair | None:
    """The experiment with few units, so that a diagnosis takes seconds; None if it has few."""
    hidden = tuple(min(width, NARROW) for width in pair.config.hidden)
    if hidden == pair.config.hidden:
        return None
    return replace(pair, config=pair.config.replace(hidden=hidden))
