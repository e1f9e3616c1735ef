"""What the ladder finds: Difference, Check, Rung, Verdict; `words` makes their text and JSON."""

import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.parity import words
from mnist_fn.shared.parity.causes.explanation import Explanation
from mnist_fn.shared.parity.param_map import ParamMap, listed

GUESSES = 12  # pairs of parameters that a verdict lists
HERE = Path(__file__).parent
LIBRARIES = re.compile("site-packages|dist-packages|/lib/python")


@dataclass(frozen=True)
class Difference:
    """The largest difference between two arrays of one name, and the entry that has it."""

    tensor: str  # "layer1/kernel"
    index: tuple[int, ...]  # (3, 17); () of a number
    left: float
    right: float
    absolute: float
    relative: float  # to the array's largest entry
    ulps: float  # at that entry, in units in the last place of its larger value

    @property
    def where(self) -> str:
        """The entry in words: `layer1/kernel[3, 17]`."""
        return f"{self.tensor}[{', '.join(map(str, self.index))}]" if self.index else self.tensor

    @classmethod
    def infinite(cls, tensor: str) -> "Difference":
        """Of what can't be compared: missing, of another shape, never computed."""
        return cls(tensor, (), np.nan, np.nan, np.inf, np.inf, np.inf)


@dataclass(frozen=True)
class Check:
    """One comparison of a rung with the bound it is held to."""

    what: str
    difference: Difference
    tolerance: float
    measure: str  # which figure of the difference the bound is on: "absolute" or "relative"
    reason: str
    state: str = ""  # which stress state it was made in; "" at the ordinary start
    step: int | None = None  # after which step of a training
    kind: str = ""  # "contract": a program lacks what the ladder asks of it

    @classmethod
    def stated(cls, what: str, holds: bool, reason: str) -> "Check":
        """Of what holds or doesn't, without a number."""
        gap = 0.0 if holds else np.inf
        difference = Difference(what, (), 0.0, 0.0, gap, gap, gap)
        return cls(what, difference, 0.0, "absolute", reason)

    @property
    def passed(self) -> bool:
        """Whether the difference is within the bound; what is not finite never is."""
        value = getattr(self.difference, self.measure)
        return bool(np.isfinite(value)) and value <= self.tolerance

    @property
    def share(self) -> float:
        """The difference as a share of its bound; where the bound is 0, the difference."""
        value = getattr(self.difference, self.measure)
        return value / self.tolerance if self.tolerance else value


Explain = Callable[[], Any]  # looks for a cause: an Explanation, of backends a Diagnosis, or None
Compared = tuple[list[Check], Explain]


def failures(checks: list[Check]) -> list[Check]:
    """Return the checks that are out of their bounds, in their order."""
    return [check for check in checks if not check.passed]


def no_cause() -> None:
    """Of a rung that has none to be looked for."""


@dataclass(frozen=True)
class Rung:
    """A rung's checks, the worst of which speaks for it."""

    name: str
    checks: list[Check] = field(repr=False)
    traceback: str = ""  # of the error that ended it

    @property
    def passed(self) -> bool:
        """Whether every check is within its bound, and there is one."""
        return bool(self.checks) and not self.failed

    @property
    def worst(self) -> Check:
        """The first check that fails, else the one nearest to its bound."""
        return self.failed[0] if self.failed else max(self.checks, key=lambda check: check.share)

    @property
    def failed(self) -> list[Check]:
        """All checks that are out of their bounds, in the order of the network."""
        return failures(self.checks)

    is_open = False  # it was climbed

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return words.rung_json(self)


def run_rung(
    name: str, compare: Callable[[], Compared], sides: tuple[str, ...] = ()
) -> tuple[Rung, Explain]:
    """A rung from what it compares, and what looks for its cause; an error inside a program, or no
    check, is a difference without bound.

    `sides` are the names of the backends, to say whose error it is.
    """
    trace, explain = "", no_cause
    text, reason = "nothing was compared", "there must be something to compare"
    try:
        checks, explain = compare()
    except InputError:
        raise
    except Exception as error:
        trace = "".join(traceback.format_exception(error))
        text = raised(error, sides)
        checks, reason = [], "must not raise"
    if not checks:
        checks = [Check(text, Difference.infinite(text), 0.0, "absolute", reason)]
    return Rung(name, checks, trace), explain


def raised(error: BaseException, sides: tuple[str, ...] = ()) -> str:
    """An error in a line: what, whose, in which file and line."""
    text = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:160]
    outside, package_steps = [], []
    for step in traceback.extract_tb(error.__traceback__):
        if not step.filename.startswith(str(HERE)):
            outside.append(step)
            # the deepest line of the backend's own package: its libraries' lines say less
            if not LIBRARIES.search(step.filename):
                package_steps.append(step)
    if not outside:
        return text
    last = (package_steps or outside)[-1]
    path = Path(last.filename)
    place = f"{path.parent.name}/{path.name}, line {last.lineno}, in {last.name}"
    if not sides:
        return f"{text} ({place})"
    files = "\n".join(step.filename for step in outside)
    whose = " or ".join(dict.fromkeys(sides))
    for side in sides:
        if f"/{side}" in files:
            whose = side
            break
    return f"{whose}: {text} ({place})"


@dataclass(frozen=True)
class Unchecked:
    """A rung that a program can't serve."""

    why: str
    nothing: bool = False  # there is nothing of the kind in either
    name: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it could not be climbed though there is something to compare."""
        return not self.nothing

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"rung": self.name, "passed": None, "not_checked": self.why}


@dataclass(frozen=True)
class Verdict:
    """The rungs that were climbed, which parameter is which, and why they differ."""

    names: tuple[str, str]
    precision: str
    param_map: ParamMap
    rungs: list[Rung | Unchecked]
    cause: Explanation | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether no rung failed; one that was not checked did not fail."""
        return self.failed is None

    @property
    def failed(self) -> Rung | None:
        """The first rung that fails."""
        for rung in self.rungs:
            if isinstance(rung, Rung) and not rung.passed:
                return rung
        return None

    @property
    def text(self) -> str:
        """The verdict: one sentence, the cause, a line for each rung, notes."""
        return words.verdict_text(self, listed(self.param_map.guessed[:GUESSES]))

    @property
    def summary(self) -> str:
        """One sentence."""
        return words.summary(self)

    def assert_passed(self) -> None:
        """Raise AssertionError with the verdict as its text, unless it passed."""
        if not self.passed:
            raise AssertionError(self.text)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return words.verdict_json(self)
