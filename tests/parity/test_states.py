"""The stress states take both sides of every branch that either backend has."""

from collections import defaultdict
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mnist_fn import Config, InputError
from mnist_fn.backend import make_model
from mnist_fn.shared import backend as backends
from mnist_fn.shared.data.datasets import scale_pixels
from mnist_fn.shared.parity.backends import rungs, states
from mnist_fn.shared.parity.backends.checks import Pair
from mnist_fn.shared.parity.backends.numpy_program import flat, layers
from mnist_fn.training import Data, Hyper, State, make_loss, make_train_step
from tests.parity.test_bounds import one_after_another
from torch_ref.train import train_epoch as torch_epoch

CONFIG = Config(dataset="digits", hidden=(16, 8), l2=1e-3, precision="float64")
# of a jaxpr: what goes one way or another by its numbers
BRANCHES = (
    "max",
    "min",
    "clamp",
    "select_n",
    "cond",
    "while",
    "sign",
    "abs",
    "reduce_max",
    "argmax",
)
# the largest of some, and sign and size of a sum of exponentials in log-sum-exp's derivative
EVERYWHERE_ALIKE = ("reduce_max", "argmax", "sign", "abs")


def of_stress_states(data, **changes):
    config = CONFIG.replace(**changes)
    pair = Pair(backends.find("torch"), backends.find("torch"), config, data)
    grads = pair.declared.gradients(pair.start, pair.first_batch)
    return pair, [states.ordinary(pair), states.at_boundary(pair),
                  *states.stress_states(pair, grads)]  # fmt: skip


def walk(jaxpr, consts, arguments, taken, path=""):
    """Evaluate a jaxpr and note which sides its branches take, by their place in it."""
    known = dict(zip(jaxpr.constvars, consts, strict=True))
    known |= dict(zip(jaxpr.invars, arguments, strict=True))
    for i, eqn in enumerate(jaxpr.eqns):
        values = [v.val if hasattr(v, "val") else known[v] for v in eqn.invars]
        name, at = eqn.primitive.name, f"{path}{i} {eqn.primitive.name}"
        inner = eqn.params.get("jaxpr") or eqn.params.get("call_jaxpr")
        if inner is not None and name in ("pjit", "jit", "closed_call", "custom_jvp_call"):
            closed = inner if hasattr(inner, "consts") else jax.extend.core.ClosedJaxpr(inner, ())
            made = walk(closed.jaxpr, closed.consts, values, taken, f"{at}/")
        else:
            made = eqn.primitive.bind(*values, **eqn.params)
            made = made if eqn.primitive.multiple_results else [made]
        if name in ("max", "min"):
            a, b = np.broadcast_arrays(*map(np.asarray, values))
            if np.isfinite(a).all() and np.isfinite(b).all():  # -inf is where a maximum begins
                taken[at] |= {("<", ">")[int(side)] for side in np.unique((a > b)[a != b])}
        elif name == "select_n":
            at += " of one" if np.ndim(values[0]) == 0 else ""
            taken[at] |= set(np.unique(np.asarray(values[0])).tolist())
        elif name in BRANCHES and name not in EVERYWHERE_ALIKE:
            raise AssertionError(f"{at}: a branch that this test does not know how to look at")
        known.update(zip(eqn.outvars, made, strict=True))
    return [v.val if hasattr(v, "val") else known[v] for v in jaxpr.outvars]


def sides_of_jax(data, made, arguments):
    """The sides that the branches of one JAX function take over all stress states.

    `made` is that function of the loss's model, `arguments` what it takes at a stress.
    """
    pair, found = of_stress_states(data)
    taken, graph = defaultdict(set), None
    with jax.enable_x64(True):
        function = made(make_model(CONFIG, 10, jax.devices("cpu")[0]))
        for stress in found:
            given = arguments(pair, stress)
            graph = graph or jax.make_jaxpr(function)(*given)
            walk(graph.jaxpr, graph.consts, jax.tree.leaves(given), taken)
    return taken


def gradient_at(pair, stress):
    x, y = pair.declared.examples(stress.batch)
    return stress.tree.params, jnp.asarray(x), jnp.asarray(y, jnp.int32), jnp.asarray(1e-3)


def step_at(pair, stress):
    state = stress.tree
    train = pair.dataset.train
    pixels = jnp.asarray(scale_pixels(train.images, "float64"))
    data = Data(pixels, jnp.asarray(train.labels, jnp.int32))
    hyper = Hyper(*(jnp.asarray(getattr(CONFIG, name)) for name in Hyper._fields))
    count = jnp.asarray(state.step, jnp.int32)
    return State(state.params, state.slots, count), jnp.asarray(stress.batch), data, hyper


def of_relus(taken):
    return {at: sides for at, sides in taken.items() if at.endswith(" max") and sides}


def test_every_branch_of_jax_is_taken_on_both_sides(digits):
    taken = sides_of_jax(digits, lambda model: jax.grad(make_loss(model), has_aux=True),
                         gradient_at)  # fmt: skip
    relus = of_relus(taken)
    assert len(relus) >= 2, taken  # a ReLU for each hidden layer
    assert all(sides == {"<", ">"} for sides in relus.values()), taken
    # an index that is out of its bounds wraps: the one branch that no right call takes
    chosen = [at for at, sides in taken.items() if "select_n" in at and sides == {True, False}]
    assert chosen, taken


def test_the_optimizer_of_jax_has_no_branch_but_that_of_its_full_counter(digits):
    """A whole step, beside the gradient that is in it. optax's counter and the state's, which every
    optimizer has, stand still at 2³¹ - 1, which no training gets to; besides, pixels and labels are
    taken by indices that could wrap."""
    own = sides_of_jax(digits, lambda model: jax.grad(make_loss(model), has_aux=True), gradient_at)
    step = sides_of_jax(digits, make_train_step, step_at)
    assert len(of_relus(step)) == len(of_relus(own))
    assert all(sides == {"<", ">"} for sides in of_relus(step).values()), step

    def count(taken, end):
        return sum(at.endswith(end) for at in taken)

    *others, adams, states_own = [sides for at, sides in step.items() if at.endswith(" of one")]
    assert adams == states_own == {True}
    assert len(others) == count(own, " of one")
    assert count(step, "select_n") == count(own, "select_n") + 2
    for kind in (" max", " min"):
        assert count(step, kind) == count(own, kind), step


def test_a_branch_of_the_optimizer_would_be_seen(digits, monkeypatch):
    """Clipping put into it: the test above is red."""
    adam = optax.scale_by_adam
    monkeypatch.setattr(optax, "scale_by_adam", lambda **k: clipped(adam(**k)))
    with pytest.raises(AssertionError):
        test_the_optimizer_of_jax_has_no_branch_but_that_of_its_full_counter(digits)


def clipped(adam):
    def update(grads, state):
        return adam.update(jax.tree.map(lambda g: jnp.clip(g, -0.5, 0.5), grads), state)

    return optax.GradientTransformation(adam.init, update)


class Sides(TorchDispatchMode):
    """Which sides torch's own branches take."""

    def __init__(self):
        super().__init__()
        self.taken = defaultdict(set)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.__name__.partition(".")[0]
        if name == "relu":
            self.taken[name, args[0].shape[1]] |= set(args[0].sign().unique().tolist())
        elif name == "threshold_backward":
            self.taken[name, args[1].shape[1]] |= set((args[1] > 0).unique().tolist())
        elif name in ("clamp", "clamp_min", "where", "maximum", "minimum", "hardtanh"):
            raise AssertionError(f"{name}: a branch that this test does not know how to look at")
        return func(*args, **(kwargs or {}))


def test_every_branch_of_torch_is_taken_on_both_sides(digits):
    _, found = of_stress_states(digits)
    sides = Sides()
    backend = backends.find("torch")(CONFIG, digits, "cpu")
    inside = type(backend).gradients.__wrapped__  # in this thread, where the mode is
    for stress in found:
        state = backend.load(stress.tree)
        with torch.enable_grad(), sides:
            inside(backend, state, stress.batch)
    assert {key for key in sides.taken if key[0] == "relu"} == {("relu", 16), ("relu", 8)}
    for (name, _), taken in sides.taken.items():
        assert taken == ({-1.0, 0.0, 1.0} if name == "relu" else {True, False})


def test_the_optimizer_of_torch_is_one_program_without_a_branch_of_ours(digits):
    """What a step calls beyond the gradient's: fused Adam, whose only branches are its options."""
    _, found = of_stress_states(digits)
    backend = backends.find("torch")(CONFIG, digits, "cpu")
    sides, calls = Sides(), Calls()
    for stress in found:
        model, optimizer, _ = backend.load(stress.tree)
        batches, rates = [backend._indices(stress.batch)], [CONFIG.learning_rate]
        with torch.enable_grad(), sides, calls:
            torch_epoch(model, optimizer, backend._images, backend._labels, batches, rates)
    assert {name for name in calls.names if "adam" in name} == {"_fused_adam_"}
    assert {"relu", "threshold_backward"} <= calls.names
    for (name, _), taken in sides.taken.items():
        assert taken == ({-1.0, 0.0, 1.0} if name == "relu" else {True, False})


class Calls(TorchDispatchMode):
    """The names of all that is called."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.__name__.partition(".")[0])
        return func(*args, **(kwargs or {}))


def test_gradients_are_beyond_epsilon_on_both_sides_and_beyond_usual_norms(digits):
    pair, found = of_stress_states(digits)
    norms, smallest = [], []
    for stress in found:
        grads = pair.declared.gradients(stress.tree, stress.batch)
        every = np.concatenate([t.ravel() for layer in grads.values() for t in layer.values()])
        norms.append(float(np.sqrt((every**2).sum())))
        tensors = [np.abs(t).max() for layer in grads.values() for t in layer.values()]
        smallest += [float(size) for size in tensors if size]
    assert min(smallest) < 1e-8 < max(smallest)  # Adam's ε, whole tensors on either side
    assert min(norms) < 0.1
    assert max(norms) > 100  # whatever norm gradients are usually clipped to
    columns = [np.linalg.norm(layer["kernel"], axis=0).max() for stress in found
               for layer in stress.tree.params.values()]  # fmt: skip
    assert max(columns) > 100
    assert {stress.tree.step for stress in found} == {0, 10_000, 1_000_000}


@pytest.mark.parametrize("ulps", [20, -20, 0])
def test_an_example_whose_relu_rounding_may_switch_is_left_out_of_the_batch(digits, ulps):
    """Its gradient differs on each side. At exactly 0 the derivative is a convention: it stays."""
    pair = Pair(backends.find("torch"), backends.find("torch"), CONFIG, digits)
    tree, (x, _) = states.copied(pair.start), pair.declared.examples(pair.first_batches)
    pixel = int(x[0].argmax())  # a sum that has a 0 as its term would be exact
    value = x[0, pixel]
    layer = tree.params["layer1"]  # whose first unit gets the pixel less the value
    layer["kernel"][:, 0] = np.arange(len(layer["kernel"])) == pixel
    layer["bias"][0] = ulps * np.finfo("float64").eps - value
    switched = (x[:, pixel] == value) & (ulps != 0)
    batch = states.state_of(pair, "", tree).batch
    assert switched.any() == (ulps != 0)
    assert batch.tolist() == pair.first_batches[~switched][: len(pair.first_batch)].tolist()


@pytest.mark.parametrize("hidden", [(512,), (512, 256), (1024, 1024)])
def test_every_state_is_compared_on_a_full_batch_on_digits(digits, hidden):
    full_batches(digits, hidden)


@pytest.mark.mnist
@pytest.mark.parametrize("hidden", [(512,), (512, 256)])
def test_every_state_is_compared_on_a_full_batch_on_mnist(mnist, hidden):
    full_batches(mnist, hidden)


def full_batches(data, hidden):
    """Of each state in float32: no example that rounding may switch, none twice but of a small
    class."""
    pair, found = of_stress_states(data, hidden=hidden, precision="float32")
    labels, eps = data.train.labels, float(np.finfo("float32").eps)
    alike = int((labels == labels[0]).sum())
    for stress in found:
        assert len(stress.batch) == pair.config.batch_size, stress.name
        x, _ = pair.declared.examples(stress.batch)
        assert not states.switched(flat(stress.tree.params), x, eps).any(), stress.name
        one_class = len(set(labels[stress.batch])) == 1
        distinct = min(pair.config.batch_size, 0.75 * alike if one_class else len(labels))
        assert len(set(stress.batch)) >= distinct, stress.name


def test_the_worst_order_of_sums_stays_below_what_switches_a_relu(digits):
    """Of every unit's input, 15 times: float32 sums one after another, layer after layer."""
    pair, found = of_stress_states(digits, hidden=(512, 256), precision="float32")
    eps, shares = float(np.finfo("float32").eps), []
    for stress in found:
        x, _ = pair.declared.examples(stress.batch[:32])
        narrow, off = x.astype("float32"), np.zeros_like(x)
        *hidden, _ = layers(flat(stress.tree.params)).values()
        for kernel, bias in hidden:
            h, off = x @ kernel + bias, states.rounding(x, off, kernel, bias, eps)
            narrow = one_after_another(narrow, kernel.astype("float32")) + bias.astype("float32")
            shares.append((np.abs(narrow - h)[off > 0] / off[off > 0]).max())
            x, narrow, off = np.maximum(h, 0), np.maximum(narrow, 0), off * (h > 0)
    assert 0 < max(shares) < 1 / 15


def test_a_state_that_leaves_too_few_examples_is_an_error_of_its_own(digits):
    """Two inputs of a unit cancel to 20 eps in every example: none is compared on."""
    pair, _ = of_stress_states(digits)
    tree = states.copied(pair.start)
    first, second = tree.params["layer1"], tree.params["layer2"]
    first["kernel"][:, :2], first["bias"][:2] = 0, 1
    second["kernel"][:, 0], second["bias"][0] = 0, 20 * np.finfo("float64").eps
    second["kernel"][:2, 0] = 1, -1
    with pytest.raises(InputError, match=r"^a state: .* all but 0 of 1437 examples"):
        states.state_of(pair, "a state", tree)


def test_a_first_step_whose_sign_rounding_decides_is_held_to_both(digits):
    """Gradients of opposite signs beyond ε, as MNIST's saturated logits give in float32."""
    pair = Pair(backends.find("torch"), backends.find("torch"), CONFIG, digits)
    left, right = moved(pair, 3e-8), moved(pair, -2e-8)
    checks = rungs.first_weights(pair, pair.start, left, right, "step:")
    assert all(check.passed for check in checks)
    other = moved(pair, -2e-8, rate=1.01)
    checks = rungs.first_weights(pair, pair.start, left, other, "step:")
    assert not all(check.passed for check in checks)


def moved(pair, g, rate=1.0):
    """What Adam's first step makes of a gradient that is g everywhere."""
    start = pair.start
    step = rate * pair.config.learning_rate * g / (abs(g) + 1e-8)
    params = {layer: {k: t - step for k, t in tensors.items()}
              for layer, tensors in start.params.items()}  # fmt: skip
    mu = {layer: {k: np.full_like(t, 0.1 * g) for k, t in tensors.items()}
          for layer, tensors in start.params.items()}  # fmt: skip
    return replace(start, params=params, slots={**start.slots, "mu": mu}, step=1)
