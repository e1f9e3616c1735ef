"""docs/performance.md is what its evidence says."""

import make_performance as script


def test_docs_and_evidence_agree():
    """If not: python docs/make/make_performance.py"""
    assert script.evidence()
    assert (script.DOCS / "performance.md").read_text() == script.text()
    for path in script.evidence():
        assert script.stamp(path) in script.chart_of(path).read_text()
