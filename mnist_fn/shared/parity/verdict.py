"""What the ladder says of a port, in words and as plain values."""

import json
from dataclasses import dataclass, field
from typing import Any

from mnist_fn.shared.parity.causes.explanation import Explanation
from mnist_fn.shared.parity.checks import Rung
from mnist_fn.shared.parity.param_map import ParamMap

SCHEMA = 1


@dataclass(frozen=True)
class Unchecked:
    """A rung that a program can't serve."""

    name: str
    why: str
    nothing: bool = False  # there is nothing of the kind in either

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"rung": self.name, "passed": None, "not_checked": self.why}


@dataclass(frozen=True)
class Verdict:
    """The rungs that were climbed, which parameter is which, and why they part."""

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
        """The rung at which they part."""
        climbed = [rung for rung in self.rungs if isinstance(rung, Rung)]
        return next((rung for rung in climbed if not rung.passed), None)

    @property
    def text(self) -> str:
        """The verdict: one sentence, the cause, a line for each rung, notes."""
        return "\n".join([self.summary, *self._why(), "", *map(_line, self.rungs), *self._noted()])

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
        return f"{port} parts from {reference} at: {self.failed.name}"

    def _why(self) -> list[str]:
        if self.failed is None:
            return []
        worst = self.failed.worst
        d = worst.difference
        lines = [] if self.cause is None else [f"why: {self.cause.sentence}"]
        if d.left == d.right:  # nothing was measured: parameters have no partner
            without = [check.what for check in self.failed.failed]
            more = f" and {len(without) - 6} more" if len(without) > 6 else ""
            return [*lines, f"first: {'; '.join(without[:6])}{more}"]
        where = "" if worst.what in d.where else f" ({worst.what})"
        return [*lines, f"first: {d.where}{where}: {d.left:.9g} against {d.right:.9g}"]

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
                 "shape": list(p.layout.shape)}
                for p in self.param_map.params
            ],
            "rungs": [rung.to_dict() for rung in self.rungs],
            "notes": self.notes,
        }  # fmt: skip

    def to_json(self) -> str:
        """The same as one JSON document."""
        return json.dumps(self.to_dict(), allow_nan=False)


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
