"""`check_backends`: the ladder between two backends from Python, and what it says."""

import json

import pytest

from cli import proving
from mnist_fn import InputError, check_backends
from tests.support.porting_bugs import BUGS

ONE = {"models": ["linear"], "precisions": ["float64"], "dataset": "digits", "devices": ["cpu"]}


@pytest.mark.long
def test_two_right_backends_agree():
    rungs = []
    verdict = check_backends(**ONE, on_rung=lambda rung: rungs.append(rung.name))
    verdict.assert_passed()
    assert rungs[0] == "inputs"
    assert rungs[-1] == "evaluation"
    assert "jax and torch agree: 1 of 1 ladders hold" in verdict.text
    assert json.loads(json.dumps(verdict.document, allow_nan=False)) == verdict.document


@pytest.mark.long
def test_a_broken_one_is_named_as_the_command_names_it(monkeypatch, capsys):
    bug = next(bug for bug in BUGS if bug.name == "label smoothing 0.1")
    monkeypatch.setattr(bug.place, bug.change)
    verdict = check_backends(**ONE)
    assert not verdict.passed
    with pytest.raises(AssertionError, match=f"torch: {bug.named}"):
        verdict.assert_passed()
    shown = proving.prove(verdict.plan, None, None, 10)
    assert shown["ladders"] == verdict.document["ladders"]
    assert verdict.text in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"level": "horizon"}, "level='horizon'`: must be one of quick, full"),
        ({"right": "jax"}, "one backend on one device agrees with itself"),
        ({"right": "nix"}, "must be one of jax"),
    ],
)
def test_what_is_not_there_is_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        check_backends(**{**ONE, **arguments})
