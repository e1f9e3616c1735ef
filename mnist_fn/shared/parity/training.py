"""Two trainings from one start on the same batches, step by step, and controls where needed."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from mnist_fn.shared.parity.averages import Averages
from mnist_fn.shared.parity.bounds import (
    ALONG_TRAINING,
    CONTROL_RUNS,
    SMALLEST_WEIGHT,
    sum_bound,
    sums_reason,
)
from mnist_fn.shared.parity.causes.distance import largest_entry, largest_of_all
from mnist_fn.shared.parity.compare import compare
from mnist_fn.shared.parity.ladder_state import LadderState, held_to_runs
from mnist_fn.shared.parity.program import Batch, Step, Tensors, nudged
from mnist_fn.shared.parity.result import Check, failures
from mnist_fn.shared.parity.rounding import Lanes, Largest, Spread, single_batch

TRAINED = "a buffer in the reference, which the port trains"
SHADOW = ", of the reference's step on the port's own gradients"


class Training:
    """The reference's training and the port's, advanced together."""

    def __init__(self, state: LadderState, batches: list[Batch]) -> None:
        self.state, self.batches = state, [state.batch, *batches[1:]]
        self.averages = Averages(state)
        self.last: Step | None = None  # the reference's, and the one before it
        self.before: Step | None = None
        self.done, self._until = 0, 1  # steps; as many are to be done
        self._both = self._start()
        self._float32 = Spread(partial(_in_float32, state, self.batches))
        self._control = Spread(partial(_controls, state, self.batches))
        self._shadow = _shadow_steps(state, self.batches)
        self._shadowed = 0  # steps that it has done
        self._shadow_now: Step | None = None
        self.note = ""  # what was taken out of the reference's training

    def _start(self) -> Iterator[tuple[Step, Step]]:
        pairing, weights = self.state.pairing, self.state.weights
        ours = pairing.reference.train(weights, itertools.cycle(self.batches))
        theirs = pairing.translated.train(weights, itertools.cycle(self.batches))
        return map(_step_of_both, ours, theirs)

    def restarted(self) -> "Training":
        """The same from its start again, before a step is made."""
        training = Training(self.state, self.batches)
        training.note = self.note
        return training

    def _advance(self) -> tuple[Step, Step] | None:
        pair = next(self._both, None)
        if pair is None:
            return None
        batch = self.batches[self.done % len(self.batches)]
        self.done += 1
        ours, theirs = pair[0].without_gradients(), pair[1].without_gradients()
        recorded = self.state.pairing.port.recorded  # a recording knows its own alone
        self.before, self.last = self.last, theirs if recorded else ours
        self.averages.step(
            self.done, ours.buffers, theirs.buffers, batch.examples, self.buffer_spreads
        )
        return ours, theirs

    def first(self) -> list[Check]:
        """The weights after one step."""
        pair = self._advance()
        if pair is None:
            return []
        return self._compare(pair, 1)

    def on_to(self, steps: int) -> list[Check]:
        """Of each tensor the step at which it came nearest to its bound, or the first out of it."""
        self._until = steps
        nearest: dict[int, Check] = {}  # by the place of its tensor
        if not self.done:
            self._advance()
        while self.done < steps:
            pair = self._advance()
            if pair is None:
                break
            checks = self._compare(pair, ALONG_TRAINING)
            del pair  # before the next is made
            if failures(checks):
                return checks
            for i, check in enumerate(checks):
                if i not in nearest or check.share > nearest[i].share:
                    nearest[i] = check
        return list(nearest.values())

    def steps(self, steps: int) -> list[tuple[Step, Step]]:
        """The first steps of both, trained again: none is kept while programs agree."""
        return list(itertools.islice(self._start(), steps))

    def _compare(self, pair: tuple[Step, Step], times: int) -> list[Check]:
        ours, theirs = pair
        terms, checks = self.state.lengths.all, []
        share = times * sum_bound(terms, self.state.dtype)
        reason = sums_reason(terms) + (f", times {times} along a training" if times > 1 else "")
        tensors = dict(ours.params)
        for partner in self.state.pairing.param_map.fixed:
            tensors[f"{partner.name}, {TRAINED}"] = ours.buffers[partner.name]
        for name, expected in tensors.items():
            actual = theirs.params.get(name.removesuffix(f", {TRAINED}"), np.zeros(0))
            actual = actual.astype(expected.dtype) if actual.size else actual
            prefix = f"{self.state.name}: " if self.state.name else ""
            what = f"{prefix}step {self.done}: {name}"
            size = max(SMALLEST_WEIGHT, largest_entry(expected))
            check = Check(what, compare(what, expected, actual), share * size, "absolute", reason)
            if not check.passed:
                check = self._beside_shadow(check, name, actual)
            checks.append(
                held_to_runs(
                    check,
                    size if self.state.dtype == "float64" else np.inf,
                    lambda name=name: self._spread(self._float32)[0].get(name, 0.0),
                    lambda: max(self._spread(self._control)[0].values(), default=0.0),
                )
            )
        return checks

    def _beside_shadow(self, check: Check, name: str, theirs: np.ndarray) -> Check:
        """The port's tensor beside what the reference's rule makes of the port's own gradients,
        which tells an optimizer that turns a gradient next to 0 into a whole step. The check as it
        is, where that isn't within the bound either.
        """
        shadow = self._shadow_step()
        if shadow is None or name not in shadow.params:
            return check
        difference = compare(check.what, shadow.params[name], theirs)
        beside = replace(check, difference=difference, reason=check.reason + SHADOW)
        return beside if beside.passed else check

    def _shadow_step(self) -> Step | None:
        """The step of `_shadow_steps` that belongs to the last; None where these have ended."""
        while self._shadowed < self.done:
            self._shadow_now = next(self._shadow, None)
            self._shadowed += 1
        return self._shadow_now

    def buffer_spreads(self, name: str) -> tuple[Callable[[], float], Callable[[], float]]:
        """How far a buffer is from itself in float32, and any buffer of a control run, so far."""
        return (
            lambda: self._spread(self._float32)[1].get(name, 0.0),
            lambda: max(self._spread(self._control)[1].values(), default=0.0),
        )

    def _spread(self, runs: Spread) -> tuple[Largest, Largest]:
        return runs.after(self.done, self._until)


# Where zip or a loop would hold the last steps of both while the next are made, map holds none.
def _step_of_both(ours: Step, theirs: Step) -> tuple[Step, Step]:
    return ours, theirs


# Not methods: a training that held itself would outlive its use, with all of its tensors.
def _in_float32(state: LadderState, batches: list[Batch]) -> Iterator[Lanes]:
    program = state.pairing.rerun
    if program is None or state.dtype != "float64":
        return
    single = map(single_batch, itertools.cycle(batches))
    yield (
        program.train(state.weights, itertools.cycle(batches)),
        program.train(state.weights.cast("float32"), single),
    )


def _controls(state: LadderState, batches: list[Batch]) -> Iterator[Lanes]:
    program = state.pairing.rerun
    if program is None:
        return
    for draw in range(CONTROL_RUNS):
        turns = itertools.cycle(batches)
        yield (
            program.train(state.weights, itertools.cycle(batches)),
            program.train(
                state.weights.nudged(draw), turns, lambda p, i, draw=draw: nudged(p, draw, i)
            ),
        )


def _shadow_steps(state: LadderState, batches: list[Batch]) -> Iterator[Step | None]:
    """The reference's steps on the port's gradients, to the first at which these, at the port's
    own weights, are not the reference's.
    """
    pairing, weights = state.pairing, state.weights
    if pairing.reference.recorded or pairing.port.recorded:
        return
    taken: list[Tensors] = []  # the gradients of the port's step that the shadow follows

    def gradients(step: Step) -> Tensors:
        taken.append(step.gradients)
        return step.gradients

    def checked(number: int, step: Step) -> Step | None:
        port_gradients = taken.pop()
        if number > 0 and not _same_gradients(state, step.gradients, port_gradients):
            return None  # those of the first step have been compared
        return step.without_gradients()

    port_steps = pairing.translated.train(weights, itertools.cycle(batches))
    shadow = pairing.reference.train(
        weights, itertools.cycle(batches), gradients=map(gradients, port_steps)
    )
    steps = map(checked, itertools.count(), shadow)
    yield from itertools.takewhile(lambda step: step is not None, steps)


def _same_gradients(state: LadderState, expected: Tensors, actual: Tensors) -> bool:
    share = ALONG_TRAINING * sum_bound(state.lengths.all, state.dtype)
    most = largest_of_all(expected.values())
    for name, gradient in expected.items():
        if name not in actual or actual[name].shape != gradient.shape:
            return False
        size = largest_entry(gradient)
        size = size if size > share * most else most
        if not largest_entry(actual[name] - gradient) <= share * size:
            return False
    return True


def compared(
    training: Training, compare: Callable[[Training], list[Check]]
) -> tuple[Training, list[Check]]:
    """A training and its checks. Where they fail, those of one without what a framework adds of its
    own, such as the 1e-6 of clip_grad_norm_, if fewer tensors differ so: what is left is another
    difference. That training has a note.
    """
    checks = compare(training)
    if training.note or not failures(checks):
        return training, checks
    stripped = training.state.pairing.reference.without_extras()
    if stripped is None:
        return training, checks
    program, note = stripped
    pairing = replace(training.state.pairing, reference=program)
    plain = Training(replace(training.state, pairing=pairing), training.batches)
    plain.note = note
    repeated = compare(plain)
    if len(failures(repeated)) >= len(failures(checks)):
        return training, checks
    return plain, repeated
