"""Both sides in one situation: the same weights and batch, what each shows, and twins beside."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from mnist_fn.shared.parity.bounds import sum_bound, sums_reason
from mnist_fn.shared.parity.checks import Check
from mnist_fn.shared.parity.compare import compare
from mnist_fn.shared.parity.porting.lengths import Lengths
from mnist_fn.shared.parity.porting.partners import Partners
from mnist_fn.shared.parity.porting.side import (
    NONE,
    Batch,
    Call,
    Change,
    Seen,
    Side,
    Weights,
    nudged,
)

TWIN_FACTOR = 3  # two twins are up to twice as far from one another as each from what they are of
TWINS = 6  # a unit whose sums cancel shows in few draws how far it can part
CANCEL = ", here of the largest of its kind, since its own sums cancel"


@dataclass(frozen=True)
class Pairing:
    """Two sides and how the port's tensors are the reference's."""

    reference: Side
    port: Side
    partners: Partners
    like: Weights  # the port's, for what has no partner
    move: Callable[[Batch], Batch]  # a batch as the port takes it

    @property
    def across(self) -> int:
        """1 where the reference has channels first and the port last, -1 the other way about."""
        places = {"first": 0, "last": 1}
        return places[self.port.channels] - places[self.reference.channels]

    def reversed_twin(self) -> bool:
        """Whether twins are the port's: a recording can't be asked anew."""
        return getattr(self.reference, "recorded", False)


@dataclass(frozen=True)
class Situation:
    """Weights and a batch, in the reference's terms."""

    name: str  # "" for the ordinary start
    pairing: Pairing
    weights: Weights
    batch: Batch
    train: bool = True
    # what a sum that cancels is measured by: the same at the ordinary start
    ordinary: "Situation | None" = field(default=None, repr=False)

    @cached_property
    def left(self) -> Seen:
        """What the reference shows."""
        return self.pairing.reference.observe(self.weights, self.batch, self.train)

    @cached_property
    def right(self) -> Seen:
        """What the port shows, its tensors under the reference's names."""
        return self._port(self.weights)

    def _port(self, weights: Weights) -> Seen:
        pairing = self.pairing
        own = pairing.partners.there(weights, pairing.like)
        seen = pairing.port.observe(own, pairing.move(self.batch), self.train)
        back = pairing.partners.back
        return replace(seen, gradients=back(seen.gradients), buffers=back(seen.buffers, True))

    def with_change(self, change: Change, draw: int | None = None) -> Seen:
        """What the reference shows with one line of it changed, or a twin of that."""
        weights = self.weights
        if draw is not None:
            weights = replace(weights, params=nudged(weights.params, draw))
            change = change.of_twin()
        return self.pairing.reference.observe(weights, self.batch, self.train, change)

    @cached_property
    def twins(self) -> list[tuple[Seen, Seen]]:
        """(twin, what it is a twin of): the same side from weights a few ulps away, with what the
        side knows to take in another order taken so.
        """
        moved = [
            replace(self.weights, params=nudged(self.weights.params, draw)) for draw in range(TWINS)
        ]
        if self.pairing.reversed_twin():
            if getattr(self.pairing.port, "recorded", False):
                return []
            return [(self._port(weights), self.right) for weights in moved]
        observe = self.pairing.reference.observe
        twin = NONE.of_twin()
        return [(observe(weights, self.batch, self.train, twin), self.left) for weights in moved]

    @cached_property
    def lengths(self) -> Lengths:
        """How many terms the reference's sums have."""
        channels = self.pairing.reference.channels
        return Lengths(self.left, self.weights, self.batch, channels)

    @property
    def dtype(self) -> str:
        """That is computed in."""
        return str(next(iter(self.weights.params.values())).dtype)

    def check(
        self,
        what: str,
        left: np.ndarray,
        right: np.ndarray,
        read: Callable[[Seen], np.ndarray | None],
        terms: int,
        least: float = 0.0,
    ) -> Check:
        """Two arrays held to the bound on sums; where that fails, to what twins do.

        Args:
            what: named in the check.
            left, right: the reference's and the port's, in one layout.
            read: the same of what a twin shows.
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
            own = max((_apart(read(twin), read(of)) for twin, of in self.twins), default=0.0)
            return beside_twins(Check(named, d, bound, "absolute", reason), own)
        return Check(named, d, bound, "absolute", reason)


def beside_twins(check: Check, own: float) -> Check:
    """A check held to how far a twin has parted from what it is a twin of, if that is more."""
    if TWIN_FACTOR * own <= check.tolerance:
        return check
    reason = f"{TWIN_FACTOR} × the {own:.1e} by which a twin parts from itself"
    return replace(check, tolerance=TWIN_FACTOR * own, reason=reason)


def _apart(one: np.ndarray | None, two: np.ndarray | None) -> float:
    if one is None or two is None or one.shape != two.shape or not one.size:
        return 0.0
    gap = float(abs(one.astype(np.float64) - two).max())
    return gap if np.isfinite(gap) else 0.0


def nth(calls: list[Call], module: str) -> list[Call]:
    """A module's calls, in order."""
    return sorted((call for call in calls if call.module == module), key=lambda call: call.began)
