"""The README's figures are those of the evidence, and the evidence meets the study's goals."""

import importlib.util
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location("make_results", ROOT / "docs" / "make_results.py")
make_results = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_results)
EVIDENCE = json.loads(make_results.EVIDENCE.read_text())


def test_the_readme_is_what_the_evidence_makes():
    text = (ROOT / "README.md").read_text()
    assert make_results.readme_with(text, EVIDENCE) == text


def test_a_changed_figure_is_seen():
    text = (ROOT / "README.md").read_text()
    changed = json.loads(json.dumps(EVIDENCE))
    changed["runs"][0]["min_test_loss"] += 0.01
    assert make_results.readme_with(text, changed) != text


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
