"""What a cause is, and when one may be claimed."""

from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any

import numpy as np

from mnist_fn.shared.parity.bounds import CLAIM_MARGIN, NEAR_SHARE, NEAR_ZERO

Tensors = dict[str, np.ndarray]  # by name, in the order of the network


@dataclass(frozen=True)
class Cause:
    """One change to what was declared: in words for readers, as a code with its values for
    programs.
    """

    text: str  # completes "is reproduced by: ..."
    _: KW_ONLY
    code: str = ""  # what is changed: "activation", "epsilon", "padding"
    at: str = ""  # the module
    declared: Any = None  # what it is in the reference and in the port, where these are plain
    actual: Any = None
    family: str = ""  # changes of one family are one cause: a number solved for and its rounding
    rank: int = 0  # of one family the lowest is named

    @property
    def facts(self) -> dict[str, Any]:
        """All but the words."""
        names = (part.name for part in fields(Cause) if part.name != "text")
        return {name: getattr(self, name) for name in names}


AS_DECLARED = Cause("as declared", code="declared", family="declared")


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


@dataclass(frozen=True)
class Explanation:
    """What reproduces what was seen; no cause where nothing does, or too much would."""

    of: str  # what was seen: "weights after 6 steps"
    holds: bool  # what was declared reproduces it: there is nothing to explain
    causes: tuple[Candidate, ...]  # all that fit; more than one: they can't be told apart here
    next_best: Candidate | None
    pattern: str  # what can be said without a cause: which tensors, by what factor, since when
    units: float = 0.0  # how far what was declared is from what was seen: see Candidate
    rounding: str = ""  # what rounds to float32, where that explains as much

    @property
    def found(self) -> bool:
        """Whether a cause is claimed."""
        return bool(self.causes)

    @property
    def text(self) -> str:
        """The cause in words; empty if there is none."""
        return ", or ".join(cause.text for cause in self.causes)

    @property
    def sentence(self) -> str:
        """One plain sentence for a reader."""
        if self.holds:
            return f"{self.of}: as declared"
        if self.rounding:
            return f"{self.of}: {self.rounding}"
        if not self.causes:
            near = ""
            if self.next_best is not None:
                near = f"; nearest: {self.next_best.text} ({self.next_best.residual:.0e} left)"
            return f"{self.of}: no single change explains it: {self.pattern}{near}"
        then = ""
        if self.next_best is not None:
            then = f" (next best: {self.next_best.text}, {self.next_best.residual:.0e})"
        residual = max(cause.residual for cause in self.causes)
        if np.isnan(residual):
            return f"{self.of}: {self.text}"
        return f"{self.of}: reproduced to {residual:.0e} by: {self.text}{then}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "of": self.of,
            "holds": self.holds,
            "causes": [_plain(cause) for cause in self.causes],
            "next_best": None if self.next_best is None else _plain(self.next_best),
            "pattern": self.pattern,
            "sentence": self.sentence,
        }


def _plain(candidate: Candidate) -> dict[str, Any]:
    names = ("code", "at", "declared", "actual", "text", "residual")
    return {name: plain(getattr(candidate, name)) for name in names}


def plain(value: Any) -> Any:
    """A value for JSON: a number that isn't finite by its name, which `float` reads back."""
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


def judge(
    of: str, declared: Candidate, tried: Iterable[Candidate], pattern: str = ""
) -> Explanation:
    """The rule of claiming: all that fit, if all else that was tried is CLAIM_MARGIN times farther.

    Args:
        of: what was seen, in words.
        declared: what was declared, tried like the rest.
        tried: changes; of one family only the simplest that fits is named.
        pattern: what to say where no cause can be claimed.
    """
    if declared.fits:
        return Explanation(of, True, (), None, pattern, declared.units)
    fitting: dict[str, Candidate] = {}
    misses = [declared]
    for candidate in sorted(tried, key=lambda c: (c.solved + c.rank, len(c.text), c.units)):
        family = candidate.family or candidate.text
        if candidate.fits:
            fitting.setdefault(family, candidate)
        elif not np.isnan(candidate.units):
            misses.append(candidate)
    misses = [
        candidate for candidate in misses if (candidate.family or candidate.text) not in fitting
    ]
    next_best = min(misses, key=lambda candidate: candidate.units, default=None)
    causes = tuple(fitting.values())
    if causes and next_best is not None:
        largest = max(NEAR_ZERO, *(cause.units for cause in causes))
        if next_best.units < CLAIM_MARGIN * largest:
            nearest = causes[0]
            pattern = f"{nearest.text} and {next_best.text} can't be told apart; {pattern}"
            return Explanation(of, False, (), nearest, pattern, declared.units)
    if not causes and next_best is not None and not _is_near(next_best, declared):
        next_best = None  # to name what leaves much of the difference would mislead
    return Explanation(of, False, causes, next_best, pattern, declared.units)


def _is_near(candidate: Candidate, declared: Candidate) -> bool:
    """Whether a change that doesn't fit leaves so little that it is worth a look."""
    return candidate is not declared and bool(candidate.residual <= NEAR_SHARE * declared.residual)


def distance(
    predicted: Sequence[Tensors], seen: Sequence[Tensors], rounding: Sequence[Tensors]
) -> tuple[float, float]:
    """(largest absolute difference, largest in units of `rounding`) over all tensors.

    Where `rounding` is infinite an entry says nothing and is left out.
    """
    absolute = units = 0.0
    for p, s, r in zip(predicted, seen, rounding, strict=True):
        for name in s:
            if p[name].shape != s[name].shape:
                return np.inf, np.inf
            gap = np.abs(p[name] - s[name])
            gap = np.where(np.isnan(gap), np.inf, gap)[np.isfinite(r[name])]
            if gap.size:
                absolute = max(absolute, float(gap.max()))
                unit = r[name][np.isfinite(r[name])]
                units = max(units, float((gap / unit).max()))
    return absolute, units


def which(names: Sequence[str], tensors: Tensors) -> str:
    """A set of tensors in words: everywhere, the biases, layer1, or their names."""
    chosen = [name for name in tensors if name in set(names)]
    if len(chosen) == len(tensors):
        return "everywhere"
    flat = [name for name in tensors if tensors[name].ndim < 2]
    kinds = {
        "on the biases alone" if all("bias" in n for n in flat) else "on the vectors alone": flat,
        "on the kernels alone": [name for name in tensors if name not in flat],
    }
    for text, group in kinds.items():
        if chosen == group:
            return text
    layers = dict.fromkeys(layer_of(name) for name in tensors)
    for layer in layers:
        if chosen == [name for name in tensors if layer_of(name) == layer]:
            return f"on {layer} alone"
        if chosen == [name for name in tensors if layer_of(name) != layer]:
            return f"everywhere but on {layer}"
    if len(chosen) == len(tensors) - 1:
        (spared,) = set(tensors) - set(chosen)
        return f"everywhere but on {spared}"
    return "on " + " and ".join(chosen) + " alone"


def layer_of(name: str) -> str:
    """What stands before the last `/` or `.` of a tensor's name."""
    for mark in ("/", "."):
        if mark in name:
            return name.rpartition(mark)[0]
    return name


def number(value: float) -> str:
    """A number as it would be written: 0.00075 as 7.5e-4, and no digits that say nothing."""
    text = f"{value:.7g}"
    if "e" in text or (value and abs(value) < 1e-3):
        mantissa, _, exponent = f"{value:.6e}".partition("e")
        mantissa = mantissa.rstrip("0").rstrip(".")
        return f"{mantissa}e{int(exponent)}"
    return text
