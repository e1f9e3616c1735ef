"""Two trainings from one start on the same batches, step by step, and controls where needed."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from mnist_fn.shared.parity.averages import Averages
from mnist_fn.shared.parity.bounds import (
    ALONG_TRAINING,
    CONTROL_RUNS,
    SMALLEST_WEIGHT,
    sum_bound,
    sums_reason,
)
from mnist_fn.shared.parity.compare import compare
from mnist_fn.shared.parity.ladder_state import LadderState, held_to_runs
from mnist_fn.shared.parity.program import Batch, Program, Step, Weights, nudged
from mnist_fn.shared.parity.result import Check
from mnist_fn.shared.parity.rounding import Spread, single_batch, single_weights

KEPT = 6  # steps whose gradients are kept for a diagnosis


class Training:
    """The reference's training and the port's, advanced together."""

    def __init__(self, state: LadderState, batches: list[Batch]) -> None:
        self.state, self._batches = state, [state.batch, *batches[1:]]
        self.averages = Averages(state)
        self.last: Step | None = None  # the reference's, and the one before it
        self.before: Step | None = None
        self._kept: list[tuple[Step, Step]] = []
        self.done = 0
        self._both = self._start()
        self._float32 = Spread(self._lanes_in_float32())
        self._control = Spread(self._control_lanes())
        self.note = ""  # what was taken out of the reference's training

    def _start(self) -> Iterator[tuple[Step, Step]]:
        pairing, weights = self.state.pairing, self.state.weights
        ours = pairing.reference.train(weights, self._turns())
        theirs = pairing.port.train(
            pairing.param_map.to_port(weights, pairing.like), map(pairing.move, self._turns())
        )
        for one, two in zip(ours, theirs, strict=False):
            back = pairing.param_map.to_reference
            yield (
                one,
                Step(back(two.params), back(two.buffers, True), back(two.gradients), two.loss),
            )

    def _turns(self) -> Iterator[Batch]:
        return itertools.cycle(self._batches)

    def _advance(self) -> tuple[Step, Step] | None:
        both = next(self._both, None)
        if both is None:
            return None
        batch = self._batches[self.done % len(self._batches)]
        self.done += 1
        if len(self._kept) < KEPT:
            self._kept.append(both)
        recorded = getattr(self.state.pairing.port, "recorded", False)
        self.before, self.last = self.last, both[recorded]  # a recording knows its own alone
        self.averages.step(self.done, both[0].buffers, both[1].buffers, batch.examples, self)
        return both

    def first(self) -> list[Check]:
        """The weights after one step."""
        both = self._advance()
        if both is None:
            return []
        return self._without_extras(self._compare(both, 1), "first")

    def on_to(self, steps: int) -> list[Check]:
        """Of each tensor the step at which it came nearest to its bound, or the first out of it."""
        nearest: dict[str, Check] = {}
        while self.done < steps:
            both = self._advance()
            if both is None:
                break
            checks = self._compare(both, ALONG_TRAINING)
            if not all(check.passed for check in checks):
                return self._without_extras(checks, "on_to", steps)
            for name, check in zip(both[0].params, checks, strict=True):
                if name not in nearest or check.share > nearest[name].share:
                    nearest[name] = check
        return list(nearest.values())

    def _without_extras(self, checks: list[Check], again: str, *steps: int) -> list[Check]:
        """Once more with what a framework adds of its own taken out, where the reference does so;
        if that is all that parted, it is said in a note.
        """
        reference = self.state.pairing.reference
        without_extras = getattr(reference, "without_extras", None)
        found = without_extras() if without_extras is not None else None
        if found is None or self.note or all(check.passed for check in checks):
            return checks
        program, why = found
        pairing = replace(self.state.pairing, reference=program)
        other = Training(replace(self.state, pairing=pairing), self._batches)
        other.note = why
        if again == "on_to":
            other.first()
        passed = getattr(other, again)(*steps)
        if not all(check.passed for check in passed):
            return checks
        self.__dict__.update(other.__dict__)
        return passed

    def some(self, steps: int) -> tuple[list[Step], list[Step]]:
        """The first steps of both, trained on where fewer were taken."""
        while self.done < steps and self._advance() is not None:
            pass
        return [one for one, _ in self._kept], [two for _, two in self._kept]

    def _compare(self, both: tuple[Step, Step], times: int) -> list[Check]:
        ours, theirs = both
        terms, checks = self.state.lengths.all, []
        share = times * sum_bound(terms, self.state.dtype)
        reason = sums_reason(terms) + (f", times {times} along a training" if times > 1 else "")
        for name, one in ours.params.items():
            two = theirs.params.get(name, np.zeros(0))
            two = two.astype(one.dtype) if two.size else two
            prefix = f"{self.state.name}: " if self.state.name else ""
            what = f"{prefix}step {self.done}: {name}"
            size = max(SMALLEST_WEIGHT, float(abs(one).max(initial=0)))
            check = Check(what, compare(what, one, two), share * size, "absolute", reason)
            checks.append(
                held_to_runs(
                    check,
                    size if self.state.dtype == "float64" else np.inf,
                    lambda name=name: self._float32.advance(self.done).params.get(name, 0.0),
                    lambda: max(self._control.advance(self.done).params.values(), default=0.0),
                )
            )
        return checks

    def buffer_spreads(self, name: str) -> tuple[Callable[[], float], Callable[[], float]]:
        """How far a buffer is from itself in float32, and any buffer of a control run, so far."""
        return (
            lambda: self._float32.advance(self.done).buffers.get(name, 0.0),
            lambda: max(self._control.advance(self.done).buffers.values(), default=0.0),
        )

    def _program(self) -> tuple[Program, Weights, Callable[[Batch], Batch]] | None:
        """The program that is run again: the reference, or the port of a recorded reference; its
        start and how it takes a batch.
        """
        pairing, weights = self.state.pairing, self.state.weights
        if not pairing.controls_are_ports():
            return pairing.reference, weights, lambda batch: batch
        if getattr(pairing.port, "recorded", False):
            return None
        return pairing.port, pairing.param_map.to_port(weights, pairing.like), pairing.move

    def _lanes_in_float32(self) -> list[Iterator[Step]]:
        program = self._program()
        if program is None or self.state.dtype != "float64":
            return []
        program, weights, move = program
        single = (single_batch(move(batch)) for batch in self._turns())
        return [
            self._named(program.train(weights, map(move, self._turns()))),
            self._named(program.train(single_weights(weights), single)),
        ]

    def _control_lanes(self) -> list[Iterator[Step]]:
        program = self._program()
        if program is None:
            return []
        program, weights, move = program
        lanes = [program.train(weights, map(move, self._turns()))]
        for draw in range(CONTROL_RUNS):
            moved = Weights(nudged(weights.params, draw), weights.buffers, weights.frozen)
            lanes.append(
                program.train(
                    moved, map(move, self._turns()), lambda p, i, draw=draw: nudged(p, draw, i)
                )
            )
        return lanes

    def _named(self, steps: Iterator[Step]) -> Iterator[Step]:
        """Steps of the program that is run again, under the reference's names."""
        if not self.state.pairing.controls_are_ports():
            yield from steps
            return
        back = self.state.pairing.param_map.to_reference
        for step in steps:
            yield replace(step, params=back(step.params), buffers=back(step.buffers, True))
