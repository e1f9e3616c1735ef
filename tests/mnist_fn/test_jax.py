"""The JAX backend: pure functions that do what they say, compiled once."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mnist_fn import Config, compiling, load_run, train
from mnist_fn import backend as jax_backend
from mnist_fn.model import MLP
from mnist_fn.shared import backend as backends
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.state import count_parameters, named_tensors
from mnist_fn.shared.streams import batch_order, initial_state
from mnist_fn.training import make_loss, make_train_step

HIDDEN = [(), (16,), (16, 8)]


def made(dataset, **changes):
    config = Config(**{"dataset": "digits", "hidden": (16,), "l2": 1e-3, **changes})
    backend = jax_backend.make(config, dataset, "cpu")
    start = initial_state(config, dataset.pixels, dataset.classes)
    return backend, start, batch_order(config.seed, 1, len(dataset.train))


def assert_equal_states(a, b):
    assert a.step == b.step
    for kind in ("params", "mu", "nu"):
        pairs = zip(named_tensors(a.trees()[kind]), named_tensors(b.trees()[kind]), strict=True)
        for (name, left), (_, right) in pairs:
            assert np.array_equal(left, right), f"{kind}/{name}"


@pytest.mark.parametrize(
    ("hidden", "count"), [((), 7_850), ((512,), 407_050), ((512, 256), 535_818)]
)
def test_parameter_counts_of_the_study(hidden, count):
    params = MLP(hidden).init(jax.random.key(0), jnp.zeros((1, 784)))["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count
    start = initial_state(Config(hidden=hidden), 784, 10)
    assert count_parameters(start.params) == count
    assert jax.tree.map(jnp.shape, dict(params)) == jax.tree.map(np.shape, start.params)


def test_flax_init_has_pytorchs_bounds():
    params = MLP((512,)).init(jax.random.key(1), jnp.zeros((1, 784)))["params"]
    for layer, fan_in in (("layer1", 784), ("layer2", 512)):
        for kind in ("kernel", "bias"):
            values, bound = np.asarray(params[layer][kind]), 1 / np.sqrt(fan_in)
            assert np.abs(values).max() <= bound
            assert np.abs(values).max() > 0.8 * bound  # uniform, not something narrower


@pytest.mark.parametrize(
    ("hidden", "precision", "batch_size"),
    [
        (HIDDEN[0], "float32", 50),
        (HIDDEN[1], "float64", 50),
        (HIDDEN[2], "float32", 200),
        (HIDDEN[2], "float64", 50),
    ],
)
def test_scan_equals_a_plain_loop(small, hidden, precision, batch_size):
    """One program an epoch against one jitted step a batch, the ragged batch included.

    Not bitwise by right: XLA may fuse a loop's body otherwise than a lone step. The bound is a
    few ulps of the largest entry, over two steps, and as much more over five.
    """
    backend, start, order = made(small, hidden=hidden, precision=precision, batch_size=batch_size)
    scanned, metrics = backend.train_epoch(backend.load(start), order)
    scanned = backend.dump(scanned)
    with backend._scope():
        dtype = jnp.dtype(precision)
        step = jax.jit(make_train_step(MLP(hidden, 10, dtype)))
        state, loss, correct = backend.load(start), 0.0, 0
        batches = [order[at : at + batch_size] for at in range(0, len(order), batch_size)]
        for batch in batches:
            state, sums = step(state, jnp.asarray(batch), backend._data, backend._hyper)
            loss += float(sums.loss)
            correct += int(sums.correct)
    looped = backend.dump(state)
    bound = {"float32": 1e-6, "float64": 1e-14}[precision] * len(batches) / 2
    assert metrics.loss_sum == pytest.approx(loss, rel=bound)
    assert (metrics.correct, metrics.count) == (correct, len(order))
    assert scanned.step == looped.step == len(batches)
    for (name, a), (_, b) in zip(
        named_tensors(scanned.params), named_tensors(looped.params), strict=True
    ):
        assert np.abs(a - b).max() <= bound * np.abs(b).max(), name


def test_every_example_counts_in_the_ragged_batch(small):
    backend, start, order = made(small)
    _, metrics = backend.train_epoch(backend.load(start), order)
    assert metrics.count == 230
    # the short batch alone: its own sum, not a mean of unequal means
    state, first = backend.train_epoch(backend.load(start), order[:200])
    _, last = backend.train_epoch(state, order[200:])
    assert last.count == 30
    assert metrics.loss_sum == pytest.approx(first.loss_sum + last.loss_sum, rel=1e-6)
    assert metrics.correct == first.correct + last.correct


def test_no_retrace_after_the_first_epoch(digits):
    traced = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, *_, **__: traced.append(event) if "trace" in event else None
    )
    backend, state, order = made(digits)
    state = backend.load(state)
    for epoch in (1, 2):
        if epoch == 2:
            traced.clear()
        state, _ = backend.train_epoch(state, batch_order(0, epoch, len(order)))
        backend.logits(state, digits.test.images)
    assert traced == []
    backend.train_epoch(state, order[:77])  # another shape: the listener does hear
    assert traced


@pytest.mark.parametrize("hidden", HIDDEN)
def test_gradients_against_finite_differences(small, hidden):
    """Central differences in float64 at h = 1e-6: truncation about h², rounding about 1e-16/h,
    so 1e-8 absolute is a hundred times either."""
    backend, start, order = made(small, hidden=hidden, precision="float64")
    batch, h = order[:50], 1e-6
    grads = backend.gradients(backend.load(start), batch)
    rng = np.random.default_rng(0)
    for layer, tensors in start.params.items():
        for kind, tensor in tensors.items():
            for flat in rng.choice(tensor.size, size=min(6, tensor.size), replace=False):
                index = np.unravel_index(flat, tensor.shape)
                kept, sides = tensor[index], []
                for side in (h, -h):
                    tensor[index] = kept + side
                    sides.append(backend.losses(backend.load(start), batch)[1])
                tensor[index] = kept
                slope = (sides[0] - sides[1]) / (2 * h)
                assert grads[layer][kind][index] == pytest.approx(slope, abs=1e-8), (layer, kind)


def test_the_objective_adds_lambda_times_the_weights_squares(small):
    backend, start, order = made(small, l2=0.01, precision="float64")
    cross_entropy, objective = backend.losses(backend.load(start), order[:200])
    squares = sum((layer["kernel"] ** 2).sum() for layer in start.params.values())
    assert objective - cross_entropy == pytest.approx(0.01 * squares, rel=1e-13)


def test_l2_is_coupled_and_weight_decay_is_not(small):
    """λΣW² equals weight_decay 2λ before Adam's moments; AdamW's equals a shrinking of weights."""
    _, start, order = made(small, precision="float64")
    plain, coupled, decoupled = (
        backend.dump(backend.train_epoch(backend.load(start), order[:200])[0])
        for backend in (
            made(small, l2=0.0, precision="float64")[0],
            made(small, l2=0.01, precision="float64")[0],
            made(small, l2=0.0, optimizer="adamw", weight_decay=0.1, precision="float64")[0],
        )
    )
    kernel = start.params["layer1"]["kernel"]
    assert np.abs(coupled.slots["mu"]["layer1"]["kernel"] - plain.slots["mu"]["layer1"]["kernel"]
                  - 0.1 * 2 * 0.01 * kernel).max() < 1e-15  # fmt: skip
    assert np.array_equal(
        coupled.slots["mu"]["layer1"]["bias"], plain.slots["mu"]["layer1"]["bias"]
    )
    shrunk = plain.params["layer1"]["kernel"] - 5e-4 * 0.1 * kernel
    assert np.abs(decoupled.params["layer1"]["kernel"] - shrunk).max() < 1e-15
    assert np.array_equal(decoupled.params["layer1"]["bias"], plain.params["layer1"]["bias"])


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_load_and_dump_are_inverse_bit_for_bit(small, precision):
    backend, start, order = made(small, precision=precision)
    trained = backend.dump(backend.train_epoch(backend.load(start), order)[0])
    assert trained.params["layer1"]["kernel"].dtype == precision
    assert_equal_states(backend.dump(backend.load(trained)), trained)


def test_float64_does_not_leak_into_the_callers_process(small):
    made(small, precision="float64")
    assert jnp.zeros(1).dtype == jnp.float32


def test_a_caller_in_float64_does_not_widen_a_float32_run(small):
    with jax.enable_x64(True):
        backend, start, order = made(small)
        state, _ = backend.train_epoch(backend.load(start), order)
    assert state.params["layer1"]["kernel"].dtype == jnp.float32


def test_loss_returns_the_objective_and_the_cross_entropy():
    loss = make_loss(MLP(()))
    params = MLP(()).init(jax.random.key(0), jnp.zeros((1, 4)))["params"]
    objective, (cross_entropy, correct) = loss(
        params, jnp.ones((3, 4)), jnp.array([0, 1, 2]), jnp.asarray(0.5)
    )
    assert objective > cross_entropy
    assert correct in (0, 1)  # three equal inputs, three labels


def test_jax_is_found_by_its_entry_point():
    assert backends.find("jax") is jax_backend.make


def test_wide_vectors_do_not_change_a_bit(small):
    """Nor does an XLA that does not know the option, which is done without it."""
    backend, start, order = made(small, l2=1e-4)
    state, data, hyper = backend._shapes
    like = jax.ShapeDtypeStruct(order.shape, order.dtype)
    lowered = backend._epoch.lower(state, like, data, hyper)
    plain = backend.dump(
        lowered.compile()(backend.load(start), order, backend._data, backend._hyper)[0]
    )
    wide = lowered.compile(compiler_options=compiling.WIDE_VECTORS)
    assert_equal_states(
        backend.dump(wide(backend.load(start), order, backend._data, backend._hyper)[0]), plain
    )
    assert_equal_states(backend.dump(backend.train_epoch(backend.load(start), order)[0]), plain)


def test_an_xla_without_the_option_compiles_without_it(monkeypatch):
    monkeypatch.setattr(compiling, "WIDE_VECTORS", {"xla_cpu_no_such_option": 1})
    monkeypatch.setattr(compiling, "vectors", lambda: "AVX512F")
    lowered = jax.jit(lambda x: x + 1).lower(1.0)
    assert compiling.compile_for(lowered, jax.devices("cpu")[0])(1.0) == 2


@pytest.mark.parametrize(("vectors", "wide"), [("AVX512F", True), ("AVX2", False), ("", False)])
def test_vectors_are_wide_where_the_processor_has_them(monkeypatch, vectors, wide):
    asked = []
    lowered = SimpleNamespace(compile=lambda **options: asked.append(options))
    monkeypatch.setattr(compiling, "vectors", lambda: vectors)
    compiling.compile_for(lowered, jax.devices("cpu")[0])
    assert asked == [{"compiler_options": compiling.WIDE_VECTORS} if wide else {}]


@pytest.mark.long
@pytest.mark.parametrize("hidden", HIDDEN)
def test_bf16_rounds_the_products_inputs_alone(small, hidden):
    """Weights stay float32; with 8 significant bits logits of order 1 differ by some 2e-3 for
    each layer, and are not equal."""
    full, start, order = made(small, hidden=hidden)
    half, _, _ = made(small, hidden=hidden, precision="bf16")
    images = small.test.images
    there, here = (b.logits(b.load(start), images) for b in (half, full))
    assert there.dtype == np.float32
    assert 0 < np.abs(there - here).max() < 2e-2
    trained = half.dump(half.train_epoch(half.load(start), order)[0])
    assert trained.params["layer1"]["kernel"].dtype == np.float32


def test_tf32_is_refused_where_there_is_none(small):
    with pytest.raises(InputError, match='`precision="tf32"`: cpu has none'):
        made(small, precision="tf32")


def test_a_bf16_run_is_kept_and_read_back(tmp_path):
    config = Config(dataset="digits", hidden=(8,), epochs=1, precision="bf16")
    run = train(config, out=tmp_path / "r")
    again = load_run(tmp_path / "r")
    assert again.config == config
    assert np.array_equal(run.weights["layer1"]["kernel"], again.weights["layer1"]["kernel"])
