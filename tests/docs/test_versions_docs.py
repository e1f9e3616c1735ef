"""docs/versions.md says what the evidence says, which is wrong where a fault is known alone."""

import copy
import json

import evidence_bounds
import make_versions
import pytest
from packaging.requirements import Requirement

from mnist_fn.shared.faults import FAULTS
from mnist_fn.shared.parity.ladder import BACKEND_RUNGS


def test_the_comparison_sees_another_verdict():
    changed = copy.deepcopy(make_versions.documents())
    changed[0]["ladders"]["XNNPACK"][0]["shallow, float32"] = {"rung": "step", "what": "other"}
    made = make_versions.sections(changed)["checks"]
    assert "**differs** 1 of 1: shallow, float32: step (other)" in made
    assert made != make_versions.sections()["checks"]


def test_a_ladder_without_an_answer_neither_holds_nor_parts():
    said = make_versions.verdict([{"linear, float64": None}, {"error": "no answer in 600 s"}])
    assert said == "**not known** 1 of 2: no answer in 600 s"


def test_a_rung_has_its_present_name():
    """Whatever it was called when the evidence was made."""
    climbs = [
        climb
        for one in make_versions.documents()
        for ladder in one["ladders"].values()
        for climb in ladder
    ]
    parted = [where for climb in climbs for where in climb.values() if isinstance(where, dict)]
    assert parted
    assert {where["rung"] for where in parted} <= set(BACKEND_RUNGS)
    assert not [where for where in parted if "kink" in where["what"]]


def test_what_is_wrong_in_the_evidence_is_known_and_nothing_else():
    known = {version for fault in FAULTS for version in fault.versions}
    for one in make_versions.documents():
        wrong = any(not check["passed"] for run in one["checks"] for check in run.values())
        assert wrong == (one["jax"] in known), one["command"]


def test_the_ends_are_of_the_bounds_that_we_have():
    assert not (ends := evidence_bounds.stale()), [f"make test-{end}" for end in ends]


def test_a_result_of_other_bounds_is_stale(tmp_path, monkeypatch):
    monkeypatch.setattr(evidence_bounds, "EVIDENCE", tmp_path)
    for end, of in (("lowest", evidence_bounds.digest()), ("newest", "other")):
        (tmp_path / f"bounds-{end}.json").write_text(json.dumps({"bounds_sha256": of}))
    assert evidence_bounds.stale() == ["newest"]


def test_no_bound_and_no_pin_lets_a_known_wrong_version_in():
    here = evidence_bounds.here()
    for line in here:
        asked = Requirement(line)
        for fault in FAULTS:
            wrong = asked.specifier.filter(fault.versions) if asked.name == fault.package else ()
            assert not list(wrong), line
    assert {fault.package for fault in FAULTS} <= {Requirement(line).name for line in here}


PYPROJECT = """[project]
name = "mnist-fn"
dependencies = ["jax>=0.8.2", "torch>=2.8"]
[project.optional-dependencies]
all = ["mnist-fn[ray]"]
ray = ["ray>=2.60"]
test = ["pytest>=8"]
"""
PINS = """# exact
jax==0.10.1; python_version < "3.12"
pytest==9.2.0
"""


@pytest.mark.parametrize(
    ("pyproject", "pins", "same"),
    [
        (PYPROJECT.replace("jax>=0.8.2", "jax>=0.8.3"), PINS, False),
        (PYPROJECT.replace("ray>=2.60", "ray>=2.61"), PINS, False),
        (PYPROJECT, PINS.replace("0.10.1", "0.10.0"), False),
        (PYPROJECT, PINS + "Torch==2.15.0\n", False),
        (PYPROJECT.replace(', "torch>=2.8"]', "]") + 'torch = ["torch>=2.8"]', PINS, True),
        (PYPROJECT.replace("pytest>=8", "pytest>=9"), PINS.replace("9.2.0", "9.2.1"), True),
        (PYPROJECT, PINS + "mkdocs==2.0\n", True),
    ],
)
def test_the_bounds_are_what_a_user_gets_wherever_it_stands(pyproject, pins, same):
    found = evidence_bounds.bounds(PYPROJECT, PINS)
    assert (evidence_bounds.bounds(pyproject, pins) == found) == same
    assert found == ['jax==0.10.1; python_version < "3.12"', "jax>=0.8.2", "ray>=2.60",
                     "torch>=2.8"]  # fmt: skip


def test_evidence_of_a_wrong_version_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(make_versions, "EVIDENCE", tmp_path)
    assert not list(make_versions.made_beside_wrong())
    for name, version in (("one", "0.8.1"), ("two", "0.10.1"), ("versions-x", "0.10.2")):
        (tmp_path / f"{name}.json").write_text(f'{{"jaxlib": "{version}"}}')
    (said,) = make_versions.made_beside_wrong()
    assert "with jaxlib 0.8.1, some of them in part, and not" in said
    assert "They **may be wrong**." in said
    assert "`one`." in said
