"""Two programs on the ladder: what each rung compares of them, and how it is explained."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.parity import diagnosis, states
from mnist_fn.shared.parity import pairing as pairings
from mnist_fn.shared.parity.causes.explanation import Candidate, Explanation
from mnist_fn.shared.parity.ladder_state import LadderState, Pairing
from mnist_fn.shared.parity.modules import Fault, outputs, walk
from mnist_fn.shared.parity.program import Batch, Weights
from mnist_fn.shared.parity.result import Check, Compared, Explain, Unchecked, failures, no_cause
from mnist_fn.shared.parity.training import Training, compared
from mnist_fn.shared.parity.words import rates_text

NARROW = ("float32", "float16", "bfloat16")
# What a rung may need of two programs; the first of each is also a key of `Program.unsupported`.
MODULES = ("modules", "matched modules", "called modules")
LOSS = ("loss",)
STEP = ("loss", "optimizer")


@dataclass
class PortClimb:
    """A reference and its port at the ordinary start, and what their training has left."""

    pairing: Pairing
    start: Weights
    batches: list[Batch]
    steps: int  # of the trajectory
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ordinary = LadderState("", self.pairing, self.start, self.batches[0])
        self.training = Training(self.ordinary, self.batches)

    def unchecked(self, need: str) -> Unchecked | None:
        """Why a rung with this need can't be climbed; None where it can."""
        for program in (self.pairing.reference, self.pairing.port):
            if need in program.unsupported:
                return Unchecked(program.unsupported[need])
        partners = self.pairing.param_map
        if need == "matched modules" and not any(partners.modules()):
            return Unchecked(
                "no module below the model has all of its parameters in one of the port's"
            )
        if need == "called modules":
            names = partners.modules()
            called = {names.get(call.module) for call in self.ordinary.left.calls}
            if not any(call.module in called for call in self.ordinary.right.calls):
                return Unchecked("no module is called on both sides")
        if need == "several steps" and self.steps == 1:
            return Unchecked("one step was asked for")
        if need == "running averages" and not partners.buffers:
            if self.start.buffers and self.pairing.like.buffers:
                return Unchecked("the port keeps no buffers that are the reference's")
            return Unchecked("there are no running averages", nothing=True)
        return self._unreadable_dropout() if need == "dropout" else None

    def _serves(self, needs: tuple[str, ...]) -> bool:
        return not any(map(self.unchecked, needs))

    def _unreadable_dropout(self) -> Unchecked | None:
        left, right = self.ordinary.left.dropouts, self.ordinary.right.dropouts
        if not left and not right:
            return Unchecked("there is no dropout", nothing=True)
        for rates, program in ((left, self.pairing.reference), (right, self.pairing.port)):
            if rates is None:
                return Unchecked(f"{program.name} shows no modules, whose dropout could be read")
        return None

    def parameters(self) -> Compared:
        """Names, shapes and values of the parameters."""
        return pairings.checks(self.pairing, self.start), no_cause

    def modules(self, state: LadderState | None = None) -> Compared:
        """Inputs and outputs of each module, in the order of computation."""
        return self._pass(walk, state or self.ordinary)

    def outputs(self, state: LadderState | None = None) -> Compared:
        """What the models give."""
        return self._pass(outputs, state or self.ordinary)

    def _pass(
        self, compare: Callable[[LadderState], tuple[list[Check], Fault | None]], state: LadderState
    ) -> Compared:
        """Compare what one pass shows, where it can be compared."""
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
        checks, fault = compare(state)
        return checks, lambda: fault and diagnosis.explain_fault(state, fault)

    def gradients(self) -> Compared:
        """Of each named tensor; only their sizes are kept where they agree."""
        checks, explain = states.gradients(self.ordinary)
        if failures(checks):
            return checks, explain
        self.ordinary.forget_gradients()
        return checks, no_cause

    def step(self) -> Compared:
        """The weights after the first step of a training."""
        self.training, checks = compared(self.training, Training.first)
        explain = self._noted(self.training, checks)
        if not failures(checks) and self.steps > 1:
            # nothing of it is held while states are climbed
            self.training = self.training.restarted()
        return checks, explain

    def _noted(self, training: Training, checks: list[Check]) -> Explain:
        if training.note and training.note not in self.notes:
            self.notes.append(training.note)
        return self._explain_training(training) if failures(checks) else no_cause

    def _explain_training(self, training: Training) -> Explain:
        return lambda: diagnosis.explain_steps(
            self.pairing.reference,
            training.state.weights,
            training.steps(diagnosis.STEPS),
            self.notes,
        )

    def stress_states(self) -> Compared:
        """All of these from states that wake what sleeps at an ordinary start, to the first that
        parts.
        """
        climbed: list[Check] = []
        coming = states.stress_states(self.ordinary, self.batches)
        for checks, explain in self._climb_states(coming):
            climbed += checks
            if failures(checks):
                return climbed, partial(self._clearest, explain, coming)
        return climbed, no_cause

    def _clearest(self, explain: Explain, coming: Iterator[LadderState]) -> Explanation | None:
        """The cause at the first stress state that parts; where it is too faint there to be told
        from another, at the first of those to come that shows it.
        """
        first = explain()
        if first is not None and first.found:
            return first
        with contextlib.suppress(Exception):  # a program fails in a state to come: first stands
            for checks, explain_next in self._climb_states(coming):
                if failures(checks):
                    closer = explain_next()
                    if closer is not None and closer.found:
                        return closer
        return first

    def _climb_states(self, coming: Iterator[LadderState]) -> Iterator[Compared]:
        for state in coming:
            if not states.finite(state.left):
                self.notes.append(f"{state.name}: not checked, the reference is not finite there")
                continue
            for checks, explain in self._climb_state(state):
                yield checks, explain if failures(checks) else no_cause

    def _climb_state(self, state: LadderState) -> Iterator[Compared]:
        if self._serves(MODULES):
            yield self.modules(state)
        yield self.outputs(state)
        if self._serves(LOSS):
            yield states.loss(state)
            yield states.gradients(state)
        if self._serves(STEP):
            training, checks = compared(Training(state, self.batches), Training.first)
            yield checks, self._noted(training, checks)

    def trajectory(self) -> Compared:
        """The weights along a training."""
        self.training, checks = compared(self.training, lambda t: t.on_to(self.steps))
        self._noted(self.training, checks)
        if self.training.done < self.steps and not failures(checks):
            self.notes.append(f"{self.training.done} steps were compared: no more were recorded")
        return checks, self._explain_trajectory

    def _explain_trajectory(self) -> Explanation | None:
        """The rule; where that is as declared, what one pass shows before the step that parts."""
        explained = self._explain_training(self.training)()
        last_step, number = self.training.before, self.training.done
        if last_step is None or (explained is not None and not explained.holds):
            return explained
        weights = self.start.after(last_step)
        batch = self.batches[(number - 1) % len(self.batches)]
        state = LadderState(
            f"before step {number}", self.pairing, weights, batch, ordinary=self.ordinary
        )
        with contextlib.suppress(Exception):  # not recorded, or a program fails there
            for checks, explain in self._climb_state(state):
                if failures(checks):
                    return explain()
        return explained

    def buffers(self) -> Compared:
        """Running averages along the training."""
        averages = self.training.averages
        self.notes += averages.notes
        return list(averages.checks.values()), averages.explain

    def evaluation(self) -> Compared:
        """What the models give in evaluation mode, after the training."""
        last = self.training.last
        weights = self.start if last is None else self.start.after(last)
        evaluated = LadderState("evaluation", self.pairing, weights, self.batches[0], train=False)
        checks, explain = self.outputs(evaluated)
        if failures(checks) and self._serves(MODULES):
            walked, closer = self.modules(evaluated)
            explain = closer if failures(walked) else explain
        return checks, explain

    def randomness(self) -> Compared:
        """The rates of dropout, which itself is off on every other rung."""
        left, right = self.ordinary.left.dropouts or (), self.ordinary.right.dropouts or ()
        rates = rates_text(left), rates_text(right)
        text = f"rates of dropout: {rates[0]} in the reference, {rates[1]} in the port"
        check = Check.stated(text, left == right, "dropout drops as much on both sides")
        cause = Candidate("dropout", np.nan, 0.0, declared=list(left), actual=list(right))
        return [check], lambda: Explanation("the modules", False, (cause,), None, "")
