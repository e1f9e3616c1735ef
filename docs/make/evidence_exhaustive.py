"""Write docs/evidence/exhaustive.json: what `make test-exhaustive` tried, and how it came out.

make test-exhaustive
python docs/make/make_parity.py

`tests/conftest.py` calls `write` at the end of a session with `--record`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pages import EVIDENCE, write_evidence

FILE = EVIDENCE / "exhaustive.json"
OUTCOMES = ("passed", "failed", "error")


def counts(stats: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, int]]:
    """The outcomes of each test function over its parameters, from pytest's reports."""
    by_test: dict[str, dict[str, int]] = {}
    for outcome in OUTCOMES:
        for report in stats.get(outcome, ()):
            function = report.nodeid.rpartition("::")[2].partition("[")[0]
            of_test = by_test.setdefault(function, dict.fromkeys(OUTCOMES, 0))
            of_test[outcome] += 1
    return by_test


def write(stats: Mapping[str, Sequence[Any]]) -> None:
    """Write the record of a session."""
    write_evidence(FILE, "python -m pytest -m exhaustive --record", tests=counts(stats))
