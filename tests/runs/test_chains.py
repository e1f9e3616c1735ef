"""A shorter run is the beginning of a longer one: each epoch is trained once, whatever happens."""

from pathlib import Path

import pytest

from mnist_fn import Callbacks, InputError, Interrupted, resume, train
from mnist_fn.shared import backend as backends
from mnist_fn.shared.runs import folder
from mnist_fn.shared.runs.callbacks import Notice
from mnist_fn.shared.runs.folder import RunFolder, slug
from mnist_fn.shared.runs.store import RunStore
from mnist_fn.shared.sweeps.request import SweepRequest
from mnist_fn.shared.sweeps.runner import train_runs
from tests.support.tiny_backend import TINY, Tiny

RESULTS = ("metrics.csv", "checkpoint.safetensors", "evaluation.json")


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(backends, "find", lambda _: Tiny)
    monkeypatch.setattr(backends, "find_group", lambda _: None)


NEEDS = {TINY.replace(epochs=e, seed=s): e == 2 for e in (5, 2, 3) for s in (0, 1)}


def run_chain(out: Path, should_stop=lambda _: False, needs=NEEDS):
    """Train what is needed; the epochs that it took, and the configs that came out."""
    trained, came = [], []
    callbacks = Callbacks(on_epoch=trained.append, should_stop=lambda: should_stop(len(trained)))
    store = RunStore(out)
    configs = tuple(store.choose(needs, "jax"))
    request = SweepRequest(configs, device="cpu", out=out, extends=True)
    try:
        for _, config, run in train_runs([request], callbacks, store):
            assert not isinstance(run, InputError)
            came.append(config)
    except Interrupted:
        pass
    return len(trained), came


def contents(out: Path):
    return {(path.name, file): (path / file).read_bytes()
            for path in out.iterdir() for file in RESULTS}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The files of every run trained by itself, from its own start."""
    out = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backends, "find", lambda _: Tiny)
        for config in NEEDS:
            train(config, device="cpu", out=out / slug(config, "jax"))
    return contents(out)


def test_a_chain_trains_each_epoch_once_and_leaves_the_files_of_single_runs(tiny, whole, tmp_path):
    out = tmp_path / "chain"
    trained, came = run_chain(out)
    assert trained == 2 * 5  # 2, 3 and 5 epochs of two seeds
    assert set(came) == set(NEEDS)
    assert contents(out) == whole
    assert run_chain(out) == (0, came)


def test_a_run_that_was_taken_further_is_left_and_the_one_asked_for_lies_beside_it(
    tiny, whole, tmp_path
):
    """`train --resume RUN --epochs N` keeps the folder's name: a study stopped at it."""
    asked = TINY.replace(epochs=3, seed=0)
    folder = RunStore(tmp_path).folder_of(asked, "jax")
    train(asked, device="cpu", out=folder)
    resume(folder, epochs=7, device="cpu")
    further = (folder / "metrics.csv").read_bytes()
    assert run_chain(tmp_path)[0] > 0
    own = RunStore(tmp_path).folder_of(asked, "jax")
    assert own.name == f"{folder.name}-3-epochs"
    assert RunStore(tmp_path).note_of(asked, "jax") == (
        f"{folder}: holds this run taken further (7 epochs, tiny); the run asked for (3 epochs, "
        f"jax) is kept beside it, in {own}"
    )
    for file in RESULTS:
        assert (own / file).read_bytes() == whole[folder.name, file]
    assert (folder / "metrics.csv").read_bytes() == further
    assert run_chain(tmp_path)[0] == 0


def test_a_run_taken_further_and_the_one_trained_beside_it_are_said(tiny, tmp_path):
    """The original command trained anew, into another folder, without a word."""
    asked = TINY.replace(epochs=3)
    folder, notes = tmp_path / slug(asked, "tiny"), []
    heard = Callbacks(
        on_event=lambda event: notes.append(event.text) if isinstance(event, Notice) else None
    )
    train(asked, "tiny", device="cpu", out=folder, callbacks=heard)
    assert not notes
    resume(folder, epochs=7, device="cpu", callbacks=heard)
    assert notes == [f"{folder}: keeps its name, and goes on to 7 epochs on tiny"]
    request = SweepRequest((asked,), "tiny", device="cpu", out=tmp_path)
    ((_, _, run),) = train_runs([request], heard)
    assert (run.path, len(run.rows)) == (tmp_path / f"{folder.name}-3-epochs", 3)
    assert notes[1:] == [RunStore(tmp_path).note_of(asked, "tiny")]
    ((_, _, run),) = train_runs([request], heard)
    assert (run.loaded, len(notes)) == (True, 2)


@pytest.mark.parametrize("after", [1, 2, 4, 6, 9])
def test_a_chain_stopped_anywhere_goes_on_where_it_was(tiny, whole, tmp_path, after):
    out = tmp_path / "chain"
    first, _ = run_chain(out, should_stop=lambda trained: trained >= after)
    second, _ = run_chain(out)
    assert (first, first + second) == (after, 10)
    assert contents(out) == whole


@pytest.mark.parametrize("name", ["write", "write_header"])
def test_a_kill_while_a_run_is_extended_trains_no_epoch_twice(
    tiny, whole, tmp_path, monkeypatch, name
):
    out, good = tmp_path / "chain", getattr(RunFolder, name)

    def killed(self, given):
        if (given.header if name == "write" else given).config.epochs == 3:
            raise KeyboardInterrupt
        good(self, given)

    monkeypatch.setattr(RunFolder, name, killed)
    with pytest.raises(KeyboardInterrupt):
        run_chain(out)
    monkeypatch.setattr(RunFolder, name, good)
    assert run_chain(out)[0] == 2 * 3  # from the two that were there, of 2 epochs
    assert contents(out) == whole


def test_a_kill_before_an_extended_runs_checkpoint_leaves_no_folder(
    tiny, whole, tmp_path, monkeypatch
):
    """Its run.json alone resumed from random weights, with the shorter run's seconds."""
    out, good = tmp_path / "chain", folder.write_checkpoint

    def killed(path, checkpoint):
        if "epochs=3" in str(path):
            raise KeyboardInterrupt
        good(path, checkpoint)

    monkeypatch.setattr(folder, "write_checkpoint", killed)
    with pytest.raises(KeyboardInterrupt):
        run_chain(out)
    monkeypatch.setattr(folder, "write_checkpoint", good)
    assert {header.config.epochs for _, header in RunStore(out)} == {2}
    assert run_chain(out)[0] == 2 * 3
    assert contents(out) == whole


def test_a_run_is_extended_without_its_evaluation(tiny, tmp_path):
    short = TINY.replace(epochs=2)
    path = train(short, device="cpu", out=tmp_path / slug(short, "jax")).path
    (path / "evaluation.json").unlink()
    assert run_chain(tmp_path, needs={TINY: True}) == (2, [TINY])


def test_a_longer_run_that_is_there_answers_for_curves_but_not_for_an_end(tiny, tmp_path):
    out = tmp_path / "runs"
    long = TINY.replace(epochs=5)
    train(long, device="cpu", out=out / slug(long, "jax"))
    trained, came = run_chain(out, needs={TINY.replace(epochs=3): False})
    assert (trained, came) == (0, [long])
    trained, came = run_chain(out, needs={TINY.replace(epochs=3): True})
    assert (trained, came) == (3, [TINY.replace(epochs=3)])


def test_a_damaged_shorter_run_is_said_and_not_built_upon(tiny, tmp_path):
    out, short = tmp_path, TINY.replace(epochs=2)
    train(short, device="cpu", out=out / slug(short, "jax"))
    (out / slug(short, "jax") / "metrics.csv").write_text("epoch\n")
    with pytest.raises(InputError, match=r"metrics\.csv: damaged"):
        run_chain(out, needs={TINY: True})
    assert not RunFolder(out / slug(TINY, "jax")).exists()
