"""What a cause is, and when one may be claimed; `parity.words` puts each in English and in JSON."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field, fields
from typing import Any

import numpy as np

from mnist_fn.shared.parity import words
from mnist_fn.shared.parity.bounds import CLAIM_MARGIN, NEAR_SHARE, NEAR_ZERO


@dataclass(frozen=True)
class Cause:
    """One change to what was declared: a code with its values."""

    code: str  # what is changed: a key of `words.TEXTS`, or a phrase that reads as it is
    _: KW_ONLY
    declared: Any = None  # what it is in the reference and in the port, where these are plain
    actual: Any = None
    at: str | None = None  # the module, "" between the modules
    details: Mapping[str, Any] = field(default_factory=dict)  # other values of the sentence
    family: str = ""  # changes of one family are one cause: a number solved for and its rounding
    rank: int = 0  # of one family the lowest is named

    @property
    def text(self) -> str:
        """In words; it completes "is reproduced by: …"."""
        return words.cause_text(self)

    @property
    def facts(self) -> dict[str, Any]:
        """All but the code, to make another kind of cause of."""
        return {part.name: getattr(self, part.name) for part in fields(Cause)[1:]}

    @property
    def kind(self) -> Hashable:
        """The family, or what is one by itself."""
        return self.family or (self.code, self.at, repr((self.declared, self.actual, self.details)))


AS_DECLARED = Cause("as declared", family="declared")


@dataclass(frozen=True)
class Candidate(Cause):
    """A change that was tried, and how far it stays from what was seen."""

    residual: float  # the largest difference, absolute; NaN: it was read and not computed
    units: float  # the largest difference in units of what rounding may do; up to 1 is rounding
    solved: int = 0  # how many numbers were solved for

    @property
    def fits(self) -> bool:
        """Whether what is left is rounding."""
        return bool(np.isfinite(self.units)) and self.units <= 1

    @property
    def digits(self) -> int:
        """Of its numbers: of two changes that fit, the one with the shorter is what was written."""
        return words.digits(self.actual)


def as_declared(residual: float = np.inf, units: float = np.inf) -> Candidate:
    """What was declared, so far from what was seen."""
    return Candidate(AS_DECLARED.code, residual, units, **AS_DECLARED.facts)


@dataclass(frozen=True)
class Explanation:
    """What reproduces what was seen; no cause where nothing does, or too much would."""

    subject: str  # what was seen: "weights after 6 steps"
    holds: bool  # what was declared reproduces it: there is nothing to explain
    causes: tuple[Candidate, ...]  # all that fit; more than one: they can't be told apart here
    next_best: Candidate | None
    pattern: str  # what can be said without a cause: which tensors, by what factor, since when
    units: float = 0.0  # how far what was declared is from what was seen: see Candidate
    rounding: str = ""  # what rounds to float32, where that explains as much
    rival: Candidate | None = None  # what can't be told from the next best, which would be claimed

    @property
    def found(self) -> bool:
        """Whether a cause is claimed."""
        return bool(self.causes)

    @property
    def text(self) -> str:
        """The cause in words; empty if there is none."""
        return words.causes_text(self)

    @property
    def sentence(self) -> str:
        """One plain sentence for a reader."""
        return words.explanation_text(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return words.explanation_json(self)


def judge(
    subject: str, declared: Candidate, tried: Iterable[Candidate], pattern: str = ""
) -> Explanation:
    """The rule of claiming: all that fit, if all else that was tried is CLAIM_MARGIN times farther.

    Args:
        subject: what was seen, in words.
        declared: what was declared, tried like the rest.
        tried: changes; of one family only the simplest that fits is named.
        pattern: what to say where no cause can be claimed.
    """
    if declared.fits:
        return Explanation(subject, True, (), None, pattern, declared.units)
    fitting: dict[Hashable, Candidate] = {}
    misses = [declared]
    for candidate in sorted(tried, key=lambda c: (c.solved + c.rank, c.digits)):
        if candidate.fits:
            fitting.setdefault(candidate.kind, candidate)
        elif not np.isnan(candidate.units):
            misses.append(candidate)
    next_best = None
    for candidate in misses:
        if candidate.kind not in fitting and (not next_best or candidate.units < next_best.units):
            next_best = candidate
    causes = tuple(fitting.values())
    if causes and next_best is not None:
        largest = max(NEAR_ZERO, *(cause.units for cause in causes))
        if next_best.units < CLAIM_MARGIN * largest:
            nearest = causes[0]
            return Explanation(
                subject, False, (), nearest, pattern, declared.units, rival=next_best
            )
    if not causes and next_best is not None:
        is_near = next_best.residual <= NEAR_SHARE * declared.residual
        if next_best is declared or not is_near:
            next_best = None  # to name what leaves much of the difference would mislead
    return Explanation(subject, False, causes, next_best, pattern, declared.units)
