"""What is rounding and no mistake: norms in one pass, gradients that are nothing but rounding."""

import contextlib
import gc
import weakref
from dataclasses import replace

import flax.linen as fnn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from torch import nn

from mnist_fn.parity import FlaxProgram, JaxProgram, check_port
from mnist_fn.shared.parity import states, training
from mnist_fn.shared.parity.batches import read_batches
from mnist_fn.shared.parity.ladder_state import LadderState
from mnist_fn.shared.parity.pairing import pair
from mnist_fn.shared.parity.port_climb import PortClimb
from mnist_fn.shared.parity.program import NONE, Step
from mnist_fn.shared.parity.result import failures
from mnist_fn.shared.parity.rounding import Spread
from tests.support import random_ports
from tests.support.port_defaults import Flax, Torch, rows
from tests.support.port_models import jax_cross_entropy, lstm
from torch_ref.parity import TorchProgram, program
from torch_ref.parity.controls import NORMS, OnePass, RoundedAtRandom

GROUPS = (lambda: nn.GroupNorm(4, 8), lambda x, _: fnn.GroupNorm(4, epsilon=1e-5, name="norm")(x))
BATCH = (lambda: nn.BatchNorm1d(8),
         lambda x, train: fnn.BatchNorm(not train, momentum=0.9, name="norm")(x))  # fmt: skip
ADAM = lambda p: torch.optim.Adam(p, 1e-3)  # noqa: E731


class NoRuns:
    """No other run of a training: what is left is the bound on sums."""

    def __init__(self, start):
        pass

    def after(self, steps, until):
        return {}, {}


def verdict_of(norm, optimizer, optax_optimizer, precision="float64"):
    torch.manual_seed(0)
    torch_norm, flax_norm = norm
    reference = TorchProgram(Torch(torch_norm()), loss=nn.functional.cross_entropy,
                          optimizer=optimizer)  # fmt: skip
    port = FlaxProgram(Flax(flax_norm), loss=jax_cross_entropy, optimizer=optax_optimizer)
    return check_port(reference, port, rows(), precision=precision)


def test_a_variance_of_one_pass_is_a_twins_and_no_difference(monkeypatch):
    """Of two units in a group: where these are nearly equal, Flax's variance cancels."""
    verdict_of(GROUPS, ADAM, optax.adam(1e-3)).assert_passed()
    monkeypatch.setattr(program, "OnePass", lambda: OnePass.__mro__[1]())
    assert verdict_of(GROUPS, ADAM, optax.adam(1e-3)).failed.name == "modules"


@pytest.mark.long
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_a_bias_before_batch_norm_has_a_gradient_of_rounding_alone(precision, monkeypatch):
    """Adam makes whole steps of it, and the running mean goes with them."""
    verdict_of(BATCH, ADAM, optax.adam(1e-3), precision).assert_passed()
    monkeypatch.setattr(training, "Spread", NoRuns)
    assert not verdict_of(BATCH, ADAM, optax.adam(1e-3), precision).passed


def test_a_faster_rate_is_no_rounding():
    wrong = verdict_of(BATCH, ADAM, optax.adam(1.001e-3))
    assert wrong.failed.name == "step"
    assert wrong.cause.text.startswith("learning rate 0.001001 in place of 0.001")


def test_a_step_of_gradients_next_to_0_is_what_the_rule_makes_of_them(monkeypatch):
    """Taken from the reference's own optimizer, or from what float32 makes of them."""
    reference, port, batches = lstm()
    check_port(reference, port, batches).assert_passed()
    monkeypatch.setattr(training.Training, "_shadow_step", lambda self: None)
    monkeypatch.setattr(training, "Spread", NoRuns)
    assert check_port(reference, port, batches).failed.name == "stress states"


@pytest.mark.parametrize("function", NORMS, ids=lambda function: function.__name__)
def test_a_variance_of_one_pass_is_the_same_number(function):
    torch.manual_seed(0)
    x = 3 + torch.randn(6, 8, 5, dtype=torch.float64)
    weight, bias = torch.randn(2, 8, dtype=torch.float64)
    if function is nn.functional.layer_norm:
        x = x.movedim(1, -1)
    arguments = {
        nn.functional.layer_norm: (x, [8], weight, bias, 1e-3),
        nn.functional.group_norm: (x, 4, weight, bias, 1e-3),
        nn.functional.batch_norm: (x, None, None, weight, bias, True, 0.1, 1e-3),
    }[function]
    usual = function(*arguments)
    with OnePass():
        once = function(*arguments)
    gap = float((once - usual).abs().max())
    assert 0 < gap < 1e-13


def paired():
    """A right port with its reference, their start and batches."""
    reference = TorchProgram(Torch(GROUPS[0]()), loss=nn.functional.cross_entropy, optimizer=ADAM)
    port = FlaxProgram(Flax(GROUPS[1]), loss=jax_cross_entropy, optimizer=optax.adam(1e-3))
    batches = read_batches(rows(), "float64")
    pairing, start = pair(reference, port, batches[0], "float64", None)
    return pairing, start, batches


def test_a_training_is_gone_when_it_is_no_longer_used():
    """It must not hold itself: each would stay, with weights and moments of both programs."""
    pairing, start, batches = paired()
    trained = training.Training(LadderState("", pairing, start, batches[0]), batches)
    gc.disable()
    try:
        trained.first()
        trained.on_to(3)
        trained._spread(trained._control)
        kept = weakref.ref(trained)
        del trained
        assert kept() is None
    finally:
        gc.enable()


def test_a_training_holds_no_gradients_of_steps_that_are_done():
    """They are as many as the weights; once every step of a shadow was kept."""
    reference = random_ports.reference("MLP", "SGD", 0)
    port = random_ports.port(random_ports.text_of("MLP", "SGD"))
    batches = read_batches(random_ports.batches("MLP", 0), "float64")
    pairing, start = pair(reference, port, batches[0], "float64", None)
    trained = training.Training(LadderState("", pairing, start, batches[0]), batches)
    for steps in (1, 4):
        trained.on_to(steps)
        assert trained._shadow_step() is not None
    assert not [one for one in gc.get_objects() if type(one) is Step and one.gradients]


def test_what_agrees_is_not_held_on():
    """Of gradients the sizes stay, of a first step nothing; the trajectory makes it again."""
    pairing, start, batches = paired()
    climbing = PortClimb(pairing, start, batches, steps=3)
    sizes = dict(climbing.ordinary.sizes)
    for rung in (climbing.gradients, climbing.step, climbing.trajectory):
        checks, _ = rung()
        assert all(check.passed for check in checks)
        assert not climbing.ordinary.left.gradients
        assert not climbing.ordinary.right.gradients
        assert climbing.training.done == (3 if rung == climbing.trajectory else 0)
    assert climbing.ordinary.sizes == sizes
    assert all(
        p.grad is None for model in pairing.reference._copies.values() for p in model.parameters()
    )


def test_the_spread_after_a_step_is_the_most_so_far():
    """Of runs that are started again where more steps are asked for."""
    starts = []

    def lanes():
        starts.append(1)
        step = lambda value: Step({"w": np.full(2, value)}, {}, {}, 0.0)  # noqa: E731
        gaps = (0.0, 3.0, 1.0, 1.0)
        yield (step(0.0) for _ in gaps), (step(gap) for gap in gaps)
        yield (step(0.0) for _ in gaps), (step(2.0 / 0 if i else 0.5) for i in range(4))

    spread = Spread(lanes)
    found = [spread.after(steps, 4)[0]["w"] for steps in (1, 2, 3, 4)]
    assert found == [0.5, 3.0, 3.0, 3.0]
    assert len(starts) == 2


def test_a_saturated_softmax_is_held_to_its_own_rounding():
    """Its probabilities are 1 exactly in float32, and no weight's ulp moves them."""
    names = "transformer", "SGD"
    reference = random_ports.reference(*names, seed=4)
    port = random_ports.port(random_ports.text_of(*names))
    check_port(reference, port, random_ports.batches(names[0], 4), steps=1).assert_passed()


def test_a_control_run_moves_a_probability_next_to_1():
    def gradient(*modes):
        scores = torch.tensor([0.0, -30.0], dtype=torch.float64, requires_grad=True)
        with contextlib.ExitStack() as stack:
            for mode in modes:
                stack.enter_context(mode)
            torch.softmax(scores, 0)[0].mul(3.0).backward()
        return scores.grad

    usual = gradient()
    moved = [gradient(RoundedAtRandom(draw)) for draw in range(4)]
    gaps = [float((other - usual).abs().max()) for other in moved]
    assert all(1e-17 < gap < 1e-13 for gap in gaps), gaps
    assert torch.equal(moved[0], gradient(RoundedAtRandom(0)))


def test_a_model_shows_the_same_lines_after_a_control_run():
    """What a control run does of its own is no call of the model's."""
    reference = TorchProgram(Torch(GROUPS[0]()), loss=nn.functional.cross_entropy)
    batch = read_batches(rows(), "float64")[0]
    start = reference.start(batch)
    trace = reference.run(start, batch)
    before = reference.variants(trace, 0, trace.ticks[1])
    reference.run(start, batch, True, NONE.as_control(0))
    assert reference.variants(trace, 0, trace.ticks[1]) == before
    for variant in before:  # and the same line is changed in its control run
        if not variant.starts:
            changed, control = (
                reference.run(start, batch, True, v).outputs[0]
                for v in (variant, variant.as_control(0))
            )
            np.testing.assert_allclose(control, changed, rtol=1e-8, atol=1e-8)


def attention(softmax, factor=1.0):
    """Two layers of attention with a residual, in JAX."""

    def apply(params, x):
        split = lambda t: t.reshape(*t.shape[:-1], 2, -1).swapaxes(-3, -2)  # noqa: E731
        for layer in params["layers"]:
            q, k, v = (split(x @ layer[n]["kernel"] + layer[n]["bias"]) for n in "qkv")
            scores = factor * q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
            x = x + (softmax(scores) @ v).swapaxes(-3, -2).reshape(x.shape)
        return x.mean(-2) @ params["head"]["kernel"]

    return apply


def softmax_by_hand(scores):
    """Its gradient is another expression than that of jax.nn.softmax."""
    e = jnp.exp(scores - scores.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attention_weights(rng):
    draw = lambda *shape: rng.normal(size=shape) / np.sqrt(shape[0])  # noqa: E731
    layers = [{n: {"kernel": draw(8, 8), "bias": draw(8)} for n in "qkv"} for _ in range(2)]
    return {"layers": layers, "head": {"kernel": draw(8, 5)}}


def gradients_that_differ(reference, port, factor=1.0):
    """How many gradients of two softmaxes in JAX differ at weights × 10."""
    params = attention_weights(np.random.default_rng(3))
    rng = np.random.default_rng(3)
    (batch,) = read_batches([(rng.normal(size=(6, 5, 8)), rng.integers(0, 5, 6))], "float64")
    pairing, start = pair(
        JaxProgram(attention(reference), params, loss=jax_cross_entropy, name="reference"),
        JaxProgram(attention(port, factor), params, loss=jax_cross_entropy, name="port"),
        batch,
        "float64",
        None,
    )
    ordinary = LadderState("", pairing, start, batch)
    state = replace(ordinary, ordinary=ordinary, weights=start.scaled(10.0))
    return len(failures(states.gradients(state)[0]))


@pytest.mark.long
@pytest.mark.parametrize("reference", ["jax.nn", "by hand"])
def test_two_attentions_in_jax_agree_where_a_softmax_saturates(reference, monkeypatch):
    """Weights a few ulps away leave a probability at 1 exactly: only rounding shows its own, and
    a gradient that is a product with 0 in one program is a difference in the other.
    """
    programs = [jax.nn.softmax, softmax_by_hand][:: 1 if reference == "jax.nn" else -1]
    assert gradients_that_differ(*programs) == 0
    assert gradients_that_differ(*programs, factor=1 + 1e-9) > 0
    monkeypatch.setattr(LadderState, "controls", [])
    monkeypatch.setattr(LadderState, "port_controls", [])
    assert gradients_that_differ(*programs) > 0
