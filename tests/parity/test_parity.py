"""The ladder: that it holds, and that each porting bug is found at its rung."""

import importlib
import json
import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
import torch

from cli import proving
from mnist_fn import Config, InputError
from mnist_fn.shared import backend as backends
from mnist_fn.shared.parity.backends.checks import Pair
from mnist_fn.shared.parity.backends.climb import BackendClimb, differing_predictions
from mnist_fn.shared.parity.compare import compare, compare_trees
from mnist_fn.shared.parity.ladder import BACKEND_RUNGS, RUNGS, climb
from mnist_fn.shared.parity.levels import OPTIMIZERS, make_plan
from tests.support.harmless_rewrites import QUICK_REWRITES, REWRITES
from tests.support.porting_bugs import BUGS, QUICK
from torch_ref.backend import TorchBackend
from torch_ref.weights import from_state_dict

PLUGIN = str(Path(__file__).parents[1] / "support" / "plugin")


@pytest.fixture
def numpy_reference(monkeypatch):
    """The NumPy backend, installed as anybody's would be: a folder with an entry point."""
    monkeypatch.syspath_prepend(PLUGIN)
    return "numpy"


KEPT = {}


def kept_jax(config, dataset, device):
    """The JAX backend, compiled once for all the bugs of the other."""
    key = config, len(dataset.train)
    if key not in KEPT:
        KEPT[key] = backends.find("jax")(config, dataset, device)
    return KEPT[key]


def ladder(data, left="jax", right="torch", names=BACKEND_RUNGS, steps=48, **changes):
    config = Config(**{"dataset": "digits", "hidden": (16,), "precision": "float64", **changes})
    pair = Pair(backends.find(left), backends.find(right), config, data)
    return climb(BackendClimb(pair, steps), names)[0]


def holds(rungs):
    assert [rung.name for rung in rungs] == list(BACKEND_RUNGS), rungs[-1].to_dict()
    assert rungs[-1].passed, rungs[-1].to_dict()


# The others' ladders with NumPy, below, are quick: there is no program of theirs to compile.
@pytest.mark.parametrize(
    "optimizer",
    [
        pytest.param(name, marks=() if name in ("adam+l2", "sgd+nesterov") else pytest.mark.long)
        for name in OPTIMIZERS
    ],
)
def test_the_ladder_holds_in_float64_on_digits(digits, optimizer):
    holds(ladder(digits, hidden=(16, 8), **OPTIMIZERS[optimizer]))


@pytest.mark.long
@pytest.mark.mnist
@pytest.mark.parametrize(
    ("hidden", "precision"),
    [((512,), "float64"), ((64,), "float32")],
)
def test_the_ladder_holds_on_mnist(mnist, hidden, precision):
    """300 steps; all models, and 3,000 steps, are `mnist-fn parity --level full`."""
    holds(ladder(mnist, dataset="mnist", hidden=hidden, l2=3e-5, precision=precision, steps=300))


@pytest.mark.parametrize(
    ("other", "optimizer"), [*(("torch", name) for name in OPTIMIZERS), ("jax", "adam+l2")]
)
def test_numpy_climbs_with_either(digits, numpy_reference, other, optimizer):
    """A third backend found by its entry point; independent of both frameworks."""
    hidden = () if optimizer == "adam" else (16, 8)
    holds(ladder(digits, numpy_reference, other, hidden=hidden, **OPTIMIZERS[optimizer]))


def broken_pair(bug, data, monkeypatch, left=None):
    """The pair with the bug in one backend."""
    side = "torch" if "torch" in bug.place else "jax"
    for place, change in ((bug.place, bug.change), *bug.changes):
        monkeypatch.setattr(place, change)
    made = left or (backends.find("jax") if side == "jax" else kept_jax)
    return Pair(made, backends.find(side if left else "torch"), bug.config, data)


def quick_or_long(things, quick):
    return [
        pytest.param(one, id=one.name, marks=() if one.name in quick else pytest.mark.exhaustive)
        for one in things
    ]


@pytest.mark.parametrize("bug", quick_or_long(BUGS, QUICK))
def test_a_porting_bug_is_found_at_its_rung_and_named(digits, monkeypatch, bug):
    pair = broken_pair(bug, digits, monkeypatch)
    (*_, last), explain = climb(BackendClimb(pair, steps=48))
    assert not last.passed, f"{bug.name} was not noticed"
    assert last.name == bug.rung, last.to_dict()
    found = explain()
    if bug.named:
        assert bug.named in found.cause, found.sentence
    else:
        assert not found.cause, found.sentence


def test_a_declared_schedule_is_no_cause(digits, monkeypatch):
    """The first steps of a warm-up are a hundredth of the rate on both sides, as declared."""
    bug = next(bug for bug in BUGS if bug.name == "β₂ = 0.99")
    pair = broken_pair(replace(bug, optimizer="adam+cosine"), digits, monkeypatch)
    _, explain = climb(BackendClimb(pair, steps=48))
    found = explain()
    assert [deviation.side for deviation in found.deviations] == ["torch"]
    assert found.cause == bug.named, found.sentence


def in_float32(pair):
    return replace(pair, config=pair.config.replace(precision="float32"))


@pytest.mark.parametrize(
    "name",
    [pytest.param("ε = 1e-7", marks=pytest.mark.long), "the biases' learning rate × 1.5"],
)
def test_the_cause_of_a_float32_failure_is_sought_in_float64(digits, monkeypatch, name):
    bug = next(bug for bug in BUGS if bug.name == name)
    pair = in_float32(broken_pair(bug, digits, monkeypatch))
    (*_, last), explain = climb(BackendClimb(pair, steps=48))
    assert not last.passed
    found = explain()
    assert bug.named in found.cause, found.sentence
    assert found.to_dict()["sought_in"] == "float64"


@pytest.mark.parametrize(
    ("name", "shows"),
    [("pixels pass through float32 in a float64 run", False), ("ε = 1e-7", True),
     pytest.param("weights kept in float32", False, marks=pytest.mark.exhaustive)],
)  # fmt: skip
def test_what_float32_rounds_away_is_no_fault_of_a_run_in_it(digits, monkeypatch, name, shows):
    bug = next(bug for bug in BUGS if bug.name == name)
    _, explain = climb(BackendClimb(broken_pair(bug, digits, monkeypatch), steps=48))
    assert explain().shows_in("float32") == shows


def test_where_there_is_no_float64_the_cause_is_sought_in_float32(digits, monkeypatch):
    def single(config, dataset, device):
        if config.precision != "float32":
            raise InputError("float32 only")
        return backends.find("torch")(config, dataset, device)

    bug = next(bug for bug in BUGS if bug.name == "biases start at 0")
    pair = replace(in_float32(broken_pair(bug, digits, monkeypatch)), right=single)
    _, explain = climb(BackendClimb(pair), ("inputs",))
    found = explain()
    assert found.cause == bug.named, found.sentence
    assert found.to_dict()["sought_in"] == ""


@pytest.mark.exhaustive
@pytest.mark.parametrize("bug", BUGS, ids=[bug.name for bug in BUGS])
def test_numpy_parts_from_the_broken_one_at_the_same_rung(
    digits, numpy_reference, monkeypatch, bug
):
    """It shares no code with either, so it says who is right."""
    pair = broken_pair(bug, digits, monkeypatch, backends.find(numpy_reference))
    (*_, last), _ = climb(BackendClimb(pair, steps=48))
    assert (last.passed, last.name) == (False, bug.rung), last.to_dict()


def test_sixty_bugs_or_more_on_every_rung_and_nearly_all_have_a_name():
    assert len(BUGS) >= 60
    assert len({bug.name for bug in BUGS}) == len(BUGS)
    assert {bug.rung for bug in BUGS} == set(BACKEND_RUNGS)
    assert sum(not bug.named for bug in BUGS) <= 3


def test_each_rung_has_a_name_of_its_own_and_compares_something():
    assert len({entry.name for entry in RUNGS}) == len(RUNGS)
    assert all(entry.of_programs or entry.of_backends for entry in RUNGS)
    shared = [entry.name for entry in RUNGS if entry.of_programs and entry.of_backends]
    assert shared == [
        "outputs", "loss", "gradients", "step", "stress states", "trajectory", "evaluation",
    ]  # fmt: skip


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("rewrite", quick_or_long(REWRITES, QUICK_REWRITES))
def test_a_harmless_rewrite_is_no_alarm(digits, monkeypatch, rewrite, precision):
    config = Config(dataset="digits", hidden=(16, 8), l2=1e-3, precision=precision)
    left = backends.find("jax") if rewrite.name.startswith("JAX") else kept_jax
    monkeypatch.setattr(rewrite.place, rewrite.change)
    holds(climb(BackendClimb(Pair(left, backends.find("torch"), config, digits), steps=48))[0])


def test_a_failing_trajectory_names_step_tensor_and_index(digits, monkeypatch):
    bug = next(bug for bug in BUGS if bug.rung == "trajectory")
    monkeypatch.setattr(bug.place, bug.change)
    config = Config(dataset="digits", hidden=(16, 8), l2=1e-3, precision="float64")
    pair = Pair(kept_jax, backends.find("torch"), config, digits)
    (*_, last), _ = climb(BackendClimb(pair, steps=48))
    worst = last.worst
    assert worst.what.startswith("step 41: layer")
    assert worst.difference.where in worst.what
    assert worst.difference.left != worst.difference.right


def test_what_begins_with_the_second_call_is_found_in_less_than_two_epochs(digits, monkeypatch):
    """As MNIST's 300 steps are one epoch."""
    whole, calls = TorchBackend.train_epoch, Counter()

    def turned(self, state, order):
        calls[id(self)] += 1
        return whole(self, state, order[::-1].copy() if calls[id(self)] == 2 else order)

    config = Config(dataset="digits", hidden=(16,), l2=3e-5, precision="float64")
    pair = Pair(kept_jax, backends.find("torch"), config, digits)
    assert all(check.passed for check in BackendClimb(pair, 4).trajectory())
    monkeypatch.setattr(TorchBackend, "train_epoch", turned)
    checks = BackendClimb(pair, 4).trajectory()
    assert [check.difference.where for check in checks if not check.passed]


@pytest.mark.long
def test_a_float32_trajectory_is_held_to_its_twins(digits):
    """The bound is the twins' own; at a learning rate 1 % off they part 100 times as far."""
    rungs = ladder(digits, hidden=(), precision="float32")
    holds(rungs)
    trajectory = rungs[-2].worst
    assert trajectory.tolerance < 1e-5
    off = Pair(
        backends.find("jax"),
        lambda c, d, device: backends.find("torch")(c.replace(learning_rate=5.05e-4), d, device),
        Config(dataset="digits", hidden=(), precision="float32"),
        digits,
    )
    (found,), _ = climb(BackendClimb(off, 48), ("trajectory",))
    assert not found.passed
    assert found.worst.difference.absolute > 100 * found.worst.tolerance


def test_a_difference_says_where_and_how_large():
    left = np.array([[1.0, 2.0], [3.0, 4.0]])
    right = left.copy()
    right[1, 0] = np.nextafter(3.0, 4)
    found = compare("w", left, right)
    assert (found.where, found.ulps) == ("w[1, 0]", 1)
    assert found.relative == found.absolute / 4
    assert compare("w", left, left).absolute == 0
    assert compare("w", left, left.astype(np.float32)).absolute == np.inf
    right[0, 0] = np.nan
    assert compare("w", left, right).absolute == np.inf
    apart = differing_predictions(np.array([1, 2, 3, 4]), np.array([1, 7, 3, 5]))
    assert (apart.where, apart.left, apart.right) == ("prediction[1]", 2, 7)
    assert (apart.absolute, apart.relative) == (2, 0.5)


def broken(*_):
    raise ZeroDivisionError("no")


@pytest.mark.long
@pytest.mark.parametrize(
    ("place", "change", "rung"),
    [
        ("torch_ref.backend.TorchBackend.gradients", broken, "gradients"),
        ("torch_ref.backend.TorchBackend.load", broken, "inputs"),
        ("torch_ref.backend.TorchBackend.gradients", lambda *_: {}, "gradients"),
        ("torch_ref.backend.TorchBackend.logits",
         lambda *_: np.full((360, 10), np.nan), "inputs"),
    ],
)  # fmt: skip
def test_what_a_broken_backend_gives_is_a_failed_rung_in_words(
    digits, monkeypatch, capsys, place, change, rung
):
    """Errors, missing tensors and NaN make no traceback, and a document that JSON can hold."""
    monkeypatch.setattr(place, change)
    plan = make_plan("quick", ["jax", "torch"], ["cpu"], models=["linear"], dataset="digits")
    document = proving.prove(plan, None, None, 10)
    assert not document["passed"]
    assert [ladder["rungs"][-1]["rung"] for ladder in document["ladders"]] == [rung, rung]
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    shown = capsys.readouterr().out
    assert f"first difference at {rung}" in shown
    if change is broken:
        assert "torch_ref: ZeroDivisionError: no (parity/test_parity.py, line " in shown
        assert "Traceback" in document["ladders"][0]["rungs"][-1]["traceback"]


def test_a_float32_training_that_ends_in_nan_does_not_pass(digits, monkeypatch):
    """Its twin is NaN as well: infinity is within no bound."""

    def nan(state):
        tree = from_state_dict(state)
        return {k: {n: np.full_like(v, np.nan) for n, v in layer.items()}
                for k, layer in tree.items()}  # fmt: skip

    monkeypatch.setattr("torch_ref.backend.from_state_dict", nan)
    (found,) = ladder(digits, "torch", "torch", ("trajectory",), precision="float32")
    assert not found.passed


def test_a_tensor_that_one_side_lacks_is_a_difference():
    one, two = {"a": {"kernel": np.ones(2)}}, {"a": {"kernel": np.ones(2), "bias": np.ones(1)}}
    for left, right in ((one, two), (two, one)):
        assert max(d.absolute for d in compare_trees(left, right)) == np.inf


def test_float32_products_are_float32(small):
    """What GPUs would round to TF32 by default is asked for in full on both."""
    jax_backend = importlib.import_module("mnist_fn.backend")
    model = jax_backend.make_model(Config(), 10, jax_backend.find_devices("cpu")[0])
    text = str(jax.make_jaxpr(model.init)(jax.random.key(0), np.zeros((1, 64), np.float32)))
    products = re.findall(r"dot_general\[.*?\]\s", text, re.DOTALL)
    assert products
    assert all("HIGHEST" in product for product in products)
    computing = backends.find("torch")(Config(dataset="digits"), small, "cpu").computing
    try:
        torch.set_float32_matmul_precision("medium")
        assert computing.run(torch.get_float32_matmul_precision) == "highest"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_the_command_climbs_and_keeps_its_document(command, tmp_path):
    path = os.pathsep.join([PLUGIN, *filter(None, [os.environ.get("PYTHONPATH")])])
    done = command(
        "parity", "--dataset", "digits", "--backends", "jax,numpy", "--precision", "float64",
        "--model", "linear", "--out", "here", "--json", "--verbose", env={"PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["passed"]
    (one,) = document["ladders"]
    assert [rung["rung"] for rung in one["rungs"]] == list(BACKEND_RUNGS)
    assert {"absolute", "relative", "ulps", "tolerance", "reason"} <= set(one["rungs"][1]["worst"])
    assert len(one["rungs"][3]["checks"]) == 2  # kernel and bias
    assert json.loads((tmp_path / "here" / "parity-quick.json").read_text())["passed"]
    for word in ("relative bound", "sums in another order", "trajectory", "1 of 1 ladders hold"):
        assert word in done.stderr


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"names": ["jax", "nix"]}, "must be one of jax"),
        ({"names": ["jax"]}, "expected two"),
        ({"models": ["huge"]}, "`model='huge'`: must be one of linear, shallow, deep"),
        ({"optimizers": ["nix"]}, "`optimizer='nix'`: must be one of adam, adam+l2, adamw"),
        ({"precisions": ["bf16"]}, "`precision='bf16'`: must be one of float64, float32"),
        ({"level": "max"}, "`level='max'`: must be one of quick, full, horizon, statistics"),
        ({"devices": ["tpu"]}, "must be one of auto, cpu, gpu"),
        ({"devices": ["gpu", "cpu", "cpu"]}, "expected one, or two"),
        ({"models": ["deep", "deep"]}, "--model deep,deep: a value is given twice"),
        ({"level": "statistics", "names": ["jax", "jax"]}, "both sides would be the same runs"),
        ({"names": ["jax", "jax"]}, "one backend on one device agrees with itself"),
        ({"level": "horizon", "names": ["torch", "torch"]}, "agrees with itself"),
    ],
)
def test_a_plan_refuses_what_it_does_not_know(changes, words):
    asked = {"level": "quick", "names": ["jax", "torch"], "devices": ["cpu"], **changes}
    with pytest.raises(InputError, match=re.escape(words)):
        make_plan(**asked)


def test_bad_input_is_one_line(command):
    done = command("parity", "--dataset", "digits", "--level", "statistics", "--seeds", "1")
    assert (done.returncode, len(done.stderr.splitlines()), done.stdout) == (2, 1, "")
    assert "--seeds 1: must be between 2 and 1000" in done.stderr


def test_a_backend_without_float32_says_so(digits, numpy_reference):
    words = "`precision='float32'`: must be float64 for the numpy backend"
    with pytest.raises(InputError, match=re.escape(words)):
        ladder(digits, numpy_reference, "jax", precision="float32")


@pytest.mark.parametrize(
    ("level", "epochs", "words"),
    [("quick", 3, "--epochs: for --level horizon"), ("horizon", 0, "--epochs 0: must be between")],
)
def test_epochs_are_the_horizons(level, epochs, words):
    with pytest.raises(InputError, match=words):
        make_plan(level, ("jax", "torch"), ("cpu",), epochs=epochs)


def test_a_horizon_is_as_long_as_chaos_takes_or_as_is_asked():
    own = make_plan("horizon", ("jax", "torch"), ("cpu",)).horizons()
    assert {c.precision: c.epochs for _, c in own} == {"float64": 100, "float32": 10}
    asked = make_plan("horizon", ("jax", "torch"), ("cpu",), epochs=2).horizons()
    assert {config.epochs for _, config in asked} == {2}
