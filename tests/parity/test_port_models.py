"""Models of several kinds, each in both frameworks: in float64 they agree over 100 steps."""

import pytest

from mnist_fn.parity import check_port
from tests.support.port_models import MODELS


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long) for name in MODELS if name != "function"]
)
def test_a_right_port_agrees_over_a_hundred_steps(name):
    holds(*MODELS[name]())


@pytest.mark.long
def test_a_function_agrees_over_a_hundred_steps():
    holds(*MODELS["function"]())


@pytest.mark.long
@pytest.mark.parametrize("name", ["function", "LSTM"])
def test_in_float32_beside_twins(name):
    reference, port, batches = MODELS[name]()
    verdict = check_port(reference, port, batches, precision="float32")
    verdict.assert_passed()
    assert verdict.precision == "float32"


def holds(reference, port, batches):
    verdict = check_port(reference, port, batches, steps=100)
    verdict.assert_passed()
    trajectory = next(rung for rung in verdict.rungs if rung.name == "trajectory")
    assert max(check.difference.absolute for check in trajectory.checks) < 1e-11
