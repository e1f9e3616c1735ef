"""Bad input leaves nothing behind; a run's files belong together."""

import json
import shutil
from pathlib import Path

import pytest

from mnist_fn import Config, InputError, load_run, train
from mnist_fn.shared.runs import trainer
from mnist_fn.shared.runs.folder import RunFolder
from mnist_fn.shared.storage import locked
from tests.support.hostile_files import forged_checkpoint
from tests.support.tiny_backend import TINY, Tiny


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setattr(trainer.backends, "find", lambda name: type(name, (Tiny,), {"name": name}))


def everything(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


@pytest.mark.parametrize("there", [False, True])
def test_training_without_data_leaves_nothing_behind(tmp_path, there):
    out = tmp_path / "runs" / "mine"
    if there:
        out.mkdir(parents=True)
        (out / "notes.txt").write_text("mine")
    before = everything(tmp_path)
    with pytest.raises(InputError, match="not found"):
        train(Config(), "tiny", data_dir=tmp_path / "nowhere", out=out)
    assert everything(tmp_path) == before


def test_the_command_leaves_nothing_behind_either(in_process, tmp_path):
    for words in (["train"], ["sweep", "--seeds", "2"]):
        done = in_process(*words, "--data-dir", "nowhere")
        assert done.returncode == 2, done.stderr
        assert everything(tmp_path) == []


def test_a_lock_that_was_taken_away_meanwhile_is_no_lock(tmp_path):
    folder = tmp_path / "new"
    with locked(folder):
        with pytest.raises(InputError, match="in use"), locked(folder):
            pass
        assert (folder / ".lock").exists()  # the one that failed took nothing away
        (folder / "kept").write_text("")
    assert [file.name for file in everything(folder)] == [".lock", "kept"]


def finished(folder: Path, backend: str, **changes) -> Path:
    path = train(TINY.replace(**changes), backend, out=folder).path
    assert path is not None
    return path


def test_a_run_json_of_another_backend_is_noticed(tmp_path):
    jax, torch = finished(tmp_path / "a", "jax"), finished(tmp_path / "b", "torch")
    shutil.copy(torch / "run.json", jax / "run.json")
    with pytest.raises(InputError, match=r"jax did epoch 4, run\.json says torch"):
        load_run(jax)


def test_a_run_json_of_another_run_is_noticed(tmp_path):
    one, other = finished(tmp_path / "a", "jax"), finished(tmp_path / "b", "jax", seed=1)
    shutil.copy(other / "run.json", one / "run.json")
    with pytest.raises(InputError, match=r"belongs to another run than its run\.json"):
        load_run(one)


def test_a_run_that_changed_backends_is_what_its_legs_say(tmp_path):
    path = finished(tmp_path / "a", "jax")
    for backend, epochs in (("torch", 6), ("jax", 7)):
        trainer.resume(path, backend=backend, epochs=epochs)
        load_run(path)
    segments = RunFolder(path).read_header().segments
    assert [(segment["backend"], segment["first_epoch"]) for segment in segments] == [
        ("jax", 1), ("torch", 5), ("jax", 7)]  # fmt: skip


def test_a_kill_between_the_other_backends_header_and_its_checkpoint(tmp_path, monkeypatch):
    path = finished(tmp_path / "a", "jax")
    monkeypatch.setattr(RunFolder, "write", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        trainer.resume(path, backend="torch", epochs=6)
    monkeypatch.undo()
    monkeypatch.setattr(trainer.backends, "find", lambda name: type(name, (Tiny,), {"name": name}))
    assert len(trainer.resume(path).rows) == 6


def test_a_checkpoint_from_before_its_backend_was_recorded_opens(tmp_path):
    path = finished(tmp_path / "a", "jax")
    good = (path / "checkpoint.safetensors").read_bytes()
    old = forged_checkpoint(good, [(("backend",), None)], [], None, remove=True)
    assert b"backend" not in old
    (path / "checkpoint.safetensors").write_bytes(old)
    document = json.loads((path / "run.json").read_text())
    assert load_run(path).backend == document["backend"] == "jax"
