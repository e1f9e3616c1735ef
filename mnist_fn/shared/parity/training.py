"""Two trainings from one start on the same batches, step by step, and controls where needed."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from mnist_fn.shared.parity.averages import Averages
from mnist_fn.shared.parity.bounds import sum_bound, sums_reason
from mnist_fn.shared.parity.causes.rules import Rule, simulate
from mnist_fn.shared.parity.checks import Check
from mnist_fn.shared.parity.compare import compare
from mnist_fn.shared.parity.ladder_state import CONTROL_RUNS, LadderState, beside_controls
from mnist_fn.shared.parity.program import Batch, Program, Step, Tensors, Weights, nudged

KEPT = 6  # steps whose gradients are kept for a diagnosis
ALONG = 10  # times what one step's rounding may be: it stays below where nothing amplifies
GIVEN = ", beside what the rule makes of the gradients' own rounding"


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
        self._own = self._controls()
        self._furthest = (0.0, 0.0)
        self.note = ""  # what was taken out of the reference's training
        self._asked = 0

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
        self.averages.step(self.done, both[0].buffers, both[1].buffers, batch.examples,
                           lambda: self._apart()[1])  # fmt: skip
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
            checks = self._compare(both, ALONG)
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
        moved: Tensors | None = None
        reason = sums_reason(terms) + (f", times {times} along a training" if times > 1 else "")
        for name, one in ours.params.items():
            two = theirs.params.get(name, np.zeros(0))
            two = two.astype(one.dtype) if two.size else two
            prefix = f"{self.state.name}: " if self.state.name else ""
            what = f"{prefix}step {self.done}: {name}"
            d = compare(what, one, two)
            bound = share * max(1e-3, float(abs(one).max(initial=0)))
            why = reason
            if not d.absolute <= bound and self.done == 1:
                moved = self._moved(both) if moved is None else moved
                if name in moved:
                    d, why = compare(what, one + moved[name], two), reason + GIVEN
            check = Check(what, d, bound, "absolute", why)
            if not check.passed and np.isfinite(d.absolute):
                check = beside_controls(check, self._apart()[0])
            checks.append(check)
        return checks

    def _moved(self, both: tuple[Step, Step]) -> Tensors:
        """What the declared rule makes in its first step of the gradients' own rounding, which has
        been held to its bound: where a gradient is next to 0, RMSprop or Adam take it for a whole
        step.
        """
        rule, weights = self.state.pairing.reference.rule, self.state.weights.params
        names = both[0].gradients.keys()
        if rule is None or not names <= both[1].gradients.keys():
            return {}
        start = {name: weights[name].astype(np.float64) for name in names}
        ours, theirs = (
            simulate(
                Rule(**rule),  # pyright: ignore[reportArgumentType]
                [{name: step.gradients[name].astype(np.float64) for name in names}],
                start,
                [start],
            )[0]
            for step in both
        )
        return {name: (theirs[name] - ours[name]).astype(weights[name].dtype) for name in names}

    def _apart(self) -> tuple[float, float]:
        """The furthest that any weight, and any buffer, of a control run has been from its original
        so far.
        """
        while self._asked < self.done:
            weights, buffers = next(self._own, (0.0, 0.0))
            self._furthest = max(self._furthest[0], weights), max(self._furthest[1], buffers)
            self._asked += 1
        return self._furthest

    def _controls(self) -> Iterator[tuple[float, float]]:
        pairing, weights = self.state.pairing, self.state.weights
        program: Program = pairing.reference
        batches = self._turns
        if pairing.controls_are_ports():
            program = pairing.port
            weights = pairing.param_map.to_port(weights, pairing.like)
            batches = lambda: map(pairing.move, self._turns())  # noqa: E731
            if getattr(program, "recorded", False):
                return
        lanes = [program.train(weights, batches())]
        for draw in range(CONTROL_RUNS):
            moved = Weights(nudged(weights.params, draw), weights.buffers, weights.frozen)
            lanes.append(
                program.train(moved, batches(), lambda p, i, draw=draw: nudged(p, draw, i))
            )
        for own, *controls in zip(*lanes, strict=True):
            yield (
                max(_furthest(control.params, own.params) for control in controls),
                max(_furthest(control.buffers, own.buffers) for control in controls),
            )


def _furthest(one: Tensors, two: Tensors) -> float:
    gaps = [float(abs(one[name] - two[name]).max(initial=0)) for name in two]
    return max((gap for gap in gaps if np.isfinite(gap)), default=0.0)
