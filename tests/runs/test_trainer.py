"""The epoch loop and the run on disk: resume, refuse, never half-written."""

import re

import numpy as np
import pytest

from mnist_fn import Callbacks, Config, InputError, load_run, resume, train
from mnist_fn.shared.runs import trainer
from mnist_fn.shared.runs.folder import RunFolder
from mnist_fn.shared.runs.trainer import evaluate_run
from mnist_fn.shared.state import named_tensors
from mnist_fn.shared.storage import locked

CONFIG = Config(dataset="digits", hidden=(16,), l2=1e-4, epochs=4, validation=100)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run."""
    return train(CONFIG, out=tmp_path_factory.mktemp("runs") / "whole")


def stop_after(epochs):
    seen = []
    return Callbacks(on_epoch=seen.append, should_stop=lambda: len(seen) >= epochs)


def assert_same_run(one, other):
    for kind in ("params", "mu", "nu"):
        for (name, a), (_, b) in zip(
            named_tensors(one.state.trees()[kind]),
            named_tensors(other.state.trees()[kind]),
            strict=True,
        ):
            assert np.array_equal(a, b), f"{kind}/{name}"
    assert one.rows == other.rows
    assert np.array_equal(one.confusion_matrix, other.confusion_matrix)


def test_a_run_in_memory_equals_one_on_disk(whole):
    assert_same_run(train(CONFIG), whole)


def test_files_are_the_same_bytes_twice(whole, tmp_path):
    again = train(CONFIG, out=tmp_path / "again")
    for name in ("metrics.csv", "checkpoint.safetensors", "evaluation.json"):
        assert (again.path / name).read_bytes() == (whole.path / name).read_bytes(), name


@pytest.mark.parametrize("after", [0, 1, 3])
def test_resume_equals_uninterrupted_bit_for_bit(whole, tmp_path, after):
    stopped = train(CONFIG, out=tmp_path / "r", callbacks=stop_after(after))
    assert (stopped.stopped, stopped.finished, len(stopped.rows)) == (True, False, after)
    resumed = resume(tmp_path / "r")
    assert_same_run(resumed, whole)
    for name in ("metrics.csv", "checkpoint.safetensors", "evaluation.json"):
        assert (tmp_path / "r" / name).read_bytes() == (whole.path / name).read_bytes(), name


def test_the_same_command_goes_on_with_an_unfinished_run(whole, tmp_path):
    train(CONFIG, out=tmp_path / "r", callbacks=stop_after(2))
    seen = []
    run = train(CONFIG, out=tmp_path / "r", callbacks=Callbacks(on_epoch=seen.append))
    assert [row["epoch"] for row in seen] == [3, 4]
    assert_same_run(run, whole)


def test_a_finished_run_goes_on_to_more_epochs(whole, tmp_path):
    train(CONFIG.replace(epochs=2), out=tmp_path / "r")
    longer = resume(tmp_path / "r", epochs=4)
    assert_same_run(longer, whole)
    assert longer.config.epochs == 4


def test_a_finished_run_is_returned_not_trained(whole, monkeypatch):
    monkeypatch.setattr(trainer, "load_for", lambda *_: pytest.fail("it loads data"))
    again = train(CONFIG, out=whole.path)
    assert again.loaded
    assert_same_run(again, whole)
    assert_same_run(load_run(whole.path), whole)


def test_force_trains_anew(whole, tmp_path):
    first = train(CONFIG, out=tmp_path / "r")
    (first.path / "keep.txt").write_text("mine")
    second = train(CONFIG.replace(seed=1), out=tmp_path / "r", force=True)
    assert not second.loaded
    assert second.rows != first.rows
    assert (first.path / "keep.txt").read_text() == "mine"


def test_a_folder_with_another_run_is_refused(whole):
    with pytest.raises(InputError, match=r"seed 0 there, 1 asked.*`force=True`"):
        train(CONFIG.replace(seed=1), out=whole.path)


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_of_runs_is_no_runs_own(whole, force):
    """A run in it would hide the others: who looks there would find one run."""
    before = sorted(whole.path.parent.iterdir())
    with pytest.raises(InputError, match=r": holds runs \(whole\); name a folder in it as `out`"):
        train(CONFIG, out=whole.path.parent, force=force)
    assert sorted(whole.path.parent.iterdir()) == before


def test_a_folder_that_holds_others_files_may_be_a_runs(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/run.json").write_text("{}")  # someone else's
    assert train(CONFIG.replace(epochs=1), out=tmp_path).path == tmp_path


def test_fewer_epochs_than_done_are_refused(whole):
    with pytest.raises(InputError, match="has 4 epochs already, not `epochs=2`"):
        resume(whole.path, epochs=2)


def test_two_at_once_are_refused(whole):
    with locked(whole.path):
        assert train(CONFIG, out=whole.path).loaded  # a finished run is read, nothing is written
        with pytest.raises(InputError, match="in use by another"):
            resume(whole.path, epochs=5)


def test_the_history_and_summary(whole):
    history = whole.history
    assert history["epoch"].tolist() == [1, 2, 3, 4]
    assert {"train_loss", "test_loss", "validation_loss", "test_accuracy_9"} < set(history)
    assert whole.best["test_loss"]["value"] == history["test_loss"].min()
    summary = whole.summary()
    assert summary["final"]["test_accuracy"] == whole.evaluation.accuracy
    assert set(summary["seconds"]) == {"compile", "train", "total"}
    assert whole.weights["layer1"]["kernel"].shape == (64, 16)


def test_evaluate_computes_what_the_run_recorded(whole):
    name, result, _ = evaluate_run(whole.path)
    assert name == "jax"
    assert result.loss == whole.evaluation.loss
    assert np.array_equal(result.predictions, whole.evaluation.predictions)


def test_a_learning_rate_that_explodes_stops_the_run(tmp_path):
    said = r"diverged in epoch 1 .*no longer finite, .*smaller `learning_rate`"
    with pytest.raises(InputError, match=said):
        train(CONFIG.replace(learning_rate=1e6, hidden=(16,) * 8), out=tmp_path / "r")
    directory = RunFolder(tmp_path / "r")
    assert directory.read_header().status == "diverged"
    with pytest.raises(InputError, match="r: diverged; train another with a smaller"):
        load_run(tmp_path / "r")


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_loss_that_explodes_without_becoming_nan_is_diverged(tmp_path, backend):
    """A loss of 3e13, and no NaN: logits of 2²³ and more are a nat apart in float32."""
    wild = CONFIG.replace(learning_rate=1e6)
    for precision in ("float32", "float64"):
        config, out = wild.replace(precision=precision), tmp_path / precision
        for _ in range(2):  # asked again it says the same
            with pytest.raises(InputError) as error:
                train(config, backend, out=out, progress=False)
            assert re.match(r"diverged in epoch 1 \(steps 1 to 7\): a loss of \d", str(error.value))
            assert "from 8.4e+06 on float32 rounds off a nat" in str(error.value)
            assert RunFolder(out).read_header().status == "diverged"
    steep = train(CONFIG.replace(learning_rate=100.0), backend, progress=False)  # bad, and no more
    assert 1e4 < steep.history["train_loss"].max() < 8.4e6


FILES = ["run.json", "metrics.csv", "checkpoint.safetensors", "evaluation.json"]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "swap", "remove"])
def test_a_damaged_file_is_refused_by_name(whole, tmp_path, file, damage):
    other = train(CONFIG.replace(seed=5), out=tmp_path / "other")
    run = train(CONFIG, out=tmp_path / "r")
    path, good = run.path / file, (run.path / file).read_bytes()
    if damage == "flip":
        middle = len(good) // 2
        path.write_bytes(good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :])
    elif damage == "truncate":
        path.write_bytes(good[: len(good) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "swap":
        path.write_bytes((other.path / file).read_bytes())
    else:
        path.unlink()
    with pytest.raises(InputError) as error:
        load_run(run.path)
    # a whole run.json of another run is good in itself: the next file is not its own
    blamed = "checkpoint.safetensors" if (file, damage) == ("run.json", "swap") else file
    said = "no run here" if (file, damage) == ("run.json", "remove") else blamed
    assert said in str(error.value)


def test_rows_past_the_checkpoint_are_dropped(whole, tmp_path):
    """As after a kill between the two writes."""
    train(CONFIG, out=tmp_path / "r", callbacks=stop_after(2))
    text = (whole.path / "metrics.csv").read_text().splitlines(keepends=True)
    (tmp_path / "r" / "metrics.csv").write_text("".join(text[:4]))
    assert_same_run(resume(tmp_path / "r"), whole)
