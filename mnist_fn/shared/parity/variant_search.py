"""The reference's program with one line of it said otherwise: which line gives what a port shows.

The search, the numbers that are solved for and the rule of claiming are `causes`' own; here is only
what a changed pass is, and that a recording knows some entries of it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.parity.bounds import CONTROL_ROUNDING, CONTROL_RUNS, NEAR, SOLVED, TRIED
from mnist_fn.shared.parity.causes.explanation import (
    AS_DECLARED,
    Candidate,
    Cause,
    Explanation,
    Tensors,
    judge,
)
from mnist_fn.shared.parity.causes.search import Number, Search
from mnist_fn.shared.parity.ladder_state import LadderState
from mnist_fn.shared.parity.packing import UNKNOWN, NotRecordedError
from mnist_fn.shared.parity.program import Trace, Variant


@dataclass(frozen=True)
class Place:
    """Where two programs part, and what the port shows there."""

    state: LadderState
    of: str  # in words
    read: Callable[[Trace], Tensors | None]  # the place in what the reference shows
    port_values: Tensors  # the port's, in the reference's layout
    terms: int  # of the longest sum on the way there

    def explain(
        self, variants: Iterable[Variant], pattern: str, more: Iterable[Candidate] = ()
    ) -> Explanation:
        """Each variant tried, then each number solved for. Where none fits as it is, the near ones
        once more beside control runs of theirs, since what a port does may round worse than
        the declared.

        Args:
            variants: of the reference's program.
            pattern: what to say where no cause can be claimed.
            more: what was tried besides.
        """
        declared = self._candidate(self._search, AS_DECLARED, self.read(self.state.left))
        fixed, free = [], []
        for variant in variants:
            (free if variant.starts else fixed).append(variant)
        near: list[tuple[Variant, Candidate]] = []
        budget = self.state.pairing.budget
        for variant in fixed[:TRIED]:
            if budget.spent:
                break
            candidate = self._candidate(self._search, variant, self._varied(variant))
            if candidate.units < declared.units:
                near.append((variant, candidate))
        if not any(candidate.fits for _, candidate in near):
            for variant in free[:SOLVED]:
                if not budget.spent:
                    near.append((variant, self._solved(variant)))
        if not any(candidate.fits for _, candidate in near):
            near.sort(key=lambda pair: pair[1].units)
            near = [
                (
                    variant,
                    self._beside_controls(variant, candidate)
                    if i < NEAR and not variant.starts and not budget.spent
                    else candidate,
                )
                for i, (variant, candidate) in enumerate(near)
            ]
        if budget.spent:
            pattern += f"; the search ended after {budget.seconds:g} s of CPU, its budget"
        return judge(self.of, declared, [*(candidate for _, candidate in near), *more], pattern)

    @cached_property
    def _finite(self) -> Tensors:
        wide = {name: tensor.astype(np.float64) for name, tensor in self.port_values.items()}
        return {name: np.where(np.isfinite(t), t, 0.0) for name, t in wide.items()}

    @cached_property
    def _search(self) -> Search:
        return self._searching({})

    def _searching(self, floor: Tensors) -> Search:
        return Search(self._finite, self._finite, self.state.dtype, floor, self.terms)

    def _varied(self, variant: Variant, draw: int | None = None) -> Tensors | None:
        try:
            return self.read(self.state.with_variant(variant, draw))
        except NotRecordedError:  # a recording has no control runs
            return None
        except InputError:
            raise
        except Exception:  # a variant that can't be computed here is none
            return None

    def _known(self, values: Tensors | None) -> Tensors | None:
        """What was read, with what agrees though not finite, or was not kept, out of the way."""
        if values is None or not any((tensor != UNKNOWN).any() for tensor in values.values()):
            return None
        known = {}
        for name, port_value in self.port_values.items():
            if name not in values or values[name].shape != port_value.shape:
                return None
            a, b = values[name].astype(np.float64), port_value.astype(np.float64)
            same = (np.isnan(a) & np.isnan(b)) | (a == b) | (a == UNKNOWN)  # infinities as well
            known[name] = np.where(same, self._finite[name], np.where(np.isfinite(b), a, np.inf))
        return known

    def _candidate(self, search: Search, cause: Cause, values: Tensors | None) -> Candidate:
        return search.candidate(cause, self._known(values))

    def _solved(self, variant: Variant) -> Candidate:
        def values_at(value: float) -> Tensors | None:
            return self._known(self._varied(variant.with_value(value)))

        number = Number(variant.text, values_at, variant.starts, variant.scale, **variant.facts)
        return self._search.solved(number)

    def _beside_controls(self, variant: Variant, plain: Candidate) -> Candidate:
        """The candidate with each entry held to what the changed program's own rounding does."""
        values = self._varied(variant)
        controls = [self._varied(variant, draw) for draw in range(CONTROL_RUNS)]
        known = [control for control in controls if control is not None]
        if values is None or len(known) < CONTROL_RUNS:
            return plain
        floor = {}
        for name, unit in self._search.unit.items():
            if name not in values or values[name].shape != unit.shape:
                return plain
            spread = np.max([np.abs(control[name] - values[name]) for control in known], axis=0)
            floor[name] = unit + np.nan_to_num(CONTROL_ROUNDING * spread, nan=np.inf)
        return self._candidate(self._searching(floor), variant, values)
