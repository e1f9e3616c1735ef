"""docs/parity.md says what the evidence and the tests say."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def make_parity():
    spec = importlib.util.spec_from_file_location("make_parity", ROOT / "docs" / "make_parity.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(ROOT / "docs"))
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_evidence_makes(make_parity):
    text = make_parity.PAGE.read_text()
    assert make_parity.renew(text, make_parity.sections()) == text


def test_a_changed_figure_is_seen(make_parity):
    made = make_parity.sections()
    changed = {**made, "bugs": made["bugs"].replace("inputs", "logits", 1)}
    assert make_parity.renew(make_parity.PAGE.read_text(), changed) != make_parity.PAGE.read_text()


def test_the_figure_is_of_the_evidence(make_parity):
    if make_parity.evidence("horizon") is None:
        pytest.skip("no horizon evidence yet: mnist-fn parity --level horizon --out docs/evidence")
    assert make_parity.stamp() in make_parity.FIGURE.read_text()


def test_every_row_of_the_semantics_table_names_a_test_that_stands(make_parity):
    named = re.findall(r"`(test_\w+)\.py::(\w+)`", make_parity.PAGE.read_text())
    assert len(named) >= 12
    for file, function in named:
        assert f"def {function}(" in (ROOT / "tests" / f"{file}.py").read_text(), function


@pytest.mark.parametrize("level", ["full", "horizon", "statistics"])
def test_the_evidence_holds(make_parity, level):
    document = make_parity.evidence(level)
    if document is None:
        pytest.skip(f"no {level} evidence yet: mnist-fn parity --level {level} --out docs/evidence")
    assert document["backends"] == ["jax", "torch"]
    assert document["dataset"] == "mnist"
    if level == "full":
        double = [one for one in document["ladders"] if one["precision"] == "float64"]
        assert len(double) == 9
        assert all(one["passed"] and one["steps"] == 3000 for one in double)
