"""docs/reliability.md says what the evidence says, and the evidence is as much as was promised."""

import ast
import copy
import re
import sys

import evidence_reliability
import make_reliability
import pytest

from tests.hostile import conftest, test_files, test_outputs, test_pictures
from tests.support.killing import ROOT
from tests.support.losses import LOST

BACKENDS = ("jax", "torch")


PAGE = make_reliability.PAGE.read_text()
LIMITS = (f"{conftest.MAX_BYTES // 2**20} MiB beyond the imports, {conftest.MAX_SECONDS:.0f} s of "
          "processor time")  # fmt: skip
COMMANDS = {command for command, _ in test_outputs.OUTPUTS}
FORGED = (test_files.WEIGHTS, test_files.DATA, test_files.RUN_FILES, test_files.RECORDINGS,
          test_files.NAMES)  # fmt: skip


def test_a_loss_stands_on_the_page():
    changed = copy.deepcopy(make_reliability.documents())
    changed[0]["result"]["wrong_after_kill"] = 1
    assert "| **1** |" in make_reliability.sections(changed)["measured"]


@pytest.mark.parametrize(
    "words",
    [
        f"is refused within bounds: at most {LIMITS} |",
        f"is read or refused within bounds: at most {LIMITS} |",
        f"| {sum(map(len, FORGED))} files of weights, data, names of classes, runs and recordings, "
        f"in processes that may take {conftest.ROOM // 2**20:,} MiB |",
        f"| {len(test_pictures.CASES)} files of up to {test_pictures.SIDE**2 / 1e6:.0f} million "
        "pixels and more, in such processes |",
        f"| {len(test_outputs.OUTPUTS)} options of {len(COMMANDS)} commands, and their defaults |",
    ],
)
def test_what_the_suite_tries_is_what_the_page_says(words):
    assert words in PAGE


@pytest.mark.parametrize("lost", [0, 3])
def test_a_loss_is_written_down_and_ends_the_run_with_1(tmp_path, monkeypatch, lost):
    result = {"processes": 5, "failed": 1 if lost else 0, "differing": 2 if lost else 0}
    monkeypatch.setattr(evidence_reliability, "EVIDENCE", tmp_path)
    monkeypatch.setitem(evidence_reliability.CHECKS, "parallel", lambda *_: result)
    monkeypatch.setattr(sys, "argv", ["x", "parallel", "--backend", "jax", "--n", "5"])
    if lost:
        with pytest.raises(SystemExit, match="LOST: 3"):
            evidence_reliability.main()
    else:
        evidence_reliability.main()
    made = make_reliability.sections(make_reliability.documents(tmp_path))
    assert f"| {make_reliability.shown(lost)} |" in made["measured"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_evidence_is_as_much_as_was_promised(backend):
    results = {
        document["check"]: document["result"]
        for document in make_reliability.documents()
        if document["backend"] in (backend, None)
    }
    assert results["kills"]["kills"] >= 100
    phases = {"load", "compile", "train", "write", "evaluate"}
    if backend == "torch":  # which compiles nothing: the phase is over in a millisecond
        phases.discard("compile")
    assert set(results["kills"]["by_phase"]) >= phases
    assert results["hostile"]["inputs"] >= 100_000
    assert results["memory"]["epochs"] >= 1000
    assert results["peak"]["peak_mb"] < 1500
    assert results["parallel"]["processes"] >= 20
    assert results["reproducible"]["runs"] > results["reproducible"]["under_load"] >= 2
    assert {check: LOST[check](result) for check, result in results.items()} == dict.fromkeys(
        LOST, 0
    )


def exists(test: str) -> bool:
    """Whether there is a test `tests/…/test_file.py::name`."""
    file, name = test.split("::")
    tree = ast.parse((ROOT / file).read_text())
    return name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_test_that_the_page_names_exists():
    rows = PAGE.partition("## In every run")[2].partition("\n## ")[0].split("\n| ")[2:]
    assert len(rows) >= 25
    for row in rows:
        (test,) = re.findall(r"`(tests/[^`]+::\w+)` \|$", row.strip())
        assert exists(test), test


def test_every_promise_of_security_names_the_test_that_holds_it():
    page = (ROOT / "SECURITY.md").read_text()
    promises = page.partition("## Not trusted")[2].partition("## Trusted")[0].split("\n- ")[1:]
    assert len(promises) >= 7
    for promise in promises:
        tests = re.findall(r"`(tests/[^`]+::\w+)`", promise)
        assert tests, promise
        for test in tests:
            assert exists(test), test
