"""Running averages: PyTorch's and Flax's are kept by two conventions, which are told apart.

PyTorch's `momentum` m is the share that is new, and the variance that it keeps is the unbiased one:
v ← (1 − m)·v + m·s²·n/(n − 1). Flax's is the share that is kept, and its variance is biased:
v ← k·v + (1 − k)·s². No argument of either changes what it does with n.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from mnist_fn.shared.parity.bounds import sum_bound, sums_reason
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


class Runs(Protocol):
    """Other runs of the training."""

    def buffer_spreads(self, name: str) -> tuple[Callable[[], float], Callable[[], float]]:
        """How far a buffer is from itself in float32, and any buffer of a control run, so far."""
        ...


@dataclass
class Averages:
    """Follows the buffers of a training, step by step."""

    state: LadderState
    before: tuple[Tensors, Tensors] = field(init=False)  # the reference's and the port's
    checks: dict[str, Check] = field(default_factory=dict)  # the worst of each buffer
    notes: list[str] = field(default_factory=list)
    first: tuple[Tensors, Tensors] | None = None  # after the first step

    def __post_init__(self) -> None:
        start = self.state.weights.buffers
        self._scaled = {name: tensor.copy() for name, tensor in start.items()}
        self.before = start, dict(start)

    def step(
        self,
        number: int,
        ours: Tensors,
        theirs: Tensors,
        examples: int,
        runs: "Runs",
    ) -> None:
        """The buffers after a step on so many examples, and what other runs make of them."""
        if self.first is None:
            self.first = ours, theirs
        for name in ours:
            if name not in theirs:
                continue
            check = self._check(name, ours[name], theirs[name], number, examples)
            if not check.passed:
                largest = max(float(abs(t[name]).max(initial=0)) for t in (ours, theirs))
                size = largest if self.state.dtype == "float64" else np.inf
                check = held_to_runs(check, size, *runs.buffer_spreads(name))
            old = self.checks.get(name)
            if old is None or (old.passed and check.share >= old.share):
                self.checks[name] = check
        self.before = ours, theirs

    def _check(self, name: str, a: np.ndarray, b: np.ndarray, step: int, examples: int) -> Check:
        what = f"{name} after step {step}"
        largest = max(float(abs(a).max(initial=0)), float(abs(b).max(initial=0)))
        terms = self.state.lengths.all
        bound = sum_bound(terms, self.state.dtype) * largest * max(1.0, step**0.5)
        plain = Check(what, compare(what, a, b), bound, "absolute", sums_reason(terms))
        factor = self._factor(name, examples)
        if factor is None:
            return plain
        decay = 1 - (self.new_share(name) or 0.0)
        new = b - decay * self.before[1][name]
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

    def call(self, name: str) -> Call | None:
        """The call of the module that keeps a buffer: the reference's, else the port's."""
        state = self.state
        module = _keeper(name)
        partner = state.pairing.param_map.modules().get(module, "")
        calls = nth(state.left.calls, module) or nth(state.right.calls, partner)
        return calls[0] if calls else None

    def new_share(self, name: str) -> float | None:
        """The share of what is new at a step, as that module has it."""
        call = self.call(name)
        momentum = None if call is None else call.settings.get("momentum")
        if call is None or not isinstance(momentum, float | int):
            return None
        return float(momentum) if _is_torch(call) else 1 - float(momentum)

    def _factor(self, name: str, examples: int) -> float | None:
        """By which the reference's new variance is the port's, if two conventions keep them. A
        plain function may have either.
        """
        call = self.call(name)
        if parts(name)[1] != "var" or call is None or self.new_share(name) is None:
            return None
        state = self.state
        module = _keeper(name)
        ours = nth(state.left.calls, module)
        partner = state.pairing.param_map.modules().get(module, "")
        theirs = nth(state.right.calls, partner)
        unbiased_here = _is_torch(ours[0]) if ours else not _is_torch(theirs[0])
        if ours and theirs and _is_torch(theirs[0]) == unbiased_here:
            return None
        size = state.left.buffers[name].size
        n = call.inputs[0].size / size * examples / state.batch.examples
        if n <= 1:
            return None
        return n / (n - 1) if unbiased_here else (n - 1) / n


def _is_torch(call: Call) -> bool:
    """Whether a module is PyTorch's, whose ε is called eps."""
    return "eps" in call.settings


def _keeper(name: str) -> str:
    """The module of a buffer: norm.running_mean, batch_stats/norm/mean."""
    return re.split(r"[./](?=[^./]*$)", name)[0].removeprefix("batch_stats/")


def explain_averages(averages: Averages) -> Explanation | None:
    """Why the first buffer that parts does: another momentum, or not kept at all."""
    failed = [name for name, check in averages.checks.items() if not check.passed]
    if not failed or averages.first is None:
        return None
    module = _keeper(failed[0])
    ours, theirs = averages.first
    start = averages.state.weights.buffers
    names = [name for name in ours if _keeper(name) == module and name in theirs]
    share = averages.new_share(failed[0])
    if share is None:
        return None
    port_share = _solve(names, start, ours, theirs, share, averages)
    declared = as_declared(*_left(names, start, ours, theirs, share, share, averages))
    left = _left(names, start, ours, theirs, share, port_share, averages)
    facts = {"at": module, "declared": share, "actual": port_share}
    candidate = Candidate("running averages", *left, solved=1, **facts)
    return judge(
        "running averages after a step", declared, [candidate], f"{', '.join(failed)} differ"
    )


def _solve(
    names: list[str], start: Any, ours: Any, theirs: Any, share: float, averages: Averages
) -> float:
    """The port's share of what is new, from its means: they move by it."""
    means = [name for name in names if parts(name)[1] == "mean"] or names
    moved = np.concatenate([(ours[n] - start[n]).ravel() for n in means])
    observed = np.concatenate([(theirs[n] - start[n]).ravel() for n in means])
    total = float(moved @ moved)
    return float(f"{share * float(moved @ observed) / total:.6g}") if total else share


def _left(
    names: list[str],
    start: Any,
    ours: Any,
    theirs: Any,
    share: float,
    port_share: float,
    averages: Averages,
) -> tuple[float, float]:
    """What is left of the port's buffers by `port_share`: (residual, in bounds)."""
    residual = units = 0.0
    for name in names:
        factor = averages._factor(name, averages.state.batch.examples) or 1.0
        new = (ours[name] - (1 - share) * start[name]) / share / factor
        predicted = (1 - port_share) * start[name] + port_share * new
        gap = float(abs(predicted - theirs[name]).max())
        state = averages.state
        bound = sum_bound(state.lengths.all, state.dtype) * float(abs(new).max())
        residual, units = max(residual, gap), max(units, gap / bound if bound else gap)
    return residual, units
