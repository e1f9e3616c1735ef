"""The README's figures are those of the evidence, and the evidence meets the study's goals."""

import copy
import json
from dataclasses import replace

import make_results
import pytest
from pages import renew

from mnist_fn import train
from mnist_fn.shared import backend as backends
from mnist_fn.shared.runs.folder import RunFolder
from tests.support.tiny_backend import TINY, Tiny

EVIDENCE = json.loads(make_results.RUNS.read_text())


def readme_with(evidence) -> str:
    return renew(make_results.README.read_text(), make_results.sections(evidence))


def test_the_readme_is_what_the_evidence_makes():
    assert readme_with(EVIDENCE) == make_results.README.read_text()


def test_a_changed_figure_is_seen():
    changed = copy.deepcopy(EVIDENCE)
    changed["runs"][0]["min_test_loss"] += 0.01
    assert readme_with(changed) != make_results.README.read_text()


def test_every_seed_meets_the_goals():
    for run in EVIDENCE["runs"]:
        assert run["epochs"] == 100
        if run["l2"] == "3e-05":
            assert run["min_test_loss"] <= 0.052
            assert run["max_test_accuracy"] >= 0.9835
        else:
            assert run["min_test_loss"] <= 0.066
            assert 10 <= run["epoch"] <= 30
            assert run["final_test_loss"] > 0.085


def test_where_it_was_made_comes_from_the_runs_and_runs_made_otherwise_are_refused(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(backends, "find", lambda _: Tiny)
    documents = []
    for seed in (0, 1):
        run = train(TINY.replace(seed=seed), "tiny", out=tmp_path / str(seed))
        header = replace(RunFolder(run.path).read_header(), machine="a machine of theirs")
        RunFolder(run.path).write_header(header)
        documents.append(json.dumps(run.summary()))
    assert make_results.evidence_from(documents)["machine"] == "a machine of theirs"
    RunFolder(run.path).write_header(replace(header, machine="another"))
    with pytest.raises(SystemExit, match="not made alike"):
        make_results.evidence_from(documents)
