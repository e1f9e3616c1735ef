"""docs/predict.md says what the evidence says, and the limit is the one that was measured."""

import copy

import make_predict
import numpy as np
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


def test_what_the_page_says_in_words_is_so():
    """Most misreadings and half of what is no digit; four of twenty on squared paper."""
    found = read_evidence("pictures")
    below = found["unsure"]["below"][f"{CONFIDENT:g}"]
    assert 0.75 < below["wrong"] < 0.85
    others = [share for name, share in below.items() if name not in ("right", "wrong")]
    assert 0.4 < np.mean(others) < 0.6
    lined = found["kinds"]["blank, ruled"]
    assert (lined["n"] - lined["right"], lined["n"], lined["wrong_and_sure"]) == (4, 20, 0)
    page = " ".join(make_predict.PAGE.read_text().split())
    assert "(4 of 20 in the row *blank, ruled*" in page
    assert "marks most misreadings, and about half" in page
