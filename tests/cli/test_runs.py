"""`mnist-fn runs`: what is in a folder."""

import json
import re

import pytest

from mnist_fn import Callbacks, Config, load_run, train
from mnist_fn.shared import backend as backends
from mnist_fn.shared.runs.folder import slug
from mnist_fn.shared.runs.store import RunStore, varying_fields
from tests.support.tiny_backend import TINY, Tiny


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two finished runs and one that was stopped."""
    monkeypatch.setattr(backends, "find", lambda _: Tiny)
    folder = tmp_path / "runs"
    for name, l2 in (("a", 0.0), ("b", 3e-5)):
        train(TINY.replace(l2=l2), backend="tiny", out=folder / name)
    rows = []
    stop = Callbacks(on_epoch=rows.append, should_stop=lambda: bool(rows))
    train(TINY.replace(seed=1), backend="tiny", out=folder / "c", callbacks=stop)
    return folder


def test_the_runs_of_a_folder(folder, in_process):
    (folder / "not-a-run").mkdir()
    done = in_process("runs", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    found = {one["run"]: one for one in document["runs"]}
    assert list(found) == ["runs/a", "runs/c", "runs/b"]
    assert [one["status"] for one in found.values()] == ["finished", "unfinished", "finished"]
    assert [one["epochs"] for one in found.values()] == [4, 1, 4]
    assert found["runs/b"]["config"]["l2"] == 3e-5
    assert 0 < found["runs/a"]["best"]["test_accuracy"]["value"] <= 1


def test_the_table_shows_what_differs_and_nothing_else(folder, in_process):
    done = in_process("runs", "runs", env={"COLUMNS": "60"})
    over, head, *rows = done.stdout.splitlines()
    columns = ["run", "l2", "seed", "epochs", "loss", "epoch", "accuracy", "epoch", "changed"]
    assert over.split() == ["best", "test", "at", "best", "test", "at"]
    best = load_run(folder / "a").best
    cells = rows[0].split()
    assert (cells[5], cells[7]) == tuple(str(best[name]["epoch"]) for name in best)
    assert head.split() == columns
    assert [row.split()[0] for row in rows] == ["a", "c", "b"]
    assert "1/4 unfinished" in rows[1]
    assert "4/4 " in rows[0]
    assert RunStore(folder / "a").summaries()[0]["run"] == str(folder / "a")
    assert varying_fields([Config(), Config(l2=1.0), Config(hidden=())]) == ["hidden", "l2"]


def test_runs_are_in_the_order_of_their_numbers(tmp_path, in_process, monkeypatch):
    """By name 1e-05 came after 0.0003, and seed 10 before seed 2."""
    monkeypatch.setattr(backends, "find", lambda _: Tiny)
    asked = [(0.0, 0), (1e-5, 0), (1e-5, 2), (1e-5, 10), (3e-4, 0)]
    for l2, seed in reversed(asked):
        config = TINY.replace(l2=l2, seed=seed, epochs=1)
        train(config, backend="tiny", out=tmp_path / "runs" / slug(config, "tiny"), progress=False)
    document = json.loads(in_process("runs", "--json").stdout)
    configs = [run["config"] for run in document["runs"]]
    assert [(config["l2"], config["seed"]) for config in configs] == asked


def test_the_first_command_again_says_that_the_run_was_taken_further(tmp_path, in_process):
    given = ("train", "--dataset", "digits", "--hidden", "8", "--device", "cpu", "--epochs", "1")
    assert in_process(*given).returncode == 0
    (folder,) = (tmp_path / "runs").iterdir()
    more = in_process("train", "--resume", f"runs/{folder.name}", "--epochs", "2")
    assert "keeps its name, and goes on to 2 epochs on jax" in more.stderr
    again = in_process(*given)
    assert again.returncode == 0
    assert f"note: runs/{folder.name}: holds this run taken further (2 epochs, jax)" in again.stderr
    assert f"run: runs/{folder.name}-1-epochs" in again.stdout


def test_two_backends_are_told_apart_and_a_name_is_no_markup(folder, in_process, monkeypatch):
    monkeypatch.setattr(Tiny, "name", "other")
    train(TINY, backend="other", out=folder / "[red]d")
    _, head, *rows = in_process("runs", "runs").stdout.splitlines()
    assert head.split()[:2] == ["run", "backend"]
    assert rows[0].split()[:2] == ["[red]d", "other"]
    assert rows[1].split()[:2] == ["a", "tiny"]


@pytest.mark.parametrize("name", ["mnist-deep-adamw-l2-3e-05-seed0-epochs200-jax", "x" * 90])
def test_a_run_is_a_line_at_80_columns_with_its_name_to_be_copied(folder, in_process, name):
    (folder / "a").rename(folder / name)
    assert name in in_process("runs", "runs", env={"COLUMNS": "80"}).stdout
    terminal = in_process("runs", "runs", env={"COLUMNS": "80", "FORCE_COLOR": "1"}).stdout
    over, head, *rows = re.sub(r"\x1b\[[\d;]*m", "", terminal).splitlines()
    assert len(rows) == 3
    assert "…" not in terminal
    (row,) = (row for row in rows if row.startswith(name))
    assert re.search(r"4/4 .*\d\.\d\d%", row)
    if len(name) < 60:
        assert max(map(len, (over, head, *rows))) <= 80
    assert any("unfinished" in row for row in rows)


def test_nothing_there_is_one_line(tmp_path, in_process):
    (tmp_path / "empty").mkdir()
    for folder, said in (("empty", "no runs in it"), ("nowhere", "no such folder")):
        done = in_process("runs", folder)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
