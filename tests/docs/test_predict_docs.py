"""docs/predict.md says what the evidence says, and the limit is the one that was measured."""

import copy

import make_predict
from pages import read_evidence

from mnist_fn.shared.pictures.reading import CONFIDENT
from tests.support.picture_kinds import KINDS


def test_the_evidence_has_every_kind_and_the_limit():
    found = read_evidence("pictures")
    assert list(found["kinds"]) == list(KINDS)
    assert found["unsure"]["limit"] == CONFIDENT
    changed = copy.deepcopy(found)
    changed["kinds"]["pencil"]["right"] -= 1
    assert make_predict.kinds(changed) != make_predict.kinds(found)
