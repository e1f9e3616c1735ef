"""The reference's program with one line of it said otherwise: which line gives what a port shows.

The search, the numbers that are solved for and the rule of claiming are `causes.search`'s; here is
only what a changed pass is, and that a recording knows some entries of it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.parity.bounds import (
    CONTROL_ROUNDING,
    CONTROL_RUNS,
    CONTROL_SHARE,
    NEAR,
    SOLVED,
    TRIED,
)
from mnist_fn.shared.parity.causes.distance import Tensors
from mnist_fn.shared.parity.causes.explanation import AS_DECLARED, Candidate, Explanation, judge
from mnist_fn.shared.parity.causes.search import Form, Search, rounding_of
from mnist_fn.shared.parity.ladder_state import LadderState
from mnist_fn.shared.parity.packing import UNKNOWN, NotRecordedError
from mnist_fn.shared.parity.program import Trace, Variant


@dataclass
class _Passes(Search):
    """Passes of the reference, beside what the port shows."""

    port_values: Tensors  # as they are; `observed` are the finite ones of them

    def tensors(self, computed: Tensors | None) -> Tensors | None:
        """What was read, with what agrees though not finite, or was not kept, out of the way."""
        if computed is None or not any((t != UNKNOWN).any() for t in computed.values()):
            return None
        if not any(np.isfinite(t).any() for t in self.port_values.values()):
            return None  # of NaN alone whatever gives NaN would be the cause
        known = {}
        for name, port_value in self.port_values.items():
            if name not in computed or computed[name].shape != port_value.shape:
                return None
            a, b = computed[name].astype(np.float64), port_value.astype(np.float64)
            same = (np.isnan(a) & np.isnan(b)) | (a == b) | (a == UNKNOWN)  # infinities as well
            known[name] = np.where(same, self.observed[name], np.where(np.isfinite(b), a, np.inf))
        return known


@dataclass(frozen=True)
class Place:
    """Where two programs part, and what the port shows there."""

    state: LadderState
    subject: str  # in words
    read: Callable[[Trace], Tensors | None]  # the place in what the reference shows
    port_values: Tensors  # the port's, in the reference's layout
    terms: int  # of the longest sum on the way there

    def explain(self, variants: Iterable[Variant], pattern: str) -> Explanation:
        """Each variant tried, then each number solved for. Where none fits as it is, the near ones
        once more beside control runs of theirs, since what a port does may round worse than
        the declared.

        Args:
            variants: of the reference's program.
            pattern: what to say where no cause can be claimed.
        """
        search, budget = self._search, self.state.pairing.budget
        declared = search.candidate(AS_DECLARED, self.read(self.state.left))
        fixed, free = [], []
        for variant in variants:
            (free if variant.starts else fixed).append(variant)
        near: list[tuple[Variant, Candidate]] = []
        candidates: list[Candidate] = []
        for variant in fixed[:TRIED]:
            if budget.spent:
                break
            candidate = search.candidate(variant, self._varied(variant))
            if candidate.units < declared.units:
                near.append((variant, candidate))
                candidates.append(candidate)
        if not any(candidate.fits for candidate in candidates):
            for variant in free[:SOLVED]:
                if not budget.spent:
                    candidates.append(search.solved(self._form(variant)))
        if not any(candidate.fits for candidate in candidates):
            near.sort(key=lambda pair: pair[1].units)
            for variant, candidate in near[:NEAR]:
                if not budget.spent:
                    candidates.remove(candidate)
                    candidates.append(self._beside_controls(variant, candidate))
        if budget.spent:
            pattern += f"; the search ended after {budget.seconds:g} s of CPU, its budget"
        return judge(self.subject, declared, candidates, pattern)

    @cached_property
    def _search(self) -> _Passes:
        finite: Tensors = {}
        for name, tensor in self.port_values.items():
            wide = tensor.astype(np.float64)
            finite[name] = np.where(np.isfinite(wide), wide, 0.0)
        unit = rounding_of(finite, finite, self.state.dtype, terms=self.terms)
        return _Passes(finite, unit, self.port_values)

    def _form(self, variant: Variant) -> Form:
        """A variant with a number, as the search solves for it."""
        compute = lambda value: self._varied(replace(variant, value=value))  # noqa: E731
        return Form(variant.code, compute, variant.starts, variant.scale, **variant.facts)

    def _varied(self, variant: Variant, draw: int | None = None) -> Tensors | None:
        try:
            return self.read(self.state.with_variant(variant, draw))
        except NotRecordedError:  # a recording has no control runs
            return None
        except InputError:
            raise
        except Exception:  # a variant that can't be computed here is none
            return None

    def _beside_controls(self, variant: Variant, plain: Candidate) -> Candidate:
        """The candidate with each entry held to what the changed program's own rounding does."""
        values = self._varied(variant)
        if values is None:
            return plain
        controls = []
        for draw in range(CONTROL_RUNS):
            control = self._varied(variant, draw)
            if control is None:
                return plain
            controls.append(control)
        search, floor = self._search, {}
        for name, unit in search.unit.items():
            if name not in values or values[name].shape != unit.shape:
                return plain
            spread = np.max([np.abs(control[name] - values[name]) for control in controls], axis=0)
            rounding = np.nan_to_num(CONTROL_ROUNDING * spread, nan=np.inf)
            if self.state.dtype == "float64":
                most = CONTROL_SHARE * np.abs(search.observed[name]).max(initial=0)
                rounding = np.minimum(rounding, most)
            floor[name] = unit + rounding
        beside = _Passes(search.observed, floor, self.port_values)
        if beside.candidate(AS_DECLARED, self.read(self.state.left)).fits:
            return plain  # this rounding could hide the difference itself: it tells nothing
        return beside.candidate(variant, values)
