"""Finished runs are read once, file by file; a stop is asked between runs; stopped runs load."""

from collections import Counter

import pytest

import mnist_fn
from mnist_fn import Callbacks, Interrupted, load_run, resume, train
from mnist_fn.shared import backend as backends
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.runs import folder, metrics
from mnist_fn.shared.runs.folder import RunFolder
from mnist_fn.shared.runs.store import RunStore
from mnist_fn.shared.sweeps.request import SweepRequest, grid
from mnist_fn.shared.sweeps.runner import train_runs
from mnist_fn.shared.sweeps.sweep import compare
from tests.support.tiny_backend import TINY, Tiny


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(backends, "find", lambda _: Tiny)
    monkeypatch.setattr(backends, "find_group", lambda _: None)


@pytest.fixture
def reads(monkeypatch):
    """How often each file of a run is read, by path."""
    counts = Counter()

    def counted(module, name):
        read = getattr(module, name)

        def count(path, *arguments, **more):
            counts[path] += 1
            return read(path, *arguments, **more)

        monkeypatch.setattr(module, name, count)

    counted(folder, "read_sealed")
    counted(folder, "read_checkpoint")
    counted(metrics, "read_csv")
    return counts


def test_a_sweep_of_100_finished_runs_reads_each_file_once(tiny, reads, tmp_path):
    configs = tuple(grid(TINY.replace(epochs=1), seeds=10, l2=[i * 1e-5 for i in range(10)]))
    request = SweepRequest(configs, device="cpu", out=tmp_path)
    first = compare(request)
    reads.clear()
    again = compare(request)
    assert [run.rows for run in again._compared] == [run.rows for run in first._compared]
    assert [run.path for run in again._compared] == [run.path for run in first._compared]
    assert len(reads) == 4 * 100
    assert set(reads.values()) == {1}


def test_a_finished_quick_study_asked_for_again_reads_each_file_once(reads, tmp_path):
    asked = {"quick": True, "dataset": "digits", "only": ["l2", "templates"], "device": "cpu"}
    first = mnist_fn.study(**asked, out=tmp_path, progress=False)
    runs = len(list(tmp_path.glob("*/run.json")))
    reads.clear()
    again = mnist_fn.study(**asked, out=tmp_path, progress=False)
    assert again.document["numbers"] == first.document["numbers"]
    headers = [count for path, count in reads.items() if path.name == "run.json"]
    assert headers == [1] * runs
    assert set(reads.values()) == {1}


def test_the_last_epoch_is_evaluated_once(tiny, monkeypatch, tmp_path):
    counts = Counter()
    logits = Tiny.logits

    def count(self, state, images):
        counts[len(images)] += 1
        return logits(self, state, images)

    monkeypatch.setattr(Tiny, "logits", count)
    train(TINY, "tiny", out=tmp_path / "r", progress=False)
    assert counts == {360: TINY.epochs}


def test_states_are_copied_only_to_be_saved(tiny, monkeypatch, tmp_path):
    dumps = []
    dump = Tiny.dump
    monkeypatch.setattr(Tiny, "dump", lambda self, state: dumps.append(1) or dump(self, state))
    train(TINY, "tiny", out=tmp_path / "r", progress=False)
    assert len(dumps) == 1


def stop_after(epochs):
    rows = []
    return Callbacks(on_epoch=rows.append, should_stop=lambda: len(rows) >= epochs)


def test_a_run_stopped_early_can_be_had_and_goes_on(tiny, tmp_path):
    stopped = train(TINY, "tiny", out=tmp_path / "r", callbacks=stop_after(2))
    assert (stopped.stopped, stopped.finished, stopped.loaded) == (True, False, False)
    loaded = load_run(tmp_path / "r")
    assert (loaded.stopped, loaded.finished, loaded.loaded) == (False, False, True)
    assert loaded.rows == stopped.rows
    assert loaded.history["epoch"].tolist() == [1, 2]
    assert loaded.evaluation.accuracy == loaded.final["test_accuracy"]
    assert loaded.weights["layer1"]["kernel"].shape == (64, 10)
    assert "not finished: 2 of 4 epochs" in loaded._repr_html_()
    whole = train(TINY, "tiny", progress=False)
    assert train(TINY, "tiny", out=tmp_path / "r", progress=False).rows == whole.rows


def test_a_run_stopped_before_its_first_epoch_has_nothing_to_load(tiny, tmp_path):
    stopped = train(TINY, "tiny", out=tmp_path / "r", callbacks=stop_after(0))
    assert (stopped.stopped, stopped.rows, stopped.history) == (True, [], {})
    with pytest.raises(InputError, match="no epoch is saved yet; go on with"):
        load_run(tmp_path / "r")


def test_a_run_killed_before_its_evaluation_was_saved_loads_without_one(tiny, tmp_path):
    train(TINY, "tiny", out=tmp_path / "r", callbacks=stop_after(2))
    (tmp_path / "r" / "evaluation.json").unlink()
    loaded = load_run(tmp_path / "r")
    assert len(loaded.rows) == 2
    assert loaded.confusion_matrix.sum() == 0


@pytest.mark.parametrize("text", ["{}", None])
def test_a_training_that_goes_on_needs_no_evaluation(tiny, tmp_path, text):
    """A damaged one ended a whole sweep, though the training would have written it anew."""
    whole = train(TINY, "tiny", out=tmp_path / "whole", progress=False)
    again = tmp_path / folder.slug(TINY, "tiny")
    train(TINY, "tiny", out=tmp_path / "stopped", callbacks=stop_after(2))
    train(TINY, "tiny", out=again, callbacks=stop_after(2))
    train(TINY.replace(epochs=2), "tiny", out=tmp_path / "short", progress=False)
    for path in (tmp_path / "stopped", again, tmp_path / "short"):
        (path / "evaluation.json").unlink()
        if text is not None:
            (path / "evaluation.json").write_text(text)
    with pytest.raises(InputError, match=r"evaluation\.json"):
        resume(tmp_path / "short", progress=False)  # finished: nothing makes another
    resume(tmp_path / "stopped", progress=False)
    resume(tmp_path / "short", epochs=TINY.epochs, progress=False)
    request = SweepRequest((TINY,), "tiny", device="cpu", out=tmp_path)
    ((_, _, run),) = train_runs([request], Callbacks())
    assert run.rows == whole.rows
    evaluation = (whole.path / "evaluation.json").read_bytes()
    for path in (tmp_path / "stopped", again, tmp_path / "short"):
        assert (path / "evaluation.json").read_bytes() == evaluation


def test_a_stop_is_asked_between_two_runs_and_says_how_many_are_done(tiny, monkeypatch, tmp_path):
    """Before the next run is set up: it took 17 s to compile, and said "epoch 0 of 1"."""
    made = []

    class Counted(Tiny):
        def __init__(self, *arguments):
            made.append(1)
            super().__init__(*arguments)

    monkeypatch.setattr(backends, "find", lambda _: Counted)
    configs = tuple(TINY.replace(seed=seed) for seed in range(3))
    request = SweepRequest(configs, device="cpu", out=tmp_path / "r")
    with pytest.raises(Interrupted, match=r"^stopped with 1 of 3 runs done; the same"):
        compare(request, stop_after(TINY.epochs))
    assert made == [1]
    with pytest.raises(Interrupted, match=r"^stopped with 1 of 3 runs done; the same"):
        compare(request, stop_after(0))
    assert made == [1]


def test_a_store_passes_over_what_is_damaged_until_it_is_asked_for(tiny, tmp_path):
    good = train(TINY, "tiny", out=tmp_path / "good", progress=False).path
    train(TINY, "tiny", out=tmp_path / "bad", progress=False)
    (tmp_path / "bad" / "run.json").write_text("{}")
    (tmp_path / "notes").mkdir()
    store = RunStore(tmp_path)
    assert [path for path, _ in store] == [good]
    assert store.paths == [good, tmp_path / "bad"]
    assert store.header_at(tmp_path / "notes") is None
    with pytest.raises(InputError, match="damaged"):
        store.load(tmp_path / "bad")
    with pytest.raises(InputError, match="no such folder"):
        RunStore(tmp_path / "none", must_exist=True)


def test_a_finished_run_on_a_read_only_disk_is_read(tiny, monkeypatch, tmp_path):
    """It asked for a lock, which is a file."""
    path = train(TINY, "tiny", out=tmp_path / "r", progress=False).path
    monkeypatch.setattr("mnist_fn.shared.runs.trainer.locked", lambda _: pytest.fail("it locks"))
    assert train(TINY, "tiny", out=path, progress=False).loaded


@pytest.mark.parametrize("field", ["file", "sha256", "pixels"])
def test_a_header_short_of_a_key_is_damaged(tiny, tmp_path, field):
    run = RunFolder(train(TINY, "tiny", out=tmp_path / "r", progress=False).path)
    header = run.read_header()
    imported = {"file": "a.pt", "sha256": "0", "pixels": "0-1"}
    header.imported.update(imported)
    run.write_header(header)
    assert run.read_header().imported == imported
    del header.imported[field]
    run.write_header(header)
    with pytest.raises(InputError, match="damaged"):
        run.read_header()
