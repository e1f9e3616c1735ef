"""docs/porting.md says what the ladder says."""

import ast
from types import SimpleNamespace

import evidence_ports
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


def test_a_crash_of_the_ladder_is_no_port_that_does_not_run(monkeypatch):
    def crash(*_, **__):
        raise ValueError("the ladder's own")

    monkeypatch.setattr(evidence_ports, "check_port", crash)
    monkeypatch.setattr(evidence_ports, "failure_of", lambda *_: "")
    with pytest.raises(ValueError, match="the ladder's own"):
        evidence_ports.judged_wrong(0, steps=1, budget=1.0)


def test_a_port_that_does_not_run_says_why():
    right = random_ports.text_of("CNN", "SGD")
    assert evidence_ports.failure_of("CNN", 0, right) == ""
    assert "nothing" in evidence_ports.failure_of("CNN", 0, right.replace("nn.elu", "nn.nothing"))


def test_the_next_best_change_is_not_what_a_verdict_names():
    change = next(c for c in random_ports.CHANGES if c.name == "another ε")
    for claimed, named in (("ε = 1e-3 in place of 1e-5", True), ("the mask forgotten", False)):
        verdict = SimpleNamespace(
            passed=False,
            failed=SimpleNamespace(name="modules"),
            cause=SimpleNamespace(found=True, text=claimed),
            text=f"why: reproduced to 1e-16 by: {claimed} (next best: ε = 1e-4, 1e-3)",
        )
        assert evidence_ports.is_named(change, verdict) == named


@pytest.mark.long
def test_the_worked_example_is_what_the_ladder_says():
    found = make_porting.verdicts()
    assert [verdict.passed for verdict in found] == [False] * 4 + [True]
    made = renew(PAGE, make_porting.sections(found))
    assert make_porting.without_rounding(made) == make_porting.without_rounding(PAGE)
    assert make_porting.without_rounding(PAGE.replace("gelu by tanh", "silu")) != (
        make_porting.without_rounding(PAGE)
    )
