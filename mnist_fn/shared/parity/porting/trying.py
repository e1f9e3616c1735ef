"""The reference's program with one line of it said otherwise: which line gives what a port shows.

The search, the numbers that are solved for and the rule of claiming are `causes`' own; here is only
what a changed pass is, and that a recording knows some entries of it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.parity.causes.explanation import Candidate, Explanation, Tensors, judge
from mnist_fn.shared.parity.causes.search import Number, Search
from mnist_fn.shared.parity.porting.packing import UNKNOWN, NotRecordedError
from mnist_fn.shared.parity.porting.side import Change, Seen
from mnist_fn.shared.parity.porting.situation import TWINS, Situation

TRIED = 400  # changes of a program, each a pass through it
SOLVED = 24  # numbers of a program that are solved for, each some dozen passes
NEAR = 12  # changes that are looked at once more, where none fits
TWIN_ROUNDING = 16  # times what a twin of a changed program does; two draws show some of it


@dataclass(frozen=True)
class Place:
    """Where two sides part, and what the port shows there."""

    situation: Situation
    of: str  # in words
    read: Callable[[Seen], Tensors | None]  # the place in what the reference shows
    seen: Tensors  # the port's, in the reference's layout
    terms: int  # of the longest sum on the way there

    def explain(
        self, changes: Iterable[Change], pattern: str, more: Iterable[Candidate] = ()
    ) -> Explanation:
        """Each change tried, then each number solved for. Where none fits as it is, the near ones
        once more beside twins of theirs, since what a port does may round worse than the declared.

        Args:
            changes: of the reference's program.
            pattern: what to say where no cause can be claimed.
            more: what was tried besides.
        """
        declared = self._candidate(self._search, "as declared", self.read(self.situation.left))
        fixed, free = [], []
        for change in changes:
            (free if change.starts else fixed).append(change)
        near: list[tuple[Change, Candidate]] = []
        for change in fixed[:TRIED]:
            one = self._candidate(self._search, change.text, self._changed(change), change)
            if one.units < declared.units:
                near.append((change, one))
        if not any(one.fits for _, one in near):
            near += [(change, self._solved(change)) for change in free[:SOLVED]]
        if not any(one.fits for _, one in near):
            near.sort(key=lambda pair: pair[1].units)
            near = [
                (change, self._beside_twins(change, one) if i < NEAR and not change.starts else one)
                for i, (change, one) in enumerate(near)
            ]
        return judge(self.of, declared, [*(one for _, one in near), *more], pattern)

    @cached_property
    def _finite(self) -> Tensors:
        wide = {name: tensor.astype(np.float64) for name, tensor in self.seen.items()}
        return {name: np.where(np.isfinite(t), t, 0.0) for name, t in wide.items()}

    @cached_property
    def _search(self) -> Search:
        return self._searching({})

    def _searching(self, floor: Tensors) -> Search:
        return Search(self._finite, self._finite, self.situation.dtype, floor, self.terms)

    def _changed(self, change: Change, draw: int | None = None) -> Tensors | None:
        try:
            return self.read(self.situation.with_change(change, draw))
        except NotRecordedError:  # a recording has no twins
            return None
        except InputError:
            raise
        except Exception:  # a change that can't be computed here is none
            return None

    def _known(self, got: Tensors | None) -> Tensors | None:
        """What was read, with what agrees though not finite, or was not kept, out of the way."""
        if got is None or not any((tensor != UNKNOWN).any() for tensor in got.values()):
            return None
        made = {}
        for name, seen in self.seen.items():
            if name not in got or got[name].shape != seen.shape:
                return None
            a, b = got[name].astype(np.float64), seen.astype(np.float64)
            same = (np.isnan(a) & np.isnan(b)) | (a == b) | (a == UNKNOWN)  # infinities as well
            made[name] = np.where(same, self._finite[name], np.where(np.isfinite(b), a, np.inf))
        return made

    def _candidate(
        self, search: Search, text: str, got: Tensors | None, change: Change | None = None
    ) -> Candidate:
        family, rank = ("", 0) if change is None else (change.family, change.rank)
        return search.candidate(text, family, self._known(got), rank)

    def _solved(self, change: Change) -> Candidate:
        def made(value: float) -> Tensors | None:
            return self._known(self._changed(change.at(value)))

        number = Number(change.text, made, change.starts, change.scale, change.declared,
                        change.family)  # fmt: skip
        return self._search.solved(number)

    def _beside_twins(self, change: Change, plain: Candidate) -> Candidate:
        """The candidate with each entry held to what the changed program's own rounding does."""
        got = self._changed(change)
        twins = [self._changed(change, draw) for draw in range(TWINS)]
        known = [twin for twin in twins if twin is not None]
        if got is None or len(known) < TWINS:
            return plain
        floor = {}
        for name, unit in self._search.unit.items():
            if name not in got or got[name].shape != unit.shape:
                return plain
            own = np.max([np.abs(twin[name] - got[name]) for twin in known], axis=0)
            floor[name] = unit + np.nan_to_num(TWIN_ROUNDING * own, nan=np.inf)
        return self._candidate(self._searching(floor), change.text, got, change)
