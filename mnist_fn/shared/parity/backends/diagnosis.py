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

from mnist_fn.shared.parity.backends import one_pass, several_steps
from mnist_fn.shared.parity.backends.checks import Pair
from mnist_fn.shared.parity.backends.one_pass import Side
from mnist_fn.shared.parity.backends.states import (
    BackendState,
    at_boundary,
    ordinary,
    stress_states,
)
from mnist_fn.shared.parity.bounds import ROUNDED_AWAY
from mnist_fn.shared.parity.causes.explanation import Explanation
from mnist_fn.shared.parity.result import Rung, raised


@dataclass(frozen=True)
class Deviation:
    """What a side does that was not declared."""

    side: str
    state: str  # that it was seen from
    explanation: Explanation

    @property
    def sentence(self) -> str:
        """In one plain sentence."""
        place = f" from {self.state}" if self.state else ""
        return f"{self.side}{place}: {self.explanation.sentence}"


@dataclass(frozen=True)
class Diagnosis:
    """Why a ladder failed, as far as it can be said."""

    deviations: tuple[Deviation, ...]  # of a side each, or of one
    held: tuple[str, ...]  # what is as declared on both
    error: str = ""
    sought_in: str = ""  # a precision, if it is not the run's own

    @property
    def sentence(self) -> str:
        """The cause in one plain sentence, or that there is none."""
        if self.error:
            return self.error
        if not self.deviations:
            held = ", ".join(self.held)
            return f"no cause found: as declared on both sides are {held}"
        return "; ".join(deviation.sentence for deviation in self.deviations)

    @property
    def _claims(self) -> list[Explanation]:
        """The explanations that name a cause."""
        return [
            deviation.explanation for deviation in self.deviations if deviation.explanation.found
        ]

    @property
    def cause(self) -> str:
        """The cause alone: what a side does in place of what was declared; empty if unknown."""
        return "; ".join(explanation.text for explanation in self._claims)

    def shows_in(self, precision: str) -> bool:
        """Whether a cause is named whose effect is more than rounding in a lower precision."""
        share = float(np.finfo("float64").eps / np.finfo(precision).eps)
        return any(explanation.units * share > ROUNDED_AWAY for explanation in self._claims)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        deviations = []
        for deviation in self.deviations:
            explanation = deviation.explanation.to_dict()
            deviations.append({"side": deviation.side, "from": deviation.state, **explanation})
        return {
            "sentence": self.sentence,
            "cause": self.cause,
            "found": deviations,
            "held": list(self.held),
            "sought_in": self.sought_in,
        }


NOTHING = Diagnosis((), ())  # of a ladder that holds


@dataclass(frozen=True)
class Stage:
    """A part of the experiment, and how a side's is explained."""

    name: str
    explain: Callable[[Side], Explanation]
    state: str = ""  # that it starts from; "" for the ordinary start
    passes_on: bool = False  # what it can't name may be named by the next


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
        sides = [Side(pair, 0), Side(pair, 1)]
        for stage in _stages(pair, failed):
            deviations = []
            for side in sides:
                explanation = stage.explain(side)
                if not explanation.holds:
                    deviations.append(Deviation(side.backend.name, stage.state, explanation))
            if any(deviation.explanation.found for deviation in deviations):
                return Diagnosis(tuple(deviations), tuple(held))
            unnamed = unnamed or deviations
            if unnamed and not stage.passes_on:
                return Diagnosis(tuple(unnamed), tuple(held))
            if not deviations:
                held.append(f"{stage.name} from {stage.state}" if stage.state else stage.name)
    except Exception as error:  # a backend may fail in ways that the rungs did not meet
        text = f"no diagnosis: {raised(error)}"
        return Diagnosis((), tuple(held), text)
    return Diagnosis((), tuple(dict.fromkeys(held)))


def _stages(pair: Pair, failed: Rung) -> Iterator[Stage]:
    """What to look at, in the order in which it is computed, and cheap before dear: what takes
    steps is seen of a narrow network first, whose search takes a second.
    """
    pairs = [pair] if pair.narrow is None else [pair.narrow, pair]
    yield Stage("weights as loaded", one_pass.loaded)
    yield Stage("the state that is evaluated", one_pass.evaluated)
    # pixels are read through a product, so this comes before them
    yield Stage("logits", one_pass.logits, passes_on=True)
    yield Stage("pixels", one_pass.pixels, passes_on=True)
    yield Stage("labels and order", one_pass.order)
    yield Stage("loss", one_pass.losses)
    yield Stage("penalty", one_pass.penalty)
    yield _gradients(ordinary(pair))
    if pair.config.hidden:
        yield _gradients(at_boundary(pair))
    worst = failed.worst
    if worst.state:  # up to there all held
        yield from _stressed(pairs, worst.state)
    if worst.step:
        for sized in pairs:
            explain = partial(several_steps.late, pair=sized, step=worst.step)
            yield Stage("steps", explain, f"step {worst.step}")
    for sized in pairs:
        late = "a state as after 1,000 steps"
        yield Stage("steps", partial(several_steps.steps, pair=sized))
        yield Stage("steps", partial(several_steps.resumed, pair=sized), late)
        yield Stage("epoch", partial(several_steps.epoch, pair=sized))
        yield Stage("report", partial(several_steps.report, pair=sized))
    yield Stage("logits after a training", several_steps.predictions)
    yield from _stressed(pairs)


def _gradients(state: BackendState) -> Stage:
    return Stage("gradients", partial(one_pass.gradients_of, state=state), state.name)


def _stressed(pairs: list[Pair], wanted: str = "") -> Iterator[Stage]:
    """The gradients in a stress state, and steps from there in each of some networks; or those of
    all stress states, with the steps of the first network alone.
    """
    networks = []
    for sized in pairs:
        grads = sized.declared.gradients(sized.start, sized.first_batch)
        networks.append(stress_states(sized, grads))
    for sizes in zip(*networks, strict=True):
        *_, state = sizes
        if wanted in ("", state.name):
            yield _gradients(state)
            for sized, sized_state in zip(pairs, sizes if wanted else sizes[:1], strict=False):
                explain = partial(several_steps.stressed, pair=sized, state=sized_state)
                yield Stage("steps", explain, state.name)
