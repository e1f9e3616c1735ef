"""What the ladder finds: Difference, Check, Rung, Verdict; their text and JSON are made here."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.parity.causes.explanation import Explanation, plain
from mnist_fn.shared.parity.param_map import ParamMap, listed

SCHEMA = 1
GUESSES = 12  # pairs of parameters that a verdict lists
HERE = Path(__file__).parent


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

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a number that is not finite becomes its name."""
        numbers = {
            name: plain(getattr(self, name))
            for name in ("left", "right", "absolute", "relative", "ulps")
        }
        return {"where": self.where, "tensor": self.tensor, "index": list(self.index), **numbers}


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

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the reason, which a rung gives once."""
        return {
            "what": self.what,
            **self.difference.to_dict(),
            "tolerance": plain(self.tolerance),
            "measure": self.measure,
            **({"state": self.state} if self.state else {}),
            **({"step": self.step} if self.step is not None else {}),
        }


Explain = Callable[[], Any]  # looks for a cause: an Explanation, of backends a Diagnosis, or None
Compared = tuple[list[Check], Explain]


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
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def worst(self) -> Check:
        """The first check that fails, else the one nearest to its bound."""
        for check in self.checks:
            if not check.passed:
                return check
        return max(self.checks, key=lambda check: check.share)

    @property
    def failed(self) -> list[Check]:
        """All checks that are out of their bounds, in the order of the network."""
        return [check for check in self.checks if not check.passed]

    @property
    def held(self) -> list[Check]:
        """All checks that are within."""
        return [check for check in self.checks if check.passed]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "rung": self.name,
            "passed": self.passed,
            "worst": {**self.worst.to_dict(), "reason": self.worst.reason},
            "checks": [{**check.to_dict(), "passed": check.passed} for check in self.checks],
            **({"traceback": self.traceback} if self.traceback else {}),
        }


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
    steps = list(traceback.extract_tb(error.__traceback__))
    outside = [step for step in steps if not step.filename.startswith(str(HERE))]
    if not outside:
        return text
    # the deepest line of the backend's own package: its libraries' lines say less
    library = ("site-packages", "dist-packages", "/lib/python")
    package_steps = [step for step in outside if not any(part in step.filename for part in library)]
    last = (package_steps or outside)[-1]
    path = Path(last.filename)
    place = f"{path.parent.name}/{path.name}, line {last.lineno}, in {last.name}"
    theirs = [side for side in sides if any(f"/{side}" in step.filename for step in outside)]
    whose = f"{theirs[0] if theirs else ' or '.join(dict.fromkeys(sides))}: " if sides else ""
    return f"{whose}{text} ({place})"


@dataclass(frozen=True)
class Unchecked:
    """A rung that a program can't serve."""

    why: str
    nothing: bool = False  # there is nothing of the kind in either
    name: str = ""

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
        climbed = [rung for rung in self.rungs if isinstance(rung, Rung)]
        return next((rung for rung in climbed if not rung.passed), None)

    @property
    def text(self) -> str:
        """The verdict: one sentence, the cause, a line for each rung, notes."""
        lines = [self.summary, *self._why(), *self._guesses(), "", *map(_line, self.rungs)]
        return "\n".join([*lines, *self._noted()])

    @property
    def summary(self) -> str:
        """One sentence."""
        reference, port = self.names
        if self.failed is None:
            unchecked = sum(map(_is_open, self.rungs))
            but = f"; {unchecked} of {len(self.rungs)} rungs not checked" if unchecked else ""
            if any(r.name == "randomness" and _is_open(r) for r in self.rungs):
                but += "; dropout not compared"
            return f"{port} computes what {reference} does, in {self.precision}{but}"
        return f"{port} differs from {reference} at: {self.failed.name}"

    def _why(self) -> list[str]:
        if self.failed is None:
            return []
        worst = self.failed.worst
        d = worst.difference
        lines = []
        if self.cause is not None and self.cause.holds:
            lines = [
                "why: not known: the reference's rule makes the port's weights of the port's own "
                "gradients; look at what these are made of before that step"
            ]
        elif self.cause is not None:
            lines = [f"why: {self.cause.sentence}"]
        if d.left == d.right:  # nothing was measured: parameters have no partner
            without = [check.what for check in self.failed.failed]
            suffix = f"; and {len(without) - 1} more" if len(without) > 1 else ""
            return [*lines, f"first: {without[0]}{suffix}"]
        if np.isnan(d.left) and np.isnan(d.right):  # another shape or an error: no entries
            return [*lines, f"first: {d.where}"]
        place = "" if worst.what in d.where else f" ({worst.what})"
        return [*lines, f"first: {d.where}{place}: {d.left:.9g} against {d.right:.9g}"]

    def _guesses(self) -> list[str]:
        """What rests on a pair that names don't tell."""
        guessed = self.param_map.guessed
        if self.passed or not guessed:
            return []
        more = [f"and {len(guessed) - GUESSES} more"] if len(guessed) > GUESSES else []
        pairs = [f"  {line}" for line in (*listed(guessed[:GUESSES]), *more)]
        return ["the pairs below were guessed; give param_map=… if one is wrong", *pairs]

    def _noted(self) -> list[str]:
        return [f"note: {note}" for note in self.notes]

    def assert_passed(self) -> None:
        """Raise AssertionError with the verdict as its text, unless it passed."""
        if not self.passed:
            raise AssertionError(self.text)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "schema": SCHEMA,
            "passed": self.passed,
            "reference": self.names[0],
            "port": self.names[1],
            "precision": self.precision,
            "summary": self.summary,
            "cause": None if self.cause is None else self.cause.to_dict(),
            "param_map": [
                {"reference": p.name, "port": p.other, "axes": list(p.layout.axes),
                 "shape": list(p.layout.shape), "guessed": not p.sure}
                for p in self.param_map.params
            ],
            "rungs": [rung.to_dict() for rung in self.rungs],
            "notes": self.notes,
        }  # fmt: skip


def _is_open(rung: Rung | Unchecked) -> bool:
    """Whether a rung could not be climbed though there is something to compare."""
    return isinstance(rung, Unchecked) and not rung.nothing


def _line(rung: Rung | Unchecked) -> str:
    if isinstance(rung, Unchecked):
        words = rung.why if rung.nothing else f"not checked, because {rung.why}"
        return f"  --    {rung.name:13} {words}"
    worst = rung.worst
    mark = "ok  " if rung.passed else "FAIL"
    n = len(rung.checks)
    if not worst.tolerance:
        measured = worst.what if not rung.passed else f"{n} agree"
    else:
        measured = (
            f"{worst.difference.absolute:.1e} of {worst.tolerance:.1e} allowed, {worst.what}; "
            f"{n} compared"
        )
    return f"  {mark}  {rung.name:13} {measured}"
