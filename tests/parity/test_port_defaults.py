"""Each default in which the frameworks differ is found, and named as docs/porting.md has it."""

import pytest

from mnist_fn.parity import check_port
from tests.support.port_defaults import DEFAULTS

QUICK = ("LayerNorm's ε", "SAME of a strided one", "clipping by norm", "squared error")


@pytest.mark.parametrize(
    "default",
    [
        pytest.param(one, id=one.topic, marks=[] if one.topic in QUICK else [pytest.mark.long])
        for one in DEFAULTS
    ],
)
def test_a_default_is_found_and_named(default):
    verdict = check_port(*default.programs(), steps=3)
    if not default.rung:
        verdict.assert_passed()
        assert any(default.words in note for note in verdict.notes), verdict.text
        return
    assert verdict.failed is not None, verdict.text
    assert verdict.failed.name == default.rung, verdict.text
    assert default.words in verdict.cause.text, verdict.text


def test_the_kept_variance_is_told_apart_from_either_side():
    (default,) = (one for one in DEFAULTS if one.topic == "BatchNorm's kept variance")
    reference, port, batches = default.programs()
    verdict = check_port(port, reference, batches, steps=3)
    verdict.assert_passed()
    assert any(default.words in note for note in verdict.notes), verdict.text
