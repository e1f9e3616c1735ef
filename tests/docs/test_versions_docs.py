"""docs/versions.md says what the evidence says, which is wrong where a fault is known alone."""

import copy

import make_versions

from mnist_fn.shared.faults import FAULTS


def test_the_page_is_what_the_evidence_says():
    assert make_versions.PAGE.read_text() == make_versions.page(make_versions.documents())


def test_the_comparison_sees_another_verdict():
    changed = copy.deepcopy(make_versions.documents())
    changed[0]["ladders"]["XNNPACK"][0]["shallow, float32"] = {"rung": "step", "what": "other"}
    assert "parts" in make_versions.page(changed)
    assert make_versions.page(changed) != make_versions.PAGE.read_text()


def test_what_is_wrong_in_the_evidence_is_known_and_nothing_else():
    known = {version for fault in FAULTS for version in fault.versions}
    for one in make_versions.documents():
        wrong = any(not check["passed"] for run in one["checks"] for check in run.values())
        assert wrong == (one["jax"] in known), one["command"]
