"""Running averages: PyTorch's and Flax's are kept by two conventions, which are told apart.

PyTorch's `momentum` m is the share that is new, and the variance that it keeps is the unbiased one:
v ← (1 − m)·v + m·s²·n/(n − 1). Flax's is the share that is kept, and its variance is biased:
v ← k·v + (1 − k)·s². No argument of either changes what it does with n.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mnist_fn.shared.parity.bounds import sum_bound, sums_reason
from mnist_fn.shared.parity.causes.distance import largest_entry
from mnist_fn.shared.parity.causes.explanation import Candidate, Explanation, as_declared, judge
from mnist_fn.shared.parity.compare import compare
from mnist_fn.shared.parity.ladder_state import LadderState, held_to_runs, nth
from mnist_fn.shared.parity.param_map import parts
from mnist_fn.shared.parity.program import Call, Tensors
from mnist_fn.shared.parity.result import Check

BIASED = (
    "PyTorch keeps the unbiased variance, Flax the biased one, which no argument changes: with "
    "n/(n − 1) = {:.6g} taken out, only rounding is left"
)


# how far a buffer is from itself in float32, and from itself in control runs, so far
Spreads = Callable[[str], tuple[Callable[[], float], Callable[[], float]]]


@dataclass
class Averages:
    """Follows the buffers of a training, step by step."""

    state: LadderState
    checks: dict[str, Check] = field(default_factory=dict)  # the worst of each buffer
    notes: list[str] = field(default_factory=list)
    first: tuple[Tensors, Tensors] | None = None  # after the first step

    def __post_init__(self) -> None:
        self._previous = self.state.weights.buffers  # the port's
        self._scaled = dict(self._previous)

    def step(
        self, number: int, ours: Tensors, theirs: Tensors, examples: int, spreads: Spreads
    ) -> None:
        """The buffers after a step on so many examples, and what other runs make of them."""
        if self.first is None:
            self.first = ours, theirs
        for name in ours:
            if name not in theirs:
                continue
            check = self._check(name, ours[name], theirs[name], number, examples)
            if not check.passed:
                largest = max(largest_entry(ours[name]), largest_entry(theirs[name]))
                size = largest if self.state.dtype == "float64" else np.inf
                check = held_to_runs(check, size, *spreads(name))
            old = self.checks.get(name)
            if old is None or (old.passed and check.share >= old.share):
                self.checks[name] = check
        self._previous = theirs

    def _check(self, name: str, a: np.ndarray, b: np.ndarray, step: int, examples: int) -> Check:
        what = f"{name} after step {step}"
        largest = max(largest_entry(a), largest_entry(b))
        terms = self.state.lengths.all
        bound = sum_bound(terms, self.state.dtype) * largest * max(1.0, step**0.5)
        plain = Check(what, compare(what, a, b), bound, "absolute", sums_reason(terms))
        factor = self._factor(name, examples)
        if factor is None:
            return plain
        decay = 1 - (self._new_share(name) or 0.0)
        new = b - decay * self._previous[name]
        self._scaled[name] = decay * self._scaled[name] + factor * new
        if plain.passed:
            return plain
        reason = BIASED.format(max(factor, 1 / factor))
        check = Check(what, compare(what, a, self._scaled[name]), bound, "absolute", reason)
        if not check.passed:
            return plain
        note = f"{name}: {reason}"
        if note not in self.notes:
            self.notes.append(note)
        return check

    def _calls(self, name: str) -> tuple[Call | None, Call | None]:
        """The first call of the module that keeps a buffer: the reference's, and the port's."""
        state, module = self.state, _keeper(name)
        partner = state.pairing.param_map.modules().get(module, "")
        ours, theirs = nth(state.left.calls, module), nth(state.right.calls, partner)
        return ours[0] if ours else None, theirs[0] if theirs else None

    def _new_share(self, name: str) -> float | None:
        """The share of what is new at a step, as that module has it: the reference's, else the
        port's.
        """
        ours, theirs = self._calls(name)
        call = ours or theirs
        momentum = None if call is None else call.settings.get("momentum")
        if call is None or not isinstance(momentum, float | int):
            return None
        return float(momentum) if _is_torch(call) else 1 - float(momentum)

    def _factor(self, name: str, examples: int) -> float | None:
        """By which the reference's new variance is the port's, if two conventions keep them. A
        plain function may have either.
        """
        ours, theirs = self._calls(name)
        call = ours or theirs
        if parts(name)[1] != "var" or call is None or self._new_share(name) is None:
            return None
        unbiased_here = _is_torch(call) if ours else not _is_torch(call)
        if ours and theirs and _is_torch(theirs) == unbiased_here:
            return None
        state = self.state
        n = call.inputs[0].size / state.left.buffers[name].size * examples / state.batch.examples
        if n <= 1:
            return None
        return n / (n - 1) if unbiased_here else (n - 1) / n

    def explain(self) -> Explanation | None:
        """Why the first buffer that parts does: another momentum, or not kept at all."""
        failed = [name for name, check in self.checks.items() if not check.passed]
        share = self._new_share(failed[0]) if failed else None
        if not share or self.first is None:  # momentum 0 keeps what was
            return None
        module, (ours, theirs) = _keeper(failed[0]), self.first
        names = []
        for name in ours:
            if _keeper(name) == module and name in theirs:
                names.append(name)
        port_share = self._solved(names, share, ours, theirs)
        facts = {"at": module, "declared": share, "actual": port_share}
        declared = self._remainder(names, share, share, ours, theirs)
        solved = self._remainder(names, share, port_share, ours, theirs)
        return judge(
            "running averages after a step",
            as_declared(*declared),
            [Candidate("running averages", *solved, solved=1, **facts)],
            f"{', '.join(failed)} differ",
        )

    def _solved(self, names: list[str], share: float, ours: Tensors, theirs: Tensors) -> float:
        """The port's share of what is new, from its means: they move by it."""
        start = self.state.weights.buffers
        means = [name for name in names if parts(name)[1] == "mean"] or names
        moved = np.concatenate([(ours[name] - start[name]).ravel() for name in means])
        observed = np.concatenate([(theirs[name] - start[name]).ravel() for name in means])
        total = float(moved @ moved)
        return float(f"{share * float(moved @ observed) / total:.6g}") if total else share

    def _remainder(
        self, names: list[str], share: float, port_share: float, ours: Tensors, theirs: Tensors
    ) -> tuple[float, float]:
        """What is left of the port's buffers by `port_share`: (residual, in bounds)."""
        residual = units = 0.0
        state = self.state
        for name in names:
            start = state.weights.buffers[name]
            factor = self._factor(name, state.batch.examples) or 1.0
            new = (ours[name] - (1 - share) * start) / share / factor
            predicted = (1 - port_share) * start + port_share * new
            gap = float(abs(predicted - theirs[name]).max())
            bound = sum_bound(state.lengths.all, state.dtype) * float(abs(new).max())
            residual, units = max(residual, gap), max(units, gap / bound if bound else gap)
        return residual, units


def _is_torch(call: Call) -> bool:
    """Whether a module is PyTorch's, whose ε is called eps."""
    return "eps" in call.settings


def _keeper(name: str) -> str:
    """The module of a buffer: norm.running_mean, batch_stats/norm/mean."""
    return re.split(r"[./](?=[^./]*$)", name)[0].removeprefix("batch_stats/")
