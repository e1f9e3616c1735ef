"""Eleven disputes that people had over a port: the right one passes, the broken one is named."""

import pytest
import torch

from mnist_fn.parity import FlaxProgram, Recording, check_port, record
from tests.support.port_cases import load_cases
from torch_ref.parity import TorchProgram

# name: (rung, what the cause says)
DISPUTES = {
    "flattened in another order": ("modules", "flattened channels last, where PyTorch flattens "
                                              "[6, 4, 4]"),
    "padding of a strided convolution": ("modules", "stem: padding SAME, which is (2, 3) here, in "
                                                    "place of 3 on either side"),
    "LayerNorm's epsilon": ("modules", "norm: ε = 1e-6 in place of 1e-5"),
    "GELU by tanh": ("modules", "gelu by tanh in place of exact gelu"),
    "BatchNorm's momentum": ("buffers", "norm: running averages keep 0.99 of what they were in "
                                        "place of 0.9"),
    "attention scaled by d": ("modules", "scores divided by d in place of √d"),
    "L2 for decoupled decay": ("step", "decoupled decay in place of coupled"),
    "TensorFlow's epsilon": ("step", "ε added before the bias correction of √v"),
    "clipping on one side": ("stress states", "gradients clipped to a global norm of 1"),
    "a loss with a floor": ("stress states", "log(p + 1e-15) in place of the stable form"),
    "a clamp that lets the gradient through": ("stress states",
                                               "the gradient passes through the clamp"),
}  # fmt: skip
# a module, what is between them, buffers, a step, a probe; the others are long, and each of their
# causes is some quick test's of port_defaults or port_own
QUICK = (
    "flattened in another order", "attention scaled by d", "BatchNorm's momentum",
    "TensorFlow's epsilon", "a loss with a floor",
)  # fmt: skip
RIGHT = ("BatchNorm's momentum",)


def quick_or_long(quick):
    return [n if n in quick else pytest.param(n, marks=pytest.mark.long) for n in DISPUTES]


def sides(case, broken):
    torch.manual_seed(0)
    reference = TorchProgram(case.reference(), loss=case.torch_loss, optimizer=case.torch_optimizer)
    port = FlaxProgram(case.port(broken), loss=case.jax_loss(broken),
                    optimizer=case.optax_optimizer(broken))  # fmt: skip
    return reference, port


@pytest.mark.parametrize("name", quick_or_long(QUICK))
def test_the_broken_port_is_found_at_its_rung_and_named(name):
    case = load_cases()[name]
    rung, words = DISPUTES[name]
    verdict = check_port(*sides(case, True), [(case.inputs, case.targets)])
    assert not verdict.passed
    assert verdict.failed.name == rung, verdict.text
    assert verdict.cause.found, verdict.text
    assert words in verdict.cause.text
    assert max(cause.units for cause in verdict.cause.causes) <= 1
    with pytest.raises(AssertionError, match="why: "):
        verdict.assert_passed()


@pytest.mark.parametrize("name", quick_or_long(RIGHT))
def test_the_right_port_passes(name):
    case = load_cases()[name]
    verdict = check_port(*sides(case, False), [(case.inputs, case.targets)])
    verdict.assert_passed()
    unbiased = [note for note in verdict.notes if "unbiased variance" in note]
    assert len(unbiased) == (name == "BatchNorm's momentum")


def test_no_dispute_is_left_out():
    assert set(load_cases()) == set(DISPUTES)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.long) for name in DISPUTES],
)
def test_a_recorded_reference_gives_the_same_verdict(name, tmp_path):
    case = load_cases()[name]
    reference, port = sides(case, True)
    sizes = []
    size = record(reference, [(case.inputs, case.targets)], tmp_path / "r", on_size=sizes.append)
    assert [size] == sizes == [(tmp_path / "r").stat().st_size]
    kept = Recording(tmp_path / "r")
    verdict = check_port(kept, port, kept.batches)
    rung, words = DISPUTES[name]
    assert verdict.failed.name == rung, verdict.text
    assert words in verdict.cause.text, verdict.text
