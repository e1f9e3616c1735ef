"""torch.optim against optax, torch's losses against optax's: right, wrong and truly different."""

import pytest

from mnist_fn.parity import check_port
from tests.zoo.public_rules import LOSSES, OPTIMIZERS

pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.filterwarnings("ignore:reduction. 'mean' divides"),  # torch's kl_div: a pair here
]


def judge(pair, loss):
    verdict = check_port(*pair.programs(loss), steps=12)
    if not pair.rung:
        verdict.assert_passed()
        return
    assert not verdict.passed, verdict.text
    assert verdict.failed.name == pair.rung, verdict.text
    cause = verdict.cause.text if verdict.cause is not None and verdict.cause.found else ""
    assert pair.words in cause if pair.words else not cause, verdict.text


@pytest.mark.parametrize("pair", OPTIMIZERS, ids=lambda pair: pair.name)
def test_an_optimizer_of_optax_is_judged_as_it_deserves(pair):
    judge(pair, loss=False)


@pytest.mark.parametrize("pair", LOSSES, ids=lambda pair: pair.name)
def test_a_loss_of_optax_is_judged_as_it_deserves(pair):
    judge(pair, loss=True)
