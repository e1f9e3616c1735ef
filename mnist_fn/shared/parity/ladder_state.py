"""Both programs in one state: the same weights and batch, what each shows, control runs."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from mnist_fn.shared.parity.bounds import sum_bound, sums_reason
from mnist_fn.shared.parity.checks import Check
from mnist_fn.shared.parity.compare import compare
from mnist_fn.shared.parity.param_map import ParamMap
from mnist_fn.shared.parity.program import (
    NONE,
    Batch,
    Call,
    Program,
    Trace,
    Variant,
    Weights,
    nudged,
)
from mnist_fn.shared.parity.sum_lengths import SumLengths

CONTROL_FACTOR = (
    3  # two controls are up to twice as far from one another as each from what they are of
)
CONTROL_RUNS = 6  # a unit whose sums cancel shows in few draws how far it can part
CANCEL = ", here of the largest of its kind, since its own sums cancel"


@dataclass(frozen=True)
class Pairing:
    """Two programs and how the port's tensors are the reference's."""

    reference: Program
    port: Program
    param_map: ParamMap
    like: Weights  # the port's, for what has no partner
    move: Callable[[Batch], Batch]  # a batch as the port takes it

    @property
    def across(self) -> int:
        """1 where the reference has channels first and the port last, -1 the other way about."""
        places = {"channels_first": 0, "channels_last": 1}
        return places[self.port.data_format] - places[self.reference.data_format]

    def controls_are_ports(self) -> bool:
        """Whether control runs are the port's: a recording can't be asked anew."""
        return getattr(self.reference, "recorded", False)


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
        return self._port(self.weights)

    def _port(self, weights: Weights) -> Trace:
        pairing = self.pairing
        own = pairing.param_map.to_port(weights, pairing.like)
        trace = pairing.port.run(own, pairing.move(self.batch), self.train)
        back = pairing.param_map.to_reference
        return replace(trace, gradients=back(trace.gradients), buffers=back(trace.buffers, True))

    def with_variant(self, variant: Variant, draw: int | None = None) -> Trace:
        """What the reference shows with one line of it changed, or a control run of that."""
        weights = self.weights
        if draw is not None:
            weights = replace(weights, params=nudged(weights.params, draw))
            variant = variant.as_control()
        return self.pairing.reference.run(weights, self.batch, self.train, variant)

    @cached_property
    def controls(self) -> list[tuple[Trace, Trace]]:
        """(perturbed, original) pairs: the same program with all weights a few ulps away, its norms
        computed in another order where it can. Empty for recordings.
        """
        moved = [
            replace(self.weights, params=nudged(self.weights.params, draw))
            for draw in range(CONTROL_RUNS)
        ]
        if self.pairing.controls_are_ports():
            if getattr(self.pairing.port, "recorded", False):
                return []
            return [(self._port(weights), self.right) for weights in moved]
        run = self.pairing.reference.run
        control = NONE.as_control()
        return [(run(weights, self.batch, self.train, control), self.left) for weights in moved]

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
        left: np.ndarray,
        right: np.ndarray,
        read: Callable[[Trace], np.ndarray | None],
        terms: int,
        least: float = 0.0,
    ) -> Check:
        """Two arrays held to the bound on sums; where that fails, to what control runs do.

        Args:
            what: named in the check.
            left, right: the reference's and the port's, in one layout.
            read: the same of what a control run shows.
            terms: of the longest sum on the way there.
            least: the bound is of the largest entry, or of this if it is larger.
        """
        if left.dtype.kind not in "f" or right.dtype.kind not in "f":
            left, right = left.astype(np.float64), right.astype(np.float64)
        elif left.dtype != right.dtype:
            right = right.astype(left.dtype)
        named = f"{self.name}: {what}" if self.name else what
        d = compare(named, left, right)
        largest = max((float(abs(x).max()) for x in (left, right) if x.size), default=0.0)
        bound, reason = sum_bound(terms, self.dtype) * max(largest, least), sums_reason(terms)
        if least > largest:
            reason += CANCEL
        if not d.absolute <= bound and np.isfinite(d.absolute):
            own = max(
                (_apart(read(control), read(of)) for control, of in self.controls), default=0.0
            )
            return beside_controls(Check(named, d, bound, "absolute", reason), own)
        return Check(named, d, bound, "absolute", reason)


def beside_controls(check: Check, own: float) -> Check:
    """A check held to how far a control run has parted from its original, if that is more."""
    if CONTROL_FACTOR * own <= check.tolerance:
        return check
    reason = f"{CONTROL_FACTOR} × the {own:.1e} by which a control run parts from itself"
    return replace(check, tolerance=CONTROL_FACTOR * own, reason=reason)


def _apart(one: np.ndarray | None, two: np.ndarray | None) -> float:
    if one is None or two is None or one.shape != two.shape or not one.size:
        return 0.0
    gap = float(abs(one.astype(np.float64) - two).max())
    return gap if np.isfinite(gap) else 0.0


def nth(calls: list[Call], module: str) -> list[Call]:
    """A module's calls, in order."""
    return sorted((call for call in calls if call.module == module), key=lambda call: call.began)
