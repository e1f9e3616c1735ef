"""What somebody meets who writes a backend from the docs alone."""

import re
from pathlib import Path

import pytest

from cli import proving
from mnist_fn import Config
from mnist_fn.shared import backend as backends
from mnist_fn.shared.data.datasets import load
from mnist_fn.shared.parity.backends.checks import Pair
from mnist_fn.shared.parity.backends.climb import BackendClimb
from mnist_fn.shared.parity.backends.numpy_program import NumpyBackend, flat, logits
from mnist_fn.shared.parity.backends.one_pass import Side, pixels
from mnist_fn.shared.parity.causes.precision import round_to_bits
from mnist_fn.shared.parity.ladder import BACKEND_RUNGS, climb
from mnist_fn.shared.parity.levels import OPTIMIZERS, make_plan

PAGE = Path(__file__).parents[2] / "docs" / "parity.md"


@pytest.fixture(scope="module")
def skeleton():
    """The page's own code."""
    if not PAGE.exists():
        pytest.skip("a source distribution has no docs/")
    text = PAGE.read_text().partition("<!-- skeleton -->")[2]
    return re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]


def made(code, change=("", "")):
    """The maker of the page's backend, one line of it changed."""
    assert change[0] in code
    module = {"__name__": "mine"}
    exec(compile(code.replace(*change), "mine.py", "exec"), module)
    return module["make"]


def pair(make, data, optimizer="adam+l2", hidden=(16,)):
    config = Config(dataset="digits", hidden=hidden, precision="float64", **OPTIMIZERS[optimizer])
    return Pair(backends.find("torch"), make, config, data)


@pytest.mark.parametrize("optimizer", ["adam+l2", "adamw"])
def test_the_pages_skeleton_climbs_as_it_stands(digits, skeleton, optimizer):
    assert len(skeleton.splitlines()) < 100
    rungs, _ = climb(BackendClimb(pair(made(skeleton), digits, optimizer), steps=12))
    assert [rung.name for rung in rungs] == list(BACKEND_RUNGS), rungs[-1].to_dict()
    assert rungs[-1].passed


@pytest.mark.parametrize(
    ("change", "rung", "words"),
    [
        (("def gradients(self", "def gradient(self"), "inputs", "mine: no method gradients"),
        (("        return state\n\n    def dump", "        return StateTree({k.replace('layer', "
          "'Dense_'): v for k, v in state.params.items()}, state.slots, state.step)"
          "\n\n    def dump"), "inputs",
         "mine: no layer1, layer2 in params; found Dense_1, Dense_2"),
        (("mu / first", "mu"), "step", "mine: no bias correction of the first moment"),
        (("+ 1e-8)", "+ 1e-6)"), "step", "mine: ε = 1e-6 in place of 1e-8"),
        (("(values[i] > 0)", "(values[i] >= 0)"), "gradients",
         "mine: ReLU's gradient passes everywhere"),
        (("2 * self.config.l2", "self.config.l2"), "gradients", "0.5 times the declared"),
    ],
)  # fmt: skip
def test_a_mistake_is_said_in_a_sentence(digits, skeleton, change, rung, words):
    asked = pair(made(skeleton, change), digits)
    (*_, last), explain = climb(BackendClimb(asked, steps=12))
    assert (last.passed, last.name) == (False, rung)
    found = explain()
    said = "; ".join(f"{one.side}: {one.explanation.text}" for one in found.deviations)
    assert words in (said or found.sentence), found.sentence


def test_the_command_says_the_cause_before_the_numbers(digits, skeleton, monkeypatch, capsys):
    monkeypatch.setattr(backends, "find", lambda name, find=backends.find: (
        made(skeleton, ("+ 1e-8)", "+ 1e-7)")) if name == "mine" else find(name)))  # fmt: skip
    plan = make_plan("quick", ["torch", "mine"], ["cpu"], models=["linear"],
                     precisions=["float64"], dataset="digits")  # fmt: skip
    document = proving.prove(plan, None, None, 10)
    shown = capsys.readouterr()
    text = shown.out  # what was asked for
    cause = "Why: mine: ε = 1e-7 in place of 1e-8 (in linear, adam+l2, float64)"
    assert cause in text
    assert text.index(cause) < text.index("first difference at step")
    assert "held: first step steps taken" in text
    assert "not climbed: adam, adamw" in text
    assert text.rstrip().endswith("torch and mine differ: 0 of 1 ladders hold")
    (ladder,) = document["ladders"]
    assert ladder["diagnosis"]["cause"] == "ε = 1e-7 in place of 1e-8"
    assert ladder["diagnosis"]["next_rung"]["rung"] == "resuming"


@pytest.mark.long
def test_a_pass_in_float32_says_what_it_did_not_see(digits, capsys):
    plan = make_plan("quick", ["jax", "torch"], ["cpu"], models=["linear"],
                     precisions=["float32"], dataset="digits")  # fmt: skip
    assert proving.prove(plan, None, None, 10)["passed"]
    shown = capsys.readouterr()
    assert "float32 alone: gross errors would have been seen" in shown.out
    assert "ok   inputs        0 absolute       bound 0       jax initial" in shown.out
    assert shown.out.rstrip().endswith("jax and torch agree: 1 of 1 ladders hold")


class CoarseProducts(NumpyBackend):
    """Its products take numbers of eight bits, and are summed in float64."""

    def logits(self, state, images):
        params = {}
        for name, tensor in flat(state.params).items():
            params[name] = round_to_bits(tensor, 8) if tensor.ndim == 2 else tensor
        return logits(params, round_to_bits(self.pixels(images), 8))


def test_coarse_products_are_not_named_as_coarse_pixels():
    """Pixels are read through a product, which has to be one."""
    data = load("digits")
    coarse = pair(lambda *made_for: CoarseProducts(*made_for[:2]), data)
    explanation = pixels(Side(coarse, 1))
    assert not explanation.holds
    assert not explanation.found
    assert "nor is the product" in explanation.pattern
    declared = pair(lambda *made_for: NumpyBackend(*made_for[:2]), data)
    assert pixels(Side(declared, 1)).holds
