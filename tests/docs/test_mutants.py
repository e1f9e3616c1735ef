"""Mutation testing changes what it says, and its counts stand on a page."""

import mutants
import pytest
from pages import read_evidence

TEXT = """
LIMIT: int = 3

def choose(a: dict[str, int], b):
    if not b and a["x"] <= LIMIT:
        return min(b, 2) + 1
    return b if a is None else b / 2
"""


def test_each_kind_of_change_is_made_once():
    changes = [change for _, change, _ in mutants.mutants(TEXT)]
    assert sorted(changes) == sorted([
        "3 -> 4",
        "not b and a['x'] <= LIMIT -> not b or a['x'] <= LIMIT",
        "not b -> +b",
        "a['x'] <= LIMIT -> a['x'] > LIMIT",
        "min(b, 2) + 1 -> min(b, 2) - 1",
        "min -> max",
        "2 -> 3",
        "1 -> 2",
        "b if a is None else b / 2 -> b / 2 if a is None else b",
        "a is None -> a is not None",
        "b / 2 -> b * 2",
        "2 -> 3",
    ])  # fmt: skip


def test_a_mutant_is_the_module_with_one_change():
    for line, change, text in mutants.mutants(TEXT):
        assert text != TEXT
        compile(text, "mutant", "exec")
        assert TEXT.splitlines()[line - 1].strip(), change


COUNTED = read_evidence("mutants")["rooms"]


@pytest.mark.parametrize("room", COUNTED)
def test_few_mutants_of_a_room_survive(room):
    """At most one in twenty, of all that there are."""
    counts = COUNTED[room]
    assert len(counts["survivors"]) <= counts["tried"] / 20
    assert counts["tried"] == counts["mutants"] > 20


def test_every_room_is_counted():
    assert set(COUNTED) == set(mutants.ROOMS)
