"""docs/porting.md says what the ladder says."""

import ast

import make_porting
import pytest
from pages import renew

from tests.support import random_ports

PAGE = make_porting.PAGE.read_text()


def test_the_table_has_a_row_for_each_default():
    table = make_porting.sections([])["defaults"]
    assert table in PAGE
    assert PAGE.count("found at") == 1


@pytest.mark.parametrize("section", ["public", "random"])
def test_the_counts_of_ports_are_their_evidence(section):
    assert make_porting.sections([])[section] in PAGE


def test_a_port_drawn_at_random_is_wrong_in_one_line():
    changes = set()
    for model in random_ports.REFERENCES:
        for optimizer in random_ports.OPTIMIZERS:
            right = random_ports.text_of(model, optimizer).splitlines()
            for change, number, line, text in random_ports.wrong_ports(model, optimizer):
                ast.parse(text)
                wrong = text.splitlines()
                differing = [i for i, pair in enumerate(zip(right, wrong, strict=True), start=1)
                             if pair[0] != pair[1]]  # fmt: skip
                assert (differing, wrong[number - 1].strip()) == ([number], line)
                changes.add(change.name)
    assert changes == {change.name for change in random_ports.CHANGES}


@pytest.mark.long
def test_the_worked_example_is_what_the_ladder_says():
    found = make_porting.verdicts()
    assert [verdict.passed for verdict in found] == [False] * 4 + [True]
    made = renew(PAGE, make_porting.sections(found))
    assert make_porting.without_rounding(made) == make_porting.without_rounding(PAGE)
    assert make_porting.without_rounding(PAGE.replace("gelu by tanh", "silu")) != (
        make_porting.without_rounding(PAGE)
    )
