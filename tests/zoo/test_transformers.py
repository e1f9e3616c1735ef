"""transformers' Flax models and their PyTorch twins: right ones pass, true differences are named.

`make test-zoo` runs these; they need transformers 4.57, the last version with Flax models.
"""

import importlib.util

import pytest

from mnist_fn.parity import check_port

if importlib.util.find_spec("transformers") is None:
    pytest.skip("needs transformers==4.57.*: make test-zoo", allow_module_level=True)

from tests.zoo.public_pairs import PAIRS

pytestmark = [pytest.mark.zoo, pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_a_public_pair_has_the_verdict_that_it_deserves(pair):
    verdict = check_port(*pair.programs(), steps=5)
    if not pair.rung:
        verdict.assert_passed()
        return
    assert not verdict.passed
    assert verdict.failed.name == pair.rung, verdict.text
    assert pair.words in verdict.text
