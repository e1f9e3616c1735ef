"""Sweeps: the runs one by one, to the bit where the arithmetic is the same."""

import json
import re
import sys
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

from mnist_fn import Callbacks, Config, InputError, Interrupted, load_run, train
from mnist_fn.capacity import MEMORY_SHARE, OneAtATime, free_bytes, make_group, model_bytes
from mnist_fn.model import MLP
from mnist_fn.shared import backend as backends
from mnist_fn.shared.data.datasets import load
from mnist_fn.shared.evaluation import evaluate
from mnist_fn.shared.runs.folder import slug
from mnist_fn.shared.runs.header import SECONDS
from mnist_fn.shared.runs.loop import TrainingJob
from mnist_fn.shared.runs.store import open_run
from mnist_fn.shared.state import named_tensors
from mnist_fn.shared.sweeps import runner
from mnist_fn.shared.sweeps.request import SweepRequest, grid
from mnist_fn.shared.sweeps.runner import shape_of, train_runs
from mnist_fn.sweeping import JaxGroup
from mnist_fn.training import apply
from tests.support.vmapped import LadderGroup

BASE = Config(dataset="digits", hidden=(16,), epochs=3, learning_rate=5e-3)
CONFIGS = grid(BASE, seeds=1, l2=(0.0, 1e-3), learning_rate=(5e-3, 1e-3))
CONFIGS[3] = CONFIGS[3].replace(seed=1)  # all three axes
FILES = ("metrics.csv", "checkpoint.safetensors", "evaluation.json")


def train_many(configs, out=None, callbacks=None):
    """Each run by its config."""
    request = SweepRequest(tuple(configs), device="cpu", out=out)
    return {config: run for _, config, run in train_runs([request], callbacks or Callbacks())}


def tensors(run):
    trees = run.state.trees()
    return [(f"{kind}/{name}", t) for kind in trees for name, t in named_tensors(trees[kind])]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Each config trained by itself."""
    folder = tmp_path_factory.mktemp("alone")
    return {config: train(config, out=folder / slug(config, "jax")) for config in CONFIGS}


def test_a_grid_is_every_combination_with_the_same_seeds():
    axes = {"seeds": 2, "l2": (0.0, 1e-3), "learning_rate": (5e-3, 1e-3), "hidden": ((), (8,))}
    configs = grid(BASE, **axes)
    assert len(configs) == len(set(configs)) == 16
    assert {config.seed for config in configs} == {0, 1}
    later = grid(BASE.replace(seed=5), seeds=3)
    assert [config.seed for config in later] == [5, 6, 7]


@pytest.mark.parametrize("seeds", [[4, 0, 9], (4, 0, 9), np.array([4, 0, 9])])
def test_the_seeds_of_a_grid_can_be_named(seeds):
    assert [config.seed for config in grid(BASE, seeds=seeds)] == [4, 0, 9]
    assert [config.seed for config in grid(BASE, seeds=jax.numpy.array(seeds))] == [4, 0, 9]
    assert [config.seed for config in grid(BASE, seeds=np.int64(2))] == [0, 1]
    assert [config.seed for config in grid(BASE, seeds=np.array(2))] == [0, 1]
    assert [config.seed for config in grid(BASE, seeds=2.0)] == [0, 1]


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"seeds": 0}, "`seeds=0`"),
        ({"seeds": 1.5}, "`seeds=1.5`"),
        ({"seeds": "two"}, "`seed='t'`"),
        ({"seeds": []}, "`seeds=\\[\\]`: must be between 1 and"),
        ({"seeds": [1, 1]}, "`seeds`: a value is given twice"),
        ({"seeds": [-1]}, "`seed=-1`"),
        ({"seeds": 1, "l2": (0.0, 0.0)}, "`l2`: a value is given twice"),
        ({"seeds": 1, "l2": (-1.0,)}, "`l2=-1`"),
        ({"seeds": 1, "learning_rate": (0.0,)}, "`learning_rate=0`"),
    ],
)
def test_a_bad_grid_is_refused(axes, said):
    with pytest.raises(InputError, match=said):
        grid(BASE, **axes)


def test_a_shape_is_what_a_program_can_train_and_a_validation_split_is_its_seeds_own():
    assert len({shape_of(config) for config in CONFIGS}) == 1
    assert shape_of(CONFIGS[0].replace(hidden=())) != shape_of(CONFIGS[0])
    held_out = [config.replace(validation=100) for config in CONFIGS]
    assert [shape_of(config).seed for config in held_out] == [0, 0, 0, 1]


def test_a_sweep_writes_the_files_of_single_runs(alone, tmp_path):
    """On a CPU, byte for byte."""
    results = train_many(CONFIGS, tmp_path)
    assert list(results) == CONFIGS
    for config, run in results.items():
        single = alone[config]
        assert run.path.name == single.path.name
        for file in FILES:
            assert (run.path / file).read_bytes() == (single.path / file).read_bytes(), file
        assert load_run(run.path).rows == run.rows == single.rows


def test_a_float64_sweep_too_has_the_bits_of_single_runs():
    configs = [config.replace(precision="float64", epochs=1) for config in CONFIGS[:2]]
    for config, run in train_many(configs).items():
        assert run.rows == train(config, device="cpu").rows


@pytest.mark.parametrize("each", [1, 4])
def test_every_way_of_computing_equals_the_runs_one_by_one(alone, digits, each):
    """Another program may add up in another order: measured after 24 steps 2e-7 of a tensor's
    largest entry, a few of float32's roundings; 1e-5 leaves room for other versions of XLA and
    is no other batch."""
    group = JaxGroup(BASE, digits, jax.local_devices(backend="cpu")[:1], each)
    for start in range(0, len(CONFIGS), each):
        chunk = CONFIGS[start : start + each]
        for config, run in zip(chunk, train_through(group, digits, chunk), strict=True):
            for (name, a), (_, b) in zip(tensors(run), tensors(alone[config]), strict=True):
                assert np.abs(a - b).max() <= 1e-5 * np.abs(b).max(), name


def test_evaluation_on_the_device_is_numpys(alone, digits):
    """Both take the logarithm in float64: within a few of its roundings, 1e-13."""
    group = LadderGroup(BASE, digits, jax.local_devices(backend="cpu")[:1], 4)
    logits_of = group.over_models(partial(apply, MLP(BASE.hidden, digits.classes)), True, False)
    state = group.load(CONFIGS, [alone[config].state for config in CONFIGS])
    all_logits = np.asarray(logits_of(state.state.params, group.pixels(digits.test.images)))
    for logits, there in zip(all_logits, group.evaluate(state, digits.test), strict=True):
        here = evaluate(logits, digits.test.labels)
        assert there.loss == pytest.approx(here.loss, rel=1e-13)
        assert np.array_equal(there.predictions, here.predictions)
        assert np.array_equal(there.confusion_matrix, here.confusion_matrix)


def train_through(group, dataset, configs=CONFIGS):
    """What `sweep` does with a group, for a group made by hand."""
    opened = [open_run(config, None) for config in configs]
    spent = dict.fromkeys(SECONDS, 0.0)
    return list(TrainingJob(group, dataset, Callbacks(), spent).train(opened).values())


def test_vmap_in_float64_is_the_single_run_to_its_last_digits(digits):
    """Measured 3e-16 of a tensor's largest entry after 24 steps; 1e-13 leaves room."""
    configs = [config.replace(precision="float64") for config in CONFIGS[2:]]
    group = JaxGroup(configs[0], digits, jax.local_devices(backend="cpu")[:1], 2)
    for config, run in zip(configs, train_through(group, digits, configs), strict=True):
        for (name, a), (_, b) in zip(tensors(run), tensors(train(config)), strict=True):
            assert np.abs(a - b).max() <= 1e-13 * np.abs(b).max(), name


def test_a_short_load_is_padded_and_the_padding_is_not_seen(alone, digits):
    group = JaxGroup(BASE, digits, jax.local_devices(backend="cpu")[:1], 4)
    runs = train_through(group, digits, CONFIGS[:3])
    assert [run.config for run in runs] == CONFIGS[:3]


def stop_after(epochs):
    seen = []
    return Callbacks(on_epoch=seen.append, should_stop=lambda: len(seen) >= epochs)


def test_an_interrupted_sweep_goes_on_to_the_same_runs(alone, tmp_path):
    with pytest.raises(Interrupted):
        train_many(CONFIGS, tmp_path, stop_after(4))  # in the second run
    trained = []
    results = train_many(CONFIGS, tmp_path, Callbacks(on_epoch=trained.append))
    assert len(trained) == 3 * len(CONFIGS) - 4
    assert results.keys() == set(CONFIGS)
    for config, run in results.items():
        assert run.rows == alone[config].rows
    assert all(run.loaded for run in train_many(CONFIGS, tmp_path).values())


def test_a_run_that_diverges_does_not_stop_the_others(alone, digits):
    wild = BASE.replace(learning_rate=1e6, hidden=(16,) * 8)
    tame = wild.replace(learning_rate=1e-3)
    group = JaxGroup(wild, digits, jax.local_devices(backend="cpu")[:1], 2)
    lost, kept = train_through(group, digits, [wild, tame])
    assert isinstance(lost, InputError)
    assert re.match(r"diverged in epoch 1 .*no longer finite", str(lost))
    losses = [run.final["test_loss"] for run in (kept, train(tame))]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)  # as above
    assert len(kept.rows) == 3


def test_memory_bounds_the_models_at_once(digits, monkeypatch):
    whole = model_bytes(BASE, digits)
    with pytest.raises(InputError, match=r"`max_memory`: 1,000 bytes .* one model take"):
        make_group(BASE, digits, "cpu", models=8, memory=1000)
    assert make_group(BASE, digits, "cpu", models=8, memory=10**9).size == 1
    assert whole > 3 * 4 * (64 * 16 + 16 + 16 * 10 + 10)  # weights and two moments at least


def test_backends_without_groups_are_trained_one_by_one(alone, monkeypatch):
    monkeypatch.setattr(backends, "find_group", lambda _: None)
    for config, run in train_many(CONFIGS[:1]).items():
        assert run.rows == alone[config].rows


@pytest.fixture
def compiled():
    """Names of what JAX measures; COMPILED is a program compiled or fetched from the cache."""
    names = []
    listener = lambda name, *_, **__: names.append(name)  # noqa: E731
    jax.monitoring.register_event_duration_secs_listener(listener)
    yield names
    jax.monitoring.unregister_event_duration_listener(listener)


COMPILED = "/jax/core/compile/backend_compile_duration"


def test_a_workers_later_tasks_of_a_shape_compile_nothing_and_have_the_same_bits(
    alone, digits, compiled, monkeypatch
):
    """A worker's process is given task after task: each compiled its program anew."""
    monkeypatch.setattr(runner, "_program", {})
    counts = []
    for config in CONFIGS:
        before = compiled.count(COMPILED)
        task = SweepRequest((), device="cpu"), [open_run(config, None)]
        run = runner.train_task(digits, task)[config]
        counts.append(compiled.count(COMPILED) - before)
        assert (run.finished, run.seconds["compile"] > 0) == (True, len(counts) == 1)
        assert run.rows == alone[config].rows
        for (name, a), (_, b) in zip(tensors(run), tensors(alone[config]), strict=True):
            assert np.array_equal(a, b), name
    assert counts[0] > 0
    assert not any(counts[1:])


def test_a_group_is_found_by_its_own_entry_point():
    assert backends.find_group("jax") is make_group
    assert backends.find_group("torch") is None


def installed(folder, monkeypatch, module, entries):
    """Somebody's package: a module and its entry points."""
    (folder / "theirs.py").write_text(module)
    info = folder / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entries)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "theirs", raising=False)


THEIRS = "def make(*_): ...\ndef make_group(*_): ...\n"
BACKEND = "[mnist_fn.backends]\ntheirs = theirs:make\n"


def test_a_third_party_group_is_found(tmp_path, monkeypatch):
    groups = "[mnist_fn.groups]\ntheirs = theirs:make_group\n"
    installed(tmp_path, monkeypatch, THEIRS, BACKEND)
    assert backends.find_group("theirs") is None
    (tmp_path / "more").mkdir()
    installed(tmp_path / "more", monkeypatch, THEIRS, BACKEND + groups)
    assert backends.find_group("theirs").__module__ == "theirs"


def test_a_shape_compiles_once(digits):
    events = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, *_, **__: events.append(event) if "backend_compile" in event else None
    )
    group = make_group(BASE, digits, "cpu", models=8)
    train_through(group, digits, CONFIGS[:1])
    events.clear()
    train_through(group, digits, CONFIGS[3:])
    assert events == []
    assert load("digits").sha256 == digits.sha256


def test_jax_has_groups_and_they_are_used(monkeypatch):
    made = []
    monkeypatch.setattr(
        "mnist_fn.capacity.OneAtATime", lambda *args: made.append(args) or OneAtATime(*args)
    )
    train_many(CONFIGS[:2])
    assert len(made) == 1


SWEEP = (
    *["sweep", "--dataset", "digits", "--hidden", "16", "--l2", "0,1e-3,1e-2", "--seeds", "3"],
    *["--learning-rate", "5e-3", "--epochs", "2", "--json"],
)


@pytest.mark.long
def test_over_eight_devices_the_runs_are_those_of_one(command, tmp_path):
    """Nine models: eight, then one and its padding. Tolerance as above, after 16 steps."""
    flags = "--xla_force_host_platform_device_count=8"
    eight = command(*SWEEP, "--out", "eight", env={"XLA_FLAGS": flags})
    one = command(*SWEEP, "--out", "one")
    assert (eight.returncode, one.returncode) == (0, 0), eight.stderr + one.stderr
    document = json.loads(eight.stdout)
    assert len(document["runs"]) == 9
    for path in document["runs"]:
        run, other = load_run(tmp_path / path), load_run(tmp_path / "one" / Path(path).name)
        assert (run.device, other.device) == ("cpu x 8", "cpu")
        for (name, a), (_, b) in zip(tensors(run), tensors(other), strict=True):
            assert np.abs(a - b).max() <= 1e-5 * np.abs(b).max(), name


def test_the_commands_document_and_table(command, tmp_path):
    done = command(*SWEEP)
    document = json.loads(done.stdout)
    runs = [load_run(tmp_path / path) for path in document["runs"]]
    by_l2 = {l2: [r.final["test_accuracy"] for r in runs if r.config.l2 == l2]
             for l2 in (0, 1e-3, 1e-2)}  # fmt: skip
    for condition in document["conditions"]:
        accuracy = by_l2[condition["l2"]]
        assert condition["seeds"] == 3
        assert condition["test_accuracy"]["mean"] == pytest.approx(np.mean(accuracy))
        assert condition["test_accuracy"]["sd"] == pytest.approx(np.std(accuracy, ddof=1))
        assert f"{100 * np.mean(accuracy):.2f} ± " in done.stderr
    best = document["best"]
    means = [condition["test_accuracy"]["mean"] for condition in document["conditions"]]
    assert best["mean"] == max(means)
    assert document["best_by_model_and_learning_rate"] == [best]
    others = [*best["worse"], *best["undecided"]]
    assert {best["l2"], *(other["l2"] for other in others)} == set(by_l2)
    assert (tmp_path / document["figure"]).read_bytes().startswith(b"\x89PNG")
    again = command(*SWEEP)
    assert "were finished before" in again.stderr
    assert json.loads(again.stdout) == document


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--l2", "0,x"], "--l2 '0,x': must be numbers"),
        (["--seeds", "0"], "--seeds 0"),
        (["--max-memory", "5Q"], "must be a size"),
        (["--max-memory", "1K"], "one model take"),
        (["--model", "shallow", "--hidden", "8"], "give one of them"),
        (["--metric", "luck"], "must be one of test_accuracy"),
        (["--metric", "validation_loss"], "there is no validation split"),
        (["--figure", "x.xyz"], "must be .png"),
        (["--precision", "tf32"], "--precision tf32: cpu has none"),
        (
            ["--learning-rate", "1e6", "--hidden", "9,9,9,9,9,9,9,9"],
            "none of 1 runs came to its end",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_2(in_process, tmp_path, arguments, said):
    done = in_process("sweep", "--dataset", "digits", "--epochs", "1", *arguments)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("runs/*/evaluation.json"))


@pytest.mark.parametrize(
    ("stats", "free"),
    [({"bytes_limit": 1000, "bytes_in_use": 600}, 400), ({"bytes_limit": 1000}, 1000),
     (None, 2**33)],
)  # fmt: skip
def test_a_sweep_takes_of_what_is_free_not_of_what_others_hold(stats, free):
    class Device:
        def memory_stats(self):
            return stats

    assert free_bytes(Device()) == int(MEMORY_SHARE * free)
