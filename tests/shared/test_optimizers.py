"""The optimizers and schedules: one rule in NumPy, and both backends against it in float64."""

import itertools

import numpy as np
import optax
import pytest
import torch

from mnist_fn import InputError, load_run, resume, sweep, train
from mnist_fn import backend as jax_backend
from mnist_fn.shared.config import Config
from mnist_fn.shared.optimizers import OPTIMIZERS, learning_rates, slots_of
from mnist_fn.shared.parity.backends import numpy_program
from mnist_fn.shared.state import named_tensors
from mnist_fn.shared.streams import batch_order, initial_state
from torch_ref import backend as torch_backend
from torch_ref.train import SLOTS

CASES = {
    "adam": {"l2": 1e-3},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.1},
    "sgd": {"optimizer": "sgd", "learning_rate": 0.1, "l2": 1e-3},
    "momentum": {"optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9},
    "nesterov": {"optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9, "nesterov": True},
    "rmsprop": {"optimizer": "rmsprop", "l2": 1e-3},
    "cosine": {"schedule": "cosine"},
    "warmup": {"schedule": "linear-warmup-cosine", "warmup": 5, "optimizer": "sgd"},
}
BASE = Config(dataset="digits", hidden=(16,), epochs=3, batch_size=100, precision="float64")


def trained(make, config, dataset, epochs=(1, 2, 3), start=None):
    """The state after these epochs, and each epoch's mean loss."""
    backend = make(config, dataset, "cpu")
    state = backend.load(start or initial_state(config, dataset.pixels, dataset.classes))
    losses = []
    for epoch in epochs:
        state, metrics = backend.train_epoch(
            state, batch_order(config.seed, epoch, len(dataset.train))
        )
        losses.append(metrics.loss)
    return backend.dump(state), losses


def furthest(a, b):
    """The largest difference in weights and slots."""
    assert a.trees().keys() == b.trees().keys()
    assert a.step == b.step
    return max(
        float(np.abs(x - y).max())
        for name in a.trees()
        for (_, x), (_, y) in zip(
            named_tensors(a.trees()[name]), named_tensors(b.trees()[name]), strict=True
        )
    )


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("make", [jax_backend.make, torch_backend.make])
def test_both_backends_take_the_declared_steps(digits, make, case):
    """Three epochs of 15 steps, the last of each short; float64, so rounding alone is left."""
    config = BASE.replace(**CASES[case])
    reference, losses = trained(numpy_program.make, config, digits)
    state, own = trained(make, config, digits)
    assert set(state.slots) == set(slots_of(config))
    assert furthest(state, reference) < 1e-12
    assert own == pytest.approx(losses, rel=1e-12)


def test_every_case_is_another_experiment(digits):
    """Else the test above could pass with an optimizer that does not read its own settings."""
    ends = {
        case: trained(numpy_program.make, BASE.replace(**CASES[case]), digits)[0] for case in CASES
    }
    for one, other in itertools.combinations(CASES, 2):
        distance = np.abs(
            ends[one].params["layer1"]["kernel"] - ends[other].params["layer1"]["kernel"]
        ).max()
        assert distance > 1e-3, (one, other)


@pytest.mark.parametrize("case", ["momentum", "rmsprop", "warmup"])
def test_a_run_goes_on_on_the_other_backend(digits, case):
    config = BASE.replace(**CASES[case])
    first, _ = trained(torch_backend.make, config, digits, epochs=(1,))
    after, _ = trained(jax_backend.make, config, digits, epochs=(2, 3), start=first)
    whole, _ = trained(jax_backend.make, config, digits)
    assert furthest(after, whole) < 1e-12


def test_each_backend_has_every_optimizer_and_slot():
    assert {name: set(slots) for name, slots in SLOTS.items()} == {
        name: set(optimizer.slots) for name, optimizer in OPTIMIZERS.items()
    }


def test_the_schedules_are_those_of_the_frameworks():
    cosine = Config(schedule="cosine", epochs=4, learning_rate=0.3)
    ours = learning_rates(cosine, 0, 40, 10)
    optimizer = torch.optim.SGD([torch.zeros(1, dtype=torch.float64)], lr=0.3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40)
    theirs = []
    for _ in range(40):
        theirs.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert ours == pytest.approx(theirs, rel=1e-9)
    warm = cosine.replace(schedule="linear-warmup-cosine", warmup=8)
    rates = learning_rates(warm, 0, 40, 10)
    assert rates[:8] == pytest.approx(0.3 * np.arange(1, 9) / 8)
    decay = optax.cosine_decay_schedule(0.3, decay_steps=32)
    assert rates[8:] == pytest.approx([float(decay(t)) for t in range(32)], rel=1e-5)
    assert np.array_equal(learning_rates(warm, 13, 5, 10), rates[13:18])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"momentum": 0.9}, '`momentum=0.9` is sgd\'s; add `optimizer="sgd"`'),
        ({"optimizer": "rmsprop", "weight_decay": 0.1}, "is adamw's"),
        ({"optimizer": "sgd", "momentum": 1.0}, "`momentum=1`: must be between 0 and"),
        ({"optimizer": "sgd", "nesterov": True}, "`nesterov=True` needs `momentum`"),
        ({"warmup": 10}, "`warmup=10`"),
        ({"schedule": "linear-warmup-cosine"}, "a number of steps as `warmup`"),
        ({"schedule": "cosin"}, "did you mean cosine?"),
    ],
)
def test_what_does_not_go_together_is_refused(given, said):
    with pytest.raises(InputError) as refused:
        Config(**given)
    assert said in str(refused.value)


def test_a_run_written_before_has_the_same_identity():
    assert set(Config().to_dict()) == {
        "dataset", "validation", "hidden", "l2", "optimizer", "weight_decay", "learning_rate",
        "batch_size", "epochs", "seed", "precision",
    }  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize("case", ["sgd", "momentum", "warmup"])
def test_a_run_is_recorded_and_resumed_bit_for_bit(tmp_path, backend, case):
    config = BASE.replace(**CASES[case], precision="float32")
    how = {"device": "cpu", "progress": False}
    whole = train(config, backend, **how)
    saved = train(config, backend, out=tmp_path / "run", **how)
    assert furthest(load_run(saved.path).state, whole.state) == 0


def test_a_scheduled_run_is_no_beginning_of_a_longer_one(tmp_path):
    how = {"device": "cpu", "progress": False, "out": tmp_path / "run"}
    config = BASE.replace(schedule="cosine")
    train(config, **how)
    with pytest.raises(InputError, match="spread over the run's 3 epochs"):
        resume(tmp_path / "run", epochs=5, device="cpu", progress=False)


def test_a_sweep_trains_them(tmp_path):
    config = BASE.replace(**CASES["warmup"], precision="float32")
    found = sweep(config, learning_rate=[0.05, 0.1], device="cpu", progress=False)
    for run in found:
        alone = train(run.config, device="cpu", progress=False)
        assert furthest(run.state, alone.state) == 0
