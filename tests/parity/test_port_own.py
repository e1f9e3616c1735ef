"""This project's own two models on the port's ladder: it holds, and bugs have the same names."""

from dataclasses import asdict
from functools import partial
from types import SimpleNamespace

import make_porting
import pytest

from mnist_fn.parity import FlaxProgram, check_port
from mnist_fn.shared.data import datasets
from mnist_fn.shared.parity.backends import numpy_program as declared
from tests.support.porting_bugs import BUGS

# (name in porting_bugs, rung); the words are that ladder's own
SHARED = {
    "ε = 1e-7": "step", "β₂ = 0.99": "trajectory", "ε inside the root": "step",
    "decoupled for coupled decay": "step", "the biases' learning rate × 1.5": "step",
    "GELU for ReLU": "modules", "leaky ReLU": "modules", "label smoothing 0.1": "loss",
    "probabilities clipped": "stress states", "ReLU6": "stress states",
    "clipping at norm 1": "stress states",
}  # fmt: skip
QUICK = ("ε = 1e-7", "GELU for ReLU")


@pytest.fixture
def own(monkeypatch, digits):
    """The page's file, run on the embedded digits, at few units."""
    monkeypatch.setattr(datasets, "load", lambda *_: digits)
    text = make_porting.OWN.replace("Config(", 'Config(dataset="digits", batch_size=50, ')
    text = text.replace("hidden=(64, 32)", "hidden=(16, 8)").replace("l2=3e-5", "l2=1e-3")
    found = {}
    exec(compile(text, "own.py", "exec"), found)
    more = {key: found["port"].__dict__[f"_{key}"] for key in ("loss", "penalty", "optimizer")}
    module = found["port"]._module
    return SimpleNamespace(**found, jax_side=partial(FlaxProgram, module, **more))


def test_the_projects_own_models_climb_the_ports_ladder(own):
    verdict = check_port(own.reference, own.port, own.batches)
    verdict.assert_passed()
    assert sum(len(rung.checks) for rung in verdict.rungs if hasattr(rung, "checks")) > 100


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.long) for name in SHARED],
)
def test_a_bug_is_named_as_the_projects_own_ladder_names_it(own, monkeypatch, name):
    """JAX is the reference here, with the rule that the Config declares; the bug is PyTorch's."""
    (bug,) = (bug for bug in BUGS if bug.name == name)
    right = asdict(declared.rule_of(own.config, declared.flat(own.start)))
    rule = {key: right[key] for key in ("kind", "learning_rate", "weight_decay", "decayed")}
    jax_side = own.jax_side(variables={"params": own.start}, rule=rule)
    sides = jax_side, own.reference
    monkeypatch.setattr(bug.place, bug.change)
    verdict = check_port(*(sides if "torch" in bug.place else sides[::-1]), own.batches)
    assert verdict.failed is not None, verdict.text
    assert verdict.failed.name == SHARED[name], verdict.text
    assert bug.named in verdict.cause.text, verdict.text
