"""The ladder for anyone's port: two sides and batches in, a verdict out."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.parity.causes.explanation import Explanation
from mnist_fn.shared.parity.checks import Check, Rung, run_rung
from mnist_fn.shared.parity.porting import pairing as partnering
from mnist_fn.shared.parity.porting import probes, why
from mnist_fn.shared.parity.porting.averages import explain_averages
from mnist_fn.shared.parity.porting.batches import read_batches
from mnist_fn.shared.parity.porting.course import Course
from mnist_fn.shared.parity.porting.packing import NotRecordedError
from mnist_fn.shared.parity.porting.side import Batch, Side, Weights
from mnist_fn.shared.parity.porting.situation import Pairing, Situation
from mnist_fn.shared.parity.porting.verdict import Unchecked, Verdict
from mnist_fn.shared.parity.porting.walk import outputs, walk

# What one pass or step shows, from wherever, comes before what many steps do.
RUNGS = ("parameters", "modules", "outputs", "loss", "gradients", "step", "probes", "trajectory",
         "buffers", "evaluation")  # fmt: skip
STEPS = 20
NO_AVERAGES = "there are no running averages"

Explain = Callable[[], Explanation | None]
Found = tuple[list[Check], Explain]


def check_port(
    reference: Side,
    port: Side,
    batches: Any,
    *,
    steps: int = STEPS,
    precision: str = "float64",
    translate: Mapping[str, Any] | None = None,
    on_rung: Callable[[Rung | Unchecked], None] = lambda _: None,
) -> Verdict:
    """Climb the ladder with a reference and its port, to the first rung at which they part.

    Args:
        reference: a side; its weights are what both start with.
        port: the other side.
        batches: a list of (inputs, targets); see `batches.read_batches`. Training takes them in
            turn, again from the first when they are used up.
        steps: length of the trajectory.
        precision: "float64", in which an error stands out by ten orders of magnitude, or
            "float32", beside twins.
        translate: partners of parameters, where names and shapes don't tell; see `find_partners`.
        on_rung: called with each rung.

    Raises:
        InputError: batches, a model or a loss that can't be compared; see docs/porting.md.
    """
    if precision not in ("float64", "float32"):
        raise InputError(f"precision {precision!r}: must be float64 or float32")
    if not isinstance(steps, int) or steps < 1:
        raise InputError(f"steps {steps!r}: must be a whole number, 1 or more")
    if reference is port:
        raise InputError("reference and port are one object; give two sides")
    found = read_batches(batches, precision)
    pairing, start = partnering.pair(reference, port, found[0], precision, translate)
    ladder = _Ladder(pairing, start, found, steps)
    rungs: list[Rung | Unchecked] = []
    cause = None
    for name in RUNGS:
        rung, explain = ladder.climb(name)
        rungs.append(rung)
        on_rung(rung)
        if isinstance(rung, Rung) and not rung.passed:
            cause = explain()
            break
    notes = [*pairing.partners.notes, *ladder.notes]
    return Verdict((reference.name, port.name), precision, pairing.partners, rungs, cause, notes)


@dataclass
class _Ladder:
    """The rungs' checks, each with how to explain it when it fails."""

    pairing: Pairing
    start: Weights
    batches: list[Batch]
    steps: int
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ordinary = Situation("", self.pairing, self.start, self.batches[0])
        self.course = Course(self.ordinary, self.batches)

    def climb(self, name: str) -> tuple[Rung | Unchecked, Explain]:
        lacks = self._lacks(name)
        if lacks:
            return Unchecked(name, lacks, lacks == NO_AVERAGES), lambda: None
        explain: list[Explain] = [lambda: None]

        def checks() -> list[Check]:
            found, explain[0] = getattr(self, f"_{name}")()
            return found

        return run_rung(name, checks), explain[0] and (lambda: explain[0]())

    def _lacks(self, name: str) -> str:
        sides = (self.pairing.reference, self.pairing.port)
        needs = {
            "modules": ("modules",), "loss": ("loss",), "gradients": ("loss",),
            "step": ("loss", "optimizer"), "trajectory": ("loss", "optimizer"),
        }.get(name, ())  # fmt: skip
        for need, side in ((need, side) for need in needs for side in sides):
            if need in side.lacks:
                return side.lacks[need]
        if name == "modules" and not any(self.pairing.partners.modules()):
            return "no module below the model has all of its parameters in one of the port's"
        if name == "trajectory" and self.steps == 1:
            return "one step was asked for"
        if name == "buffers":
            if not self.pairing.partners.buffers:
                return NO_AVERAGES if not self._averaged() else (
                    "the port keeps no buffers that are the reference's"
                )  # fmt: skip
            return self._lacks("step")
        return ""

    def _averaged(self) -> bool:
        return bool(self.start.buffers) and bool(self.pairing.like.buffers)

    def _parameters(self) -> Found:
        return partnering.checks(self.pairing, self.start), lambda: None

    def _modules(self) -> Found:
        return self._walked(self.ordinary)

    def _walked(self, situation: Situation) -> Found:
        self._finite(situation)
        found, fault = walk(situation)
        return found, lambda: fault and why.explain_fault(situation, fault)

    def _outputs(self, situation: Situation | None = None) -> Found:
        situation = situation or self.ordinary
        self._finite(situation)
        found, fault = outputs(situation)
        return found, lambda: fault and why.explain_fault(situation, fault)

    def _finite(self, situation: Situation) -> None:
        if situation is self.ordinary and not probes.finite(situation.left):
            raise InputError(
                f"{self.pairing.reference.name}: batches[0] gives a NaN or an infinity; there is "
                "nothing to compare with"
            )

    def _loss(self) -> Found:
        return probes.loss(self.ordinary)

    def _gradients(self) -> Found:
        return probes.gradients(self.ordinary)

    def _step(self) -> Found:
        return self._noted(self.course, self.course.first())

    def _noted(self, course: Course, checks: list[Check]) -> Found:
        if course.note and course.note not in self.notes:
            self.notes.append(course.note)
        return checks, self._explain_course(course)

    def _explain_course(self, course: Course) -> Explain:
        return lambda: why.explain_steps(
            self.pairing.reference.rule, course.situation.weights, *course.some(why.STEPS)
        )

    def _trajectory(self) -> Found:
        found, _ = self._noted(self.course, self.course.on_to(self.steps))
        if self.course.done < self.steps and all(check.passed for check in found):
            self.notes.append(f"{self.course.done} steps were compared: no more were recorded")
        return found, self._explain_trajectory

    def _explain_trajectory(self) -> Explanation | None:
        """The rule; where that is as declared, what one pass shows before the step that parts."""
        explained = self._explain_course(self.course)()
        before, number = self.course.before, self.course.done
        if before is None or (explained is not None and not explained.holds):
            return explained
        buffers = {**self.start.buffers, **before.buffers}
        weights = replace(self.start, params=before.params, buffers=buffers)
        batch = self.batches[(number - 1) % len(self.batches)]
        there = Situation(
            f"before step {number}", self.pairing, weights, batch, ordinary=self.ordinary
        )
        try:
            for checks, explain in self._climb_probe(there):
                if not all(check.passed for check in checks):
                    return explain()
        except NotRecordedError:  # a recording has not been there
            return explained
        return explained

    def _buffers(self) -> Found:
        averages = self.course.averages
        self.notes += averages.notes
        return list(averages.checks.values()), lambda: explain_averages(averages)

    def _evaluation(self) -> Found:
        weights = self.start
        if self.course.last is not None:
            last = self.course.last
            weights = replace(weights, params=last.params,
                              buffers={**weights.buffers, **last.buffers})  # fmt: skip
        evaluated = Situation("evaluation", self.pairing, weights, self.batches[0], train=False)
        found, explain = self._outputs(evaluated)
        if not all(check.passed for check in found) and not self._lacks("modules"):
            walked, closer = self._walked(evaluated)
            explain = closer if not all(check.passed for check in walked) else explain
        return found, explain

    def _probes(self) -> Found:
        found: list[Check] = []
        parted: list[Explain] = []
        coming = probes.situations(self.ordinary, self.batches)
        for checks, explain in self._climb_probes(coming):
            found += checks
            if not all(check.passed for check in checks):
                parted.append(explain)
                break
        return found, lambda: self._best(parted[0], coming) if parted else None

    def _best(self, explain: Explain, coming: Iterator[Situation]) -> Explanation | None:
        """The cause at the first probe that parts; where it is too faint there to be told from
        another, at the first of those to come that shows it.
        """
        first = explain()
        if first is not None and first.found:
            return first
        for checks, other in self._climb_probes(coming):
            if not all(check.passed for check in checks):
                closer = other()
                if closer is not None and closer.found:
                    return closer
        return first

    def _climb_probes(self, coming: Iterator[Situation]) -> Iterator[Found]:
        for situation in coming:
            if not probes.finite(situation.left):
                self.notes.append(
                    f"{situation.name}: not checked, the reference is not finite there"
                )
                continue
            yield from self._climb_probe(situation)

    def _climb_probe(self, situation: Situation) -> Iterator[Found]:
        if not self._lacks("modules"):
            yield self._walked(situation)
        yield self._outputs(situation)
        if not self._lacks("loss"):
            yield probes.loss(situation)
            yield probes.gradients(situation)
        if not self._lacks("step"):
            course = Course(situation, self.batches)
            yield self._noted(course, course.first())
