"""The engine that names causes, on a small network in NumPy: each kind of change is named, with its
number, and what is right, or was never thought of, gets no name."""

from types import SimpleNamespace

import numpy as np
import pytest

from mnist_fn.shared.parity.bounds import CLAIM_MARGIN
from mnist_fn.shared.parity.causes.activation import (
    ACTIVATIONS,
    RELU,
    RELUS,
    explain_forward,
    log_softmax,
)
from mnist_fn.shared.parity.causes.explanation import Candidate, as_declared, judge
from mnist_fn.shared.parity.causes.gradients import explain_gradients
from mnist_fn.shared.parity.causes.inputs import explain_order, explain_pixels
from mnist_fn.shared.parity.causes.loss import cross_entropy, explain_loss
from mnist_fn.shared.parity.causes.rules import Rule, simulate
from mnist_fn.shared.parity.causes.update import explain_update
from mnist_fn.shared.parity.ladder_state import Budget
from mnist_fn.shared.parity.program import Variant
from mnist_fn.shared.parity.variant_search import Place
from mnist_fn.shared.parity.words import difference_text

KERNELS = ("inner/kernel", "head/kernel")


def network(scale=1.0):
    rng = np.random.default_rng(0)
    shapes = {"inner/kernel": (24, 12), "inner/bias": (12,), "head/kernel": (12, 5),
              "head/bias": (5,)}  # fmt: skip
    return {name: scale * 0.2 * rng.normal(size=shape) for name, shape in shapes.items()}


def gradient(weights, rng, n=40):
    x, y = rng.random((n, 24)), rng.integers(0, 5, n)
    x[:, :3] = 0  # pixels that are never lit
    h = x @ weights["inner/kernel"] + weights["inner/bias"]
    a = np.maximum(h, 0)
    slope = np.exp(log_softmax(np, a @ weights["head/kernel"] + weights["head/bias"]))
    slope[np.arange(n), y] -= 1
    slope /= n
    below = (slope @ weights["head/kernel"].T) * (h > 0)
    return {"inner/kernel": x.T @ below, "inner/bias": below.sum(0),
            "head/kernel": a.T @ slope, "head/bias": slope.sum(0)}  # fmt: skip


def trained(rule, steps=6, scale=1.0):
    """Gradients at each step, weights before, weights after each."""
    rng, weights, grads, after = np.random.default_rng(1), network(scale), [], []
    for _ in range(steps):
        grads.append(gradient(weights, rng))
        weights = simulate(rule, grads, network(scale), [*after, weights])[-1]
        after.append(weights)
    return grads, network(scale), after


BATCHES = (8, 1), (8, 2), (5, 1), (6, 1000)  # examples, size of the logits
ADAM = Rule(learning_rate=5e-4, weight_decay=6e-5, decayed=KERNELS)
ADAMW = ADAM.but(kind="adamw", weight_decay=0.01)
MOMENTUM = Rule(kind="momentum", learning_rate=0.1)
NADAM, RPROP = ADAM.but(nadam=4e-3), Rule(kind="rprop", learning_rate=0.01)
RADAM = ADAM.but(rectified=True, eps_before=True)
HALF = {"inner/bias": 1.5, "head/bias": 1.5}
UPDATES = [
    (ADAM, {"decoupled": True}, "decoupled decay in place of coupled"),
    (ADAM, {"weight_decay": 3e-5}, "weight decay 3e-5 in place of 6e-5 (× 0.5)"),
    (ADAM, {"weight_decay": 0.0}, "no weight decay"),
    (ADAM, {"decayed": None}, "weight decay 6e-5 on the biases alone too"),
    (ADAM, {"decayed": KERNELS[:1]}, "no weight decay on head/kernel alone"),
    (ADAM, {"decay_sign": True}, "decay by the sign of the weights (an L1 penalty)"),
    (ADAM, {"beta1": 0.85}, "β₁ = 0.85 in place of 0.9"),
    (ADAM, {"beta2": 0.99}, "β₂ = 0.99 in place of 0.999"),
    (ADAM, {"beta2": float(np.float32(0.999))}, "β₂ rounded to float32 (0.9990000129)"),
    (ADAM, {"eps": 1e-7}, "ε = 1e-7 in place of 1e-8"),
    (ADAM, {"eps": 3e-6}, "ε = 3e-6 in place of 1e-8"),
    (ADAM, {"eps": 0.0}, "ε = 0 in place of 1e-8"),
    (ADAM, {"inside": True}, "ε inside the root"),
    (ADAM, {"eps_before": True}, "ε added before the bias correction of √v"),
    (ADAM, {"correct": (False, False)}, "no bias correction"),
    (ADAM, {"nesterov": True}, "Nesterov's momentum"),
    (ADAM, {"amsgrad": "corrected"}, "AMSGrad, its maximum of the corrected v (optax.amsgrad)"),
    (ADAM, {"amsgrad": "raw"}, "AMSGrad, its maximum of the uncorrected v"),
    (ADAM, {"shift": 1}, "step counter one ahead"),
    (ADAM, {"clip_norm": 0.1}, "gradients clipped to a global norm of 0.1"),
    (ADAM, {"clip_norm": 0.1, "clip_slack": 1e-6}, "gradients clipped to a global norm of 0.1"),
    (ADAM, {"clip_value": 0.001}, "gradients clipped to ±0.001"),
    (ADAM, {"max_norm": 0.9}, "max-norm 0.9 of each column"),
    (ADAM, {"rates": HALF}, "learning rate × 1.5 on the biases alone"),
    (ADAM, {"rates": {"inner/bias": 0.0}}, "no training on inner/bias alone"),
    (ADAM, {"learning_rate": 1e-3}, "learning rate 0.001 in place of 5e-4 (× 2)"),
    (ADAM, {"learning_rate": float(np.float32(5e-4))},
     "learning rate rounded to float32 (0.0005000000237487257)"),
    (ADAM, {"schedule": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)},
     "learning rate warmed up linearly over 10 steps"),
    (ADAM, {"schedule": (1, 1, 1, 0.5, 0.5, 0.5)}, "learning rate × 0.5 from step 4 on"),
    (ADAM, {"weight_bits": 24}, "weights kept in float32"),
    (ADAM, {"accumulate": True}, "gradients are not zeroed: each step has the sum of all so far"),
    (ADAM, {"reset": True}, "moments and step counter are reset at each call"),
    (ADAM, {"kind": "rmsprop"}, "rmsprop in place of adam"),
    (ADAM, {"beta2": 0.99, "learning_rate": 1e-3}, "β₂ = 0.99 in place of 0.999, and learning rate 0.001"),  # noqa: E501
    (ADAM, {"ascends": True}, "uphill: the step is added, not taken off"),
    (ADAMW, {"decoupled": False}, "coupled decay in place of decoupled"),
    (ADAMW, {"decay_unscaled": True}, "decay not scaled by the learning rate"),
    (ADAMW, {"decay_after": True}, "decay taken of the weights after the step"),
    (ADAMW, {"weight_decay": 1e-4}, "decoupled decay 1e-4 in place of 0.01 (× 0.01)"),
    (ADAMW, {"kind": "sgd", "weight_decay": 0.0}, "sgd in place of adamw, without its decay"),
    (ADAMW, {"kind": "sgd"}, "sgd in place of adamw"),
    (NADAM, {"nadam": 0.0, "nesterov": True}, "Nesterov's momentum"),
    (NADAM, {"nadam": 0.0}, "no Nesterov's momentum"),
    (RADAM, {"eps_before": False}, "ε added after the bias correction of √v"),
    (RADAM, {"rectified": False}, "no rectification, RAdam's"),
    (RPROP, {"held_back": True}, "each step is taken one step late (optax.rprop)"),
    (MOMENTUM, {"kind": "nesterov"}, "nesterov in place of momentum"),
    (MOMENTUM, {"momentum": 0.95}, "momentum = 0.95 in place of 0.9"),
    (MOMENTUM, {"weight_decay": 5e-4}, "weight decay 5e-4 everywhere too"),
    (MOMENTUM, {"clip_norm": 0.05}, "gradients clipped to a global norm of 0.05"),
]  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize(("rule", "change", "words"), UPDATES, ids=[u[2] for u in UPDATES])
def test_the_rule_behind_some_steps_is_named(rule, change, words):
    grads, before, after = trained(rule.but(**change))
    found = explain_update(rule, grads, before, after)
    assert words in [cause.text for cause in found.causes], found.sentence
    assert len(found.causes) == 1, found.sentence
    assert found.causes[0].residual < 1e-15
    assert found.next_best.units >= CLAIM_MARGIN * found.causes[0].units


def test_a_learning_rate_of_0_has_a_cause():
    grads, before, after = trained(MOMENTUM)
    explanation = explain_update(MOMENTUM.but(learning_rate=0.0), grads, before, after)
    assert "differ" in explanation.sentence
    assert not explanation.holds


def test_no_gradient_at_all_is_named():
    weights = network()
    grads = gradient(weights, np.random.default_rng(1))
    nothing = {name: np.zeros_like(tensor) for name, tensor in grads.items()}
    assert explain_gradients(grads, nothing, weights, 40).text == "no gradient everywhere"


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_a_loss_that_is_not_finite_differs_from_one_that_is(value):
    rng = np.random.default_rng(1)
    batches = [(rng.normal(size=(n, 5)) * s, rng.integers(0, 5, n)) for n, s in BATCHES]
    losses = [float(cross_entropy(np, *batch).mean()) for batch in batches]
    assert explain_loss(batches, losses).holds
    assert not explain_loss(batches, [*losses[:-1], value]).holds


def test_a_tensor_that_moves_by_rounding_alone_has_no_rate_of_its_own():
    """A key's bias has gradients that are 0 in exact arithmetic: any rate explains its steps."""
    declared, doubled = Rule("sgd", 0.05), Rule("sgd", 0.1)
    rng, weights, grads, after = np.random.default_rng(1), network(), [], []
    for _ in range(6):
        grads.append(gradient(weights, rng) | {"inner/bias": 1e-19 * rng.normal(size=12)})
        weights = simulate(doubled, grads, network(), [*after, weights])[-1]
        after.append(weights)
    explanation = explain_update(declared, grads, network(), after)
    assert explanation.text == "learning rate 0.1 in place of 0.05 (× 2)"


def test_two_names_for_one_rule_are_both_said():
    """At momentum 0.9, dampening is a tenth of the learning rate: no steps tell them apart."""
    grads, before, after = trained(MOMENTUM.but(dampened=True))
    found = explain_update(MOMENTUM, grads, before, after)
    assert {
        "dampened: (1 − momentum)·g goes into the buffer",
        "learning rate 0.01 in place of 0.1 (× 0.1)",
    } <= {cause.text for cause in found.causes}


@pytest.mark.parametrize("rule", [ADAM, ADAMW, MOMENTUM, Rule(kind="adagrad")])
def test_what_follows_the_rule_needs_no_cause(rule):
    grads, before, after = trained(rule)
    found = explain_update(rule, grads, before, after)
    assert found.holds
    assert not found.found


def test_gradients_rounded_otherwise_are_no_cause():
    grads, before, after = trained(ADAM, scale=10)
    rng = np.random.default_rng(2)
    moved = [{n: g * (1 + 2e-16 * rng.normal(size=g.shape)) for n, g in t.items()} for t in grads]
    assert explain_update(ADAM, moved, before, after).holds


def test_a_rule_nobody_thought_of_gets_no_name_but_a_pattern():
    grads, before, after = trained(ADAM)
    steps = [{n: w + (0.01 * np.sin(w) if n == "inner/bias" else 0) for n, w in t.items()}
             for t in after]  # fmt: skip
    found = explain_update(ADAM, grads, before, steps)
    assert not found.found
    assert not found.holds
    assert "on inner/bias alone (all others agree)" in found.sentence
    assert "from the first step on" in found.pattern


def test_a_float32_side_is_held_to_float32():
    def rounded(tree):
        return {name: tensor.astype(np.float32) for name, tensor in tree.items()}

    rule = ADAM.but(beta1=0.8)
    grads, before, after = trained(rule)
    single = [rounded(tree) for tree in after]
    assert explain_update(rule, grads, before, single, dtype="float32").holds
    found = explain_update(ADAM, grads, before, single, dtype="float32")
    assert not found.holds
    assert found.text in ("", "β₁ = 0.8 in place of 0.9")  # named or not, but never otherwise


SMOOTH = "label smoothing 0.01 in place of 0"
LOSSES = {
    "sum for mean over the batch": lambda z, y: cross_entropy(np, z, y).sum(),
    SMOOTH: lambda z, y: (
        0.99 * cross_entropy(np, z, y) - 0.01 * log_softmax(np, z).mean(1)
    ).mean(),
    "softmax taken twice": lambda z, y: cross_entropy(np, np.exp(log_softmax(np, z)), y).mean(),
    "log(p + 1e-12) in place of the stable form": lambda z, y: (
        -np.log(np.exp(-cross_entropy(np, z, y)) + 1e-12).mean()
    ),
    "logits divided by 2": lambda z, y: cross_entropy(np, z / 2, y).mean(),
    "focal loss, γ = 2": lambda z, y: (
        (1 - np.exp(-cross_entropy(np, z, y))) ** 2 * cross_entropy(np, z, y)
    ).mean(),
    "× 0.5": lambda z, y: cross_entropy(np, z, y).mean() / 2,
    "": lambda z, y: np.sqrt(cross_entropy(np, z, y)).mean(),
}


@pytest.mark.parametrize("words", LOSSES)
def test_a_loss_is_named(words):
    rng = np.random.default_rng(0)
    sizes = ((200, 1), (76, 1), (200, 10), (76, 30), (200, 3), (50, 60))
    batches = [(rng.normal(size=(n, 5)) * s, rng.integers(0, 5, n)) for n, s in sizes]
    assert explain_loss(batches, [cross_entropy(np, *b).mean() for b in batches]).holds
    found = explain_loss(batches, [LOSSES[words](*b) for b in batches])
    assert found.text == words, found.sentence


GRADIENTS = {
    "sum for mean over the batch (40 times as large) everywhere": lambda g, w, n: 40 * g,
    "6e-5 · weights added (a decay, or its penalty's gradient) on the kernels alone": lambda g, w, n: (  # noqa: E501
        g + (6e-5 * w if n in KERNELS else 0)
    ),
    "1e-4 · sign of the weights added (an L1 penalty) on the kernels alone": lambda g, w, n: (
        g + (1e-4 * np.sign(w) if n in KERNELS else 0)
    ),
    "clipped to ±0.001": lambda g, w, n: np.clip(g, -0.001, 0.001),
    "no gradient on inner alone: none passes below head": lambda g, w, n: g * ("head" in n),
    "0.5 times as large on the biases alone": lambda g, w, n: g * (1 if n in KERNELS else 0.5),
    "rounded to float32 everywhere": lambda g, w, n: g.astype(np.float32),
    "": lambda g, w, n: g + 1e-3 * w * w,
}


@pytest.mark.parametrize("words", GRADIENTS)
def test_a_gradients_difference_is_named(words):
    w = network()
    g = gradient(w, np.random.default_rng(1))
    assert explain_gradients(g, g, w).holds
    seen = {name: GRADIENTS[words](g[name], w[name], name) for name in g}
    found = explain_gradients(g, seen, w, batch=40)
    assert found.text == words, found.sentence


def test_a_gradient_of_rounding_alone_does_not_hide_the_others_factor():
    w = network()
    g = {**gradient(w, np.random.default_rng(1)), "inner/bias": 1e-17 * np.ones(12)}
    seen = {name: (-3 if name == "inner/bias" else 0.5) * g[name] for name in g}
    found = explain_gradients(g, seen, w)
    assert found.text == "0.5 times as large everywhere", found.sentence


def test_an_activation_is_named():
    x = 4 * np.random.default_rng(0).normal(size=(100, 16))
    for name, f in ACTIVATIONS.items():
        found = explain_forward(x, f(np, x), RELU)
        assert (found.holds, found.text) == (
            (True, "") if name in RELUS else (False, f"{name} in place of relu")
        ), found.sentence
    for text, made in {
        "leaky relu with slope 0.01": np.where(x > 0, x, 0.01 * x),
        "relu capped at 6": np.clip(x, 0, 6),
        "relu of x − 0.5": np.maximum(x - 0.5, 0),
    }.items():
        assert explain_forward(x, made, RELU).text == f"{text} in place of relu"
    assert explain_forward(x, np.maximum(x, 0) / 2, RELU).text == "scaled by 0.5"


def test_what_was_done_to_pixels_is_named():
    pixels = np.random.default_rng(0).integers(0, 256, (60, 8, 8)) / 255
    for text, seen in {
        "not divided by 255": pixels * 255,
        "divided by 256, not by 255": pixels * 255 / 256,
        "normalized by mean 0.1307 and deviation 0.3081 (MNIST's)": (pixels - 0.1307) / 0.3081,
        "rounded to float32": pixels.astype(np.float32),
        "pictures transposed": pixels.swapaxes(1, 2),
        "black for white": 1 - pixels,
        "": np.sqrt(pixels),
    }.items():
        assert explain_pixels(pixels, seen).text == text
    assert explain_pixels(pixels, pixels).holds


def test_which_examples_were_trained_on_is_named():
    labels = np.random.default_rng(0).integers(0, 10, 100)
    order = np.random.default_rng(1).permutation(100)[:40]
    assert explain_order(labels, order, labels[order]).holds
    moved = explain_order(labels, order, np.roll(labels, 1)[order])
    assert moved.text == "labels and pictures 1 apart in the dataset, by +1"
    short = explain_order(labels, order, labels[order][:30])
    assert short.text == "the first ones alone; the rest is dropped"


def test_nothing_is_claimed_where_something_else_is_near():
    wrong = as_declared(1.0, 1e12)
    one = Candidate("one", 1e-17, 0.1)
    assert judge("weights", wrong, [one]).text == "one"
    near = Candidate("another", 1e-14, 0.1 * CLAIM_MARGIN / 2)
    found = judge("weights", wrong, [one, near])
    assert not found.found
    assert "one and another can't be told apart" in found.sentence
    both = judge("weights", wrong, [one, Candidate("another", 1e-17, 0.2)])
    assert both.text == "one, or another"


@pytest.mark.parametrize(("left", "named"), [(0.1, True), (0.11, False)])
def test_a_nearest_change_is_named_where_it_leaves_a_tenth_or_less(left, named):
    seen = as_declared(1.0, 1e6)
    found = judge("loss", seen, [Candidate("mean in place of sum", left, 1e6 * left)], "a pattern")
    assert not found.found
    assert (f"nearest: mean in place of sum ({left:.0e} left)" in found.sentence) is named


def test_a_tensor_that_stands_still_is_no_factor_of_nought():
    expected, unit = {"w": np.ones(3)}, {"w": np.full(3, 1e-6)}
    assert difference_text(expected, {"w": np.full(3, 1e-9)}, unit).endswith(
        "is 0 but for rounding"
    )
    assert difference_text(expected, {"w": np.full(3, 2.0)}, unit).endswith(
        "2 times as large throughout"
    )


def test_control_runs_that_could_hide_the_difference_let_nothing_be_claimed():
    """The changed program's control runs part by as much as the programs do: its own rounding says
    nothing of which of the two the port is.
    """
    declared, port = np.ones(4), np.full(4, 1 + 1e-9)

    def with_variant(variant, draw):
        return {"y": np.full(4, 1 + 1e-10 + (0 if draw is None else (draw + 1) * 1e-9))}

    pairing = SimpleNamespace(budget=Budget())
    state = SimpleNamespace(
        dtype="float64", left={"y": declared}, pairing=pairing, with_variant=with_variant
    )
    place = Place(state, "y", lambda trace: trace, {"y": port}, terms=1)
    explanation = place.explain([Variant("nearly it", 0, "")], "all entries differ")
    assert not explanation.holds
    assert not explanation.found
