"""The ladder for anyone's port: two programs and batches in, a verdict out."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.parity import diagnosis, states
from mnist_fn.shared.parity import pairing as pairings
from mnist_fn.shared.parity.averages import explain_averages
from mnist_fn.shared.parity.batches import read_batches
from mnist_fn.shared.parity.causes.explanation import Explanation
from mnist_fn.shared.parity.ladder_state import SEARCH_SECONDS, Budget, LadderState, Pairing
from mnist_fn.shared.parity.modules import outputs, walk
from mnist_fn.shared.parity.packing import NotRecordedError
from mnist_fn.shared.parity.program import Batch, Program, Weights
from mnist_fn.shared.parity.result import Check, Difference, Rung, Unchecked, Verdict, run_rung
from mnist_fn.shared.parity.starts import starts_note
from mnist_fn.shared.parity.training import Training

# What one pass or step shows, from wherever, comes before what many steps do.
RUNGS = ("parameters", "modules", "outputs", "loss", "gradients", "step", "stress states",
         "trajectory", "buffers", "evaluation", "randomness")  # fmt: skip
STEPS = 20
# Of memory, with Adam on both sides; measured at 1 M and 4.5 M parameters (docs/porting.md). The
# frameworks take a gigabyte without any.
BYTES_PER_PARAMETER, BYTES_WITHOUT = 900, 1e9
NO_AVERAGES = "there are no running averages"
NARROW = ("float32", "float16", "bfloat16")
NO_DROPOUT = "there is no dropout"

Explain = Callable[[], Explanation | None]
Found = tuple[list[Check], Explain]


def check_port(
    reference: Program,
    port: Program,
    batches: Any,
    *,
    steps: int = STEPS,
    precision: str = "float64",
    param_map: Mapping[str, Any] | None = None,
    budget: float = SEARCH_SECONDS,
    on_rung: Callable[[Rung | Unchecked], None] = lambda _: None,
    on_size: Callable[[int], None] = lambda _: None,
) -> Verdict:
    """Climb the ladder with a reference and its port, to the first rung at which they part.

    Args:
        reference: a program; its weights are what both start with.
        port: the other program.
        batches: a list of (inputs, targets); see `batches.read_batches`. Training takes them in
            turn, again from the first when they are used up.
        steps: length of the trajectory.
        precision: "float64", in which an error stands out by ten orders of magnitude, or
            "float32", beside controls.
        param_map: partners of parameters, where names and shapes don't tell; see `map_params`.
        budget: seconds of CPU that the search for a cause may take.
        on_rung: called with each rung, before the cause of one that fails is looked for.
        on_size: told before the first rung how many parameters there are.

    Raises:
        InputError: batches, a model or a loss that can't be compared; see docs/porting.md.
    """
    if precision not in ("float64", "float32"):
        raise InputError(f"precision {precision!r}: must be float64 or float32")
    if not isinstance(steps, int) or steps < 1:
        raise InputError(f"steps {steps!r}: must be a whole number, 1 or more")
    for role, program in (("reference", reference), ("port", port)):
        if not hasattr(program, "run"):
            raise InputError(
                f"{role} is a {type(program).__name__}, not a program; make it with TorchProgram, "
                "FlaxProgram, JaxProgram or Recording"
            )
    if reference is port:
        raise InputError("reference and port are one object; give two programs")
    with np.errstate(all="ignore"):  # stress states overflow; what is not finite is looked for
        read = read_batches(batches, precision)
        pairing, start = pairings.pair(reference, port, read[0], precision, param_map)
        on_size(sum(p.size for p in start.params.values()))
        pairing = replace(pairing, budget=Budget(budget))
        return _climbed(_Ladder(pairing, start, read, steps), precision, on_rung)


def _climbed(
    ladder: "_Ladder", precision: str, on_rung: Callable[[Rung | Unchecked], None]
) -> Verdict:
    pairing = ladder.pairing
    reference, port = pairing.reference, pairing.port
    rungs: list[Rung | Unchecked] = []
    cause = None
    for name in RUNGS:
        rung, explain = ladder.climb(name)
        rungs.append(rung)
        on_rung(rung)
        if isinstance(rung, Rung) and not rung.passed:
            cause = explain()
            break
    notes = [*pairing.param_map.notes, *reference.notes, *port.notes, *ladder.notes]
    names = (reference.name, port.name)
    verdict = Verdict(names, precision, pairing.param_map, rungs, cause, notes)
    if verdict.passed:
        own_start = port.start(pairing.move(ladder.batches[0]))
        note = starts_note(pairing.param_map, ladder.start, own_start)
        notes += [note] if note else []
    return verdict


@dataclass
class _Ladder:
    """The rungs' checks, each with how to explain it when it fails."""

    pairing: Pairing
    start: Weights
    batches: list[Batch]
    steps: int
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ordinary = LadderState("", self.pairing, self.start, self.batches[0])
        self.training = Training(self.ordinary, self.batches)

    def climb(self, name: str) -> tuple[Rung | Unchecked, Explain]:
        unsupported = self._why_unchecked(name)
        if unsupported:
            return Unchecked(
                name, unsupported, unsupported in (NO_AVERAGES, NO_DROPOUT)
            ), lambda: None
        explain: list[Explain] = [lambda: None]

        def checks() -> list[Check]:
            rung_checks, explain[0] = getattr(self, f"_{name.replace(' ', '_')}")()
            return rung_checks

        return run_rung(name, checks), explain[0] and (lambda: explain[0]())

    def _why_unchecked(self, name: str) -> str:
        programs = (self.pairing.reference, self.pairing.port)
        needs = {
            "modules": ("modules",), "loss": ("loss",), "gradients": ("loss",),
            "step": ("loss", "optimizer"), "trajectory": ("loss", "optimizer"),
        }.get(name, ())  # fmt: skip
        for need, program in ((need, program) for need in needs for program in programs):
            if need in program.unsupported:
                return program.unsupported[need]
        if name == "modules" and not any(self.pairing.param_map.modules()):
            return "no module below the model has all of its parameters in one of the port's"
        if name == "modules" and not self._called():
            return "no module is called on both sides"
        if name == "trajectory" and self.steps == 1:
            return "one step was asked for"
        if name == "randomness":
            return self._unreadable_dropout()
        if name == "buffers":
            if not self.pairing.param_map.buffers:
                return (
                    NO_AVERAGES
                    if not self._averaged()
                    else "the port keeps no buffers that are the reference's"
                )
            return self._why_unchecked("step")
        return ""

    def _called(self) -> bool:
        """Whether a module and its partner are called."""
        ours = {call.module for call in self.ordinary.left.calls}
        theirs = {call.module for call in self.ordinary.right.calls}
        param_map = self.pairing.param_map.modules()
        return any(module in ours and partner in theirs for module, partner in param_map.items())

    def _unreadable_dropout(self) -> str:
        left, right = self.ordinary.left.dropouts, self.ordinary.right.dropouts
        if not left and not right:
            return NO_DROPOUT
        for rates, program in ((left, self.pairing.reference), (right, self.pairing.port)):
            if rates is None:
                return f"{program.name} shows no modules, whose dropout could be read"
        return ""

    def _randomness(self) -> Found:
        left, right = self.ordinary.left.dropouts or (), self.ordinary.right.dropouts or ()
        text = f"rates of dropout: {_listed(left)} in the reference, {_listed(right)} in the port"
        gap = 0.0 if left == right else np.inf
        difference = Difference(text, (), 0.0, 0.0, gap, gap, gap)
        check = Check(text, difference, 0.0, "absolute", "dropout drops as much on both sides")
        return [check], lambda: None

    def _averaged(self) -> bool:
        return bool(self.start.buffers) and bool(self.pairing.like.buffers)

    def _parameters(self) -> Found:
        return pairings.checks(self.pairing, self.start), lambda: None

    def _modules(self) -> Found:
        return self._walked(self.ordinary)

    def _walked(self, state: LadderState) -> Found:
        self._finite(state)
        checks, fault = walk(state)
        return checks, lambda: fault and diagnosis.explain_fault(state, fault)

    def _outputs(self, state: LadderState | None = None) -> Found:
        state = state or self.ordinary
        self._finite(state)
        checks, fault = outputs(state)
        return checks, lambda: fault and diagnosis.explain_fault(state, fault)

    def _finite(self, state: LadderState) -> None:
        if not state.left.outputs:
            raise InputError(
                f"{self.pairing.reference.name}: there is no tensor in what it gives; return a "
                "tensor, or a tuple, dict or dataclass of tensors"
            )
        narrow = {str(array.dtype) for array in state.right.outputs} & set(NARROW)
        if state.dtype == "float64" and narrow:
            raise InputError(
                f"{self.pairing.port.name}: gives {narrow.pop()} where float64 is compared; let it "
                "compute in the dtype of its weights (dtype=float in a Flax module), or compare in "
                "float32 (precision='float32')"
            )
        if state is self.ordinary and not states.finite(state.left):
            raise InputError(
                f"{self.pairing.reference.name}: batches[0] gives a NaN or an infinity; there is "
                "nothing to compare with"
            )

    def _loss(self) -> Found:
        return states.loss(self.ordinary)

    def _gradients(self) -> Found:
        return states.gradients(self.ordinary)

    def _step(self) -> Found:
        return self._noted(self.training, self.training.first())

    def _noted(self, training: Training, checks: list[Check]) -> Found:
        if training.note and training.note not in self.notes:
            self.notes.append(training.note)
        return checks, self._explain_training(training)

    def _explain_training(self, training: Training) -> Explain:
        return lambda: diagnosis.explain_steps(
            self.pairing.reference.rule, training.state.weights, *training.some(diagnosis.STEPS)
        )

    def _trajectory(self) -> Found:
        checks, _ = self._noted(self.training, self.training.on_to(self.steps))
        if self.training.done < self.steps and all(check.passed for check in checks):
            self.notes.append(f"{self.training.done} steps were compared: no more were recorded")
        return checks, self._explain_trajectory

    def _explain_trajectory(self) -> Explanation | None:
        """The rule; where that is as declared, what one pass shows before the step that parts."""
        explained = self._explain_training(self.training)()
        last_step, number = self.training.before, self.training.done
        if last_step is None or (explained is not None and not explained.holds):
            return explained
        buffers = {**self.start.buffers, **last_step.buffers}
        weights = replace(self.start, params=last_step.params, buffers=buffers)
        batch = self.batches[(number - 1) % len(self.batches)]
        state = LadderState(
            f"before step {number}", self.pairing, weights, batch, ordinary=self.ordinary
        )
        try:
            for checks, explain in self._climb_state(state):
                if not all(check.passed for check in checks):
                    return explain()
        except NotRecordedError:  # a recording has not been there
            return explained
        return explained

    def _buffers(self) -> Found:
        averages = self.training.averages
        self.notes += averages.notes
        return list(averages.checks.values()), lambda: explain_averages(averages)

    def _evaluation(self) -> Found:
        weights = self.start
        if self.training.last is not None:
            last = self.training.last
            weights = replace(
                weights, params=last.params, buffers={**weights.buffers, **last.buffers}
            )
        evaluated = LadderState("evaluation", self.pairing, weights, self.batches[0], train=False)
        checks, explain = self._outputs(evaluated)
        if not all(check.passed for check in checks) and not self._why_unchecked("modules"):
            walked, closer = self._walked(evaluated)
            explain = closer if not all(check.passed for check in walked) else explain
        return checks, explain

    def _stress_states(self) -> Found:
        compared: list[Check] = []
        parted: list[Explain] = []
        coming = states.stress_states(self.ordinary, self.batches)
        for checks, explain in self._climb_states(coming):
            compared += checks
            if not all(check.passed for check in checks):
                parted.append(explain)
                break
        return compared, lambda: self._best(parted[0], coming) if parted else None

    def _best(self, explain: Explain, coming: Iterator[LadderState]) -> Explanation | None:
        """The cause at the first stress state that parts; where it is too faint there to be told
        from another, at the first of those to come that shows it.
        """
        first = explain()
        if first is not None and first.found:
            return first
        for checks, explain_next in self._climb_states(coming):
            if not all(check.passed for check in checks):
                closer = explain_next()
                if closer is not None and closer.found:
                    return closer
        return first

    def _climb_states(self, coming: Iterator[LadderState]) -> Iterator[Found]:
        for state in coming:
            if not states.finite(state.left):
                self.notes.append(f"{state.name}: not checked, the reference is not finite there")
                continue
            yield from self._climb_state(state)

    def _climb_state(self, state: LadderState) -> Iterator[Found]:
        if not self._why_unchecked("modules"):
            yield self._walked(state)
        yield self._outputs(state)
        if not self._why_unchecked("loss"):
            yield states.loss(state)
            yield states.gradients(state)
        if not self._why_unchecked("step"):
            training = Training(state, self.batches)
            yield self._noted(training, training.first())


def _listed(rates: tuple[float, ...]) -> str:
    return ", ".join(f"{rate:g}" for rate in rates) or "none"
