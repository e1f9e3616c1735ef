"""Both programs in one state: the same weights and batch, what each shows, control runs."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from mnist_fn.shared.parity.bounds import (
    CONTROL_FACTOR,
    CONTROL_RUNS,
    CONTROL_SHARE,
    MEASURED_REASON,
    measured_bound,
    sum_bound,
    sums_reason,
)
from mnist_fn.shared.parity.causes.distance import largest_entry
from mnist_fn.shared.parity.compare import compare
from mnist_fn.shared.parity.param_map import ParamMap
from mnist_fn.shared.parity.program import (
    NONE,
    Batch,
    Call,
    Nudge,
    Program,
    Step,
    Tensors,
    Trace,
    Variant,
    Weights,
)
from mnist_fn.shared.parity.result import Check
from mnist_fn.shared.parity.rounding import largest_gap, single_batch
from mnist_fn.shared.parity.sum_lengths import SumLengths

CANCEL = ", here of the largest of its kind, since its own sums cancel"
SEARCH_SECONDS = 60.0
Rerun = tuple[Trace, Trace]  # a program's, and another run's of the same program


class Budget:
    """How long causes are looked for: seconds of CPU from the first question on."""

    def __init__(self, seconds: float = SEARCH_SECONDS) -> None:
        self.seconds = seconds
        self._began: float | None = None

    @property
    def spent(self) -> bool:
        """Whether it is used up."""
        if self._began is None:
            self._began = time.process_time()
        return time.process_time() - self._began >= self.seconds


@dataclass(frozen=True)
class Pairing:
    """Two programs and how the port's tensors are the reference's."""

    reference: Program
    port: Program
    param_map: ParamMap
    like: Weights  # the port's, for what has no partner
    move: Callable[[Batch], Batch]  # a batch as the port takes it
    budget: Budget = field(default_factory=Budget, repr=False)

    @property
    def across(self) -> int:
        """1 where the reference has channels first and the port last, -1 the other way about."""
        places = {"channels_first": 0, "channels_last": 1}
        return places[self.port.data_format] - places[self.reference.data_format]

    @property
    def translated(self) -> "TranslatedPort":
        """The port in the reference's terms."""
        return TranslatedPort(self)

    @property
    def rerun(self) -> Program | None:
        """The program that other runs are of: the reference, or the port of a recorded one; None
        where both are recorded.
        """
        if not self.reference.recorded:
            return self.reference
        return None if self.port.recorded else self.translated

    def in_float32(self, weights: Weights, batch: Batch) -> tuple[dict[str, str], dict[str, str]]:
        """What of the reference and of the port is in float32 though the weights are float64, by
        name, in words; without the buffers that both have, whoever computed them before.
        """
        partners = self.param_map
        port_weights = partners.to_port(weights, self.like)
        ours = self.reference.in_float32(weights, batch)
        theirs = self.port.in_float32(port_weights, self.move(batch))
        for pair in partners.buffers:
            ours.pop(pair.name, None)
            theirs.pop(pair.other, None)
        return ours, theirs


class TranslatedPort(Program):
    """A port that takes and gives tensors under the reference's names, in its layouts."""

    def __init__(self, pairing: Pairing) -> None:
        super().__init__(pairing.port.name, pairing.reference.data_format)
        self._port, self._like, self._move = pairing.port, pairing.like, pairing.move
        self._map, self.recorded = pairing.param_map, pairing.port.recorded

    def run(
        self, weights: Weights, batch: Batch, train: bool = True, variant: Variant | None = None
    ) -> Trace:
        """See `Program`; what its modules show is as the port has it."""
        port_weights = self._map.to_port(weights, self._like)
        trace = self._port.run(port_weights, self._move(batch), train, variant)
        back = self._map.to_reference
        return replace(trace, gradients=back(trace.gradients), buffers=back(trace.buffers, True))

    def train(
        self,
        weights: Weights,
        batches: Iterator[Batch],
        nudge: Nudge | None = None,
        gradients: Iterator[Tensors] | None = None,
    ) -> Iterator[Step]:
        """See `Program`; with its own gradients."""
        port_weights, back = self._map.to_port(weights, self._like), self._map.to_reference

        def translated(step: Step) -> Step:
            buffers = back(step.buffers, True)
            return Step(back(step.params), buffers, back(step.gradients), step.loss)

        return map(translated, self._port.train(port_weights, map(self._move, batches), nudge))


@dataclass(frozen=True)
class LadderState:
    """Weights and a batch, in the reference's terms."""

    name: str  # "" for the ordinary start
    pairing: Pairing
    weights: Weights
    batch: Batch
    train: bool = True
    # what a sum that cancels is measured by: the same at the ordinary start
    ordinary: "LadderState | None" = field(default=None, repr=False)

    @cached_property
    def left(self) -> Trace:
        """What the reference shows."""
        return self.pairing.reference.run(self.weights, self.batch, self.train)

    @cached_property
    def right(self) -> Trace:
        """What the port shows, its tensors under the reference's names."""
        return self.pairing.translated.run(self.weights, self.batch, self.train)

    @cached_property
    def sizes(self) -> dict[str, float]:
        """The largest entry of each of the reference's gradients."""
        return {name: largest_entry(grad) for name, grad in self.left.gradients.items()}

    def forget_gradients(self) -> None:
        """Free the gradients of both, of which the sizes stay."""
        self.__dict__.update(
            sizes=self.sizes,
            left=replace(self.left, gradients={}),
            right=replace(self.right, gradients={}),
        )

    @property
    def original(self) -> Trace:
        """What other runs are compared with: the same program's."""
        return self.right if self.pairing.reference.recorded else self.left

    def with_variant(self, variant: Variant, draw: int | None = None) -> Trace:
        """What the reference shows with one line of it changed, or a control run of that."""
        weights = self.weights
        if draw is not None:
            weights, variant = weights.nudged(draw), variant.as_control(draw)
        return self.pairing.reference.run(weights, self.batch, self.train, variant)

    @cached_property
    def controls(self) -> list[Rerun]:
        """Control runs: the same program with all weights a few ulps away, sums and functions
        rounded at random, and where it can with norms computed in another order. Empty where both
        are recordings.
        """
        program = self.pairing.rerun
        if program is None:
            return []
        if program is self.pairing.reference:
            return self._controls_of(program, self.original)
        return self._controls_of_port()

    @cached_property
    def port_controls(self) -> list[Rerun]:
        """The same of the port: it may round worse than the reference, as a softmax whose gradient
        is a difference does where another's is a product with 0. Empty in float32, for a port that
        casts to it, for a recording, or where these are the controls.
        """
        if self.dtype != "float64" or self.pairing.port.recorded or self.pairing.reference.recorded:
            return []
        _, narrow = self.pairing.in_float32(self.weights, self.batch)
        if narrow:  # its rounding is float32's, which is a difference
            return []
        return self._controls_of_port()

    def _controls_of_port(self) -> list[Rerun]:
        runs = []
        for original, run in self._controls_of(self.pairing.translated, self.right):
            runs.append((self._renamed(original), self._renamed(run)))
        return runs

    def _controls_of(self, program: Program, original: Trace) -> list[Rerun]:
        runs: list[Rerun] = []
        for draw in range(CONTROL_RUNS):
            weights, control = self.weights.nudged(draw), NONE.as_control(draw)
            try:
                run = program.run(weights, self.batch, self.train, control)
            except Exception:  # an operation that can't be rounded at random
                run = program.run(weights, self.batch, self.train, NONE.as_control())
            runs.append((original, run))
        return runs

    def _renamed(self, trace: Trace) -> Trace:
        """A trace of the port, its modules' calls under the names that the reference has."""
        names = {partner: name for name, partner in self.pairing.param_map.modules().items()}
        calls = []
        for call in trace.calls:
            if call.module in names:
                calls.append(replace(call, module=names[call.module]))
        return replace(trace, calls=calls)

    @cached_property
    def in_float32(self) -> list[Rerun]:
        """The same program in float32; norms in two passes, then in one. Empty where it computes
        in float32 anyway, or can't.
        """
        program, runs = self.pairing.rerun, []
        if program is None or self.dtype != "float64":
            return []
        weights, batch = self.weights.cast("float32"), single_batch(self.batch)
        try:
            for control in (NONE, NONE.as_control()):  # of neither the lines are kept
                runs.append((self.original, program.run(weights, batch, self.train, control)))
        except Exception:  # a program that holds float64 of its own
            return []
        return runs

    @cached_property
    def lengths(self) -> SumLengths:
        """How many terms the reference's sums have."""
        data_format = self.pairing.reference.data_format
        return SumLengths(self.left, self.weights, self.batch, data_format)

    @property
    def dtype(self) -> str:
        """That is computed in."""
        return str(next(iter(self.weights.params.values())).dtype)

    def check(
        self,
        what: str,
        expected: np.ndarray,
        actual: np.ndarray,
        read: Callable[[Trace], np.ndarray | None],
        terms: int,
        least: float = 0.0,
    ) -> Check:
        """Two arrays held to the bound on sums; where that fails, to the rounding that is measured,
        then to what control runs do.

        Args:
            what: named in the check.
            expected, actual: the reference's and the port's, in one layout.
            read: the same of what a control run shows.
            terms: of the longest sum on the way there.
            least: the bound is of the largest entry, or of this if it is larger.
        """
        if not expected.dtype.kind == actual.dtype.kind == "f":
            expected, actual = expected.astype(np.float64), actual.astype(np.float64)
        actual = actual.astype(expected.dtype, copy=False)
        named = f"{self.name}: {what}" if self.name else what
        largest = max(largest_entry(expected), largest_entry(actual))
        bound, reason = sum_bound(terms, self.dtype) * max(largest, least), sums_reason(terms)
        if least > largest:
            reason += CANCEL
        return held_to_runs(
            Check(named, compare(named, expected, actual), bound, "absolute", reason),
            max(largest, least) if self.dtype == "float64" else np.inf,
            lambda: self.spread(self.in_float32, read),
            lambda: self.spread(self.controls, read),
            lambda: self.spread(self.port_controls, read),
        )

    def spread(self, runs: list[Rerun], read: Callable[[Trace], np.ndarray | None]) -> float:
        """How far another run's array is from the program's own, at most."""
        return max((largest_gap(read(run), read(original)) for original, run in runs), default=0.0)


def held_to_runs(
    check: Check, size: float, in_float32: Callable[[], float], *controls: Callable[[], float]
) -> Check:
    """A check that is out of its bound on sums, held to what other runs of one program show.

    Args:
        check: with the bound on sums.
        size: of the figure, of which a control run may lift the bound by CONTROL_SHARE; infinite
            in float32, where control runs are all there is.
        in_float32: how far the program in float32 is from itself; 0 where that isn't known.
        controls: how far a control run is, of each program.
    """
    if check.passed or not np.isfinite(check.difference.absolute):
        return check
    measured = measured_bound(in_float32())
    if measured > check.tolerance:
        check = replace(check, tolerance=measured, reason=MEASURED_REASON)
    for control in controls:
        if check.passed or check.difference.absolute > CONTROL_SHARE * size:
            break
        gap = control()
        bound = CONTROL_FACTOR * gap
        reason = (
            f"{CONTROL_FACTOR} × the {gap:.1e} by which a control run differs from its original"
        )
        if bound > CONTROL_SHARE * size:
            bound = CONTROL_SHARE * size
            reason = f"{reason}, at most {CONTROL_SHARE:g} of the figure"
        if bound > check.tolerance:
            check = replace(check, tolerance=bound, reason=reason)
    return check


def nth(calls: list[Call], module: str) -> list[Call]:
    """A module's calls, in order."""
    return sorted((call for call in calls if call.module == module), key=lambda call: call.began)
