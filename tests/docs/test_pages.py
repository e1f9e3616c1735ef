"""Each page is what its script makes of the evidence."""

import make_cluster
import make_parity
import make_performance
import make_predict
import make_reliability
import make_versions
import pytest
from pages import SECTION, renew

SCRIPTS = (make_cluster, make_parity, make_performance, make_predict, make_reliability,
           make_versions)  # fmt: skip


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_a_page_is_what_its_script_makes(script):
    """If not, run the script that is named: `python docs/make/make_….py`."""
    text, sections = script.PAGE.read_text(), script.sections()
    assert renew(text, sections) == text
    assert {name for _, name, _ in SECTION.findall(text)} == set(sections)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_a_changed_section_is_seen(script):
    text, sections = script.PAGE.read_text(), script.sections()
    for name in sections:
        assert renew(text, {**sections, name: "other"}) != text


def test_the_charts_are_of_the_evidence():
    assert make_parity.stamp() in make_parity.FIGURE.read_text()
    for path in make_performance.evidence():
        assert make_performance.stamp(path) in make_performance.chart_of(path).read_text()
