"""`mnist-fn study` and `mnist-fn figures`, as a user runs them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from rich.console import Console

from cli.commands import study as cli_study
from cli.main import main
from mnist_fn.shared.data.datasets import scale_pixels
from mnist_fn.shared.evaluation import cross_entropy, forward
from mnist_fn.shared.runs.trainer import load_run
from mnist_fn.shared.study import experiments
from mnist_fn.shared.study.running import Study

QUICK = ("study", "--quick", "--dataset", "digits", "--only", "chosen,l2", "--json")


def run(folder: Path, *arguments: str):
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments], capture_output=True, text=True,
        cwd=folder, env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}, timeout=300,
    )  # fmt: skip


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """A quick study of two experiments, and its folder."""
    folder = tmp_path_factory.mktemp("quick")
    done = run(folder, *QUICK)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_a_quick_study_is_loudly_no_study(quick):
    folder, done = quick
    document = json.loads(done.stdout)
    assert document["is_full_study"] is False
    assert "NOT THE STUDY" in document["warning"]
    assert "NOT THE STUDY" in done.stderr
    assert "swap" not in done.stderr  # one seed has none
    assert (folder / "runs-quick" / "study.md").read_text().count("NOT THE STUDY") == 2
    assert not (folder / "runs").exists()
    assert {one["experiment"] for one in document["numbers"]} == {"chosen", "l2"}
    assert {one["ours"]["jax"]["verdict"] for one in document["numbers"]} == {"not decided"}


def test_its_numbers_are_those_of_its_runs(quick):
    folder, done = quick
    document = json.loads(done.stdout)
    chosen = load_run(folder / "runs-quick" / "digits-shallow-epochs=1-seed=0-jax")
    by_what = {one["what"]: one["ours"]["jax"]["mean"] for one in document["numbers"]}
    assert by_what["test accuracy"] == chosen.evaluation.accuracy
    assert f"{chosen.evaluation.accuracy:.2%}".replace("%", " %") in done.stderr
    longer = load_run(folder / "runs-quick" / "digits-shallow-epochs=2-seed=0-jax")
    assert longer.rows[:1] == chosen.rows
    assert by_what["λ = 0: minimum test loss"] == longer.best["test_loss"]["value"]


def test_the_forward_pass_in_numpy_is_the_backends(quick, digits):
    trained = load_run(quick[0] / "runs-quick" / "digits-shallow-epochs=2-seed=0-jax")
    logits = forward(trained.weights, scale_pixels(digits.test.images, "float64"))
    assert np.array_equal(logits.argmax(axis=1), trained.evaluation.predictions)
    # the run's own, in float32: measured 2e-8 apart at most, a rounding of the loss is 1e-7
    loss = cross_entropy(logits, digits.test.labels)
    assert loss == pytest.approx(trained.evaluation.loss, rel=1e-6)


def test_a_second_call_only_reports(quick):
    folder, done = quick
    before = {p: p.stat().st_mtime_ns for p in (folder / "runs-quick").glob("*/metrics.csv")}
    again = run(folder, *QUICK)
    assert json.loads(again.stdout) == json.loads(done.stdout)
    assert before == {
        p: p.stat().st_mtime_ns for p in (folder / "runs-quick").glob("*/metrics.csv")
    }


@pytest.mark.parametrize(("terminal", "columns"), [(True, 80), (True, 130), (False, 80)])
def test_its_tables_fit_the_terminal_and_a_log_has_them_whole(quick, capsys, terminal, columns):
    found = Study(json.loads(quick[1].stdout), Path("runs-quick"))
    to = Console(force_terminal=terminal, width=columns, color_system=None, highlight=False)
    cli_study._show(found, to)
    tables, _, _ = capsys.readouterr().out.partition("A published number")
    lines = [line.rstrip() for line in tables.splitlines()]
    assert "λ = 3×10⁻⁵: maximum test accuracy" in tables
    assert ("would pass" in tables) == (columns > 80 or not terminal)
    assert (max(map(len, lines)) <= columns) == terminal
    assert [line for line in lines if line.endswith(", jax")] == ["chosen, jax", "l2, jax"]


def test_a_quick_study_is_one_screen_of_a_terminal(quick, capsys, monkeypatch):
    """A study of all experiments has 5 rows and a small table more than this one."""
    monkeypatch.chdir(quick[0])
    screen = Console(force_terminal=True, width=80, color_system=None, highlight=False)
    monkeypatch.setattr("cli.console.answer", lambda _: screen)
    arguments = {"only": "chosen,l2", "dataset": "digits", "quick": True, "json": False}
    cli_study.command(backend="jax", seed=0, device="cpu", **arguments)
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert len(lines) <= 12
    assert [line.split()[0] for line in lines[:3]] == ["experiment", "chosen", "l2"]
    assert max(map(len, lines[:3])) <= 80
    assert "NOT THE STUDY" in text
    assert f"report: {Path('runs-quick') / 'study.md'}" in text


@pytest.mark.long
def test_figures_are_drawn_from_it_and_missing_ones_named(quick):
    folder, _ = quick
    quick_digits = ("figures", "--quick", "--dataset", "digits")
    done = run(folder, *quick_digits, "--format", "svg")
    assert done.returncode == 0, done.stderr
    drawn = {path.name for path in (folder / "figures-out").iterdir()}
    figures = ("confusion", "curves", "l2", "per-class", "worst-mistakes")
    assert drawn == {f"{name}.svg" for name in figures}
    left_out = "widths, depths, templates, optimism, horizon"
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"left out, for want of their runs: {left_out}; --only NAME says")
    assert len(done.stdout.splitlines()) == len(drawn)
    missing = run(folder, *quick_digits, "--only", "templates")
    assert missing.returncode == 2
    assert missing.stderr.count("\n") == 1
    assert "--only templates" in missing.stderr


def test_the_list_says_what_each_needs(command):
    done = command("figures", "--list")
    assert done.returncode == 0
    said = " ".join(done.stdout.split())
    for name in ("widths", "worst-mistakes"):
        assert name in said
    assert "--only per-class" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["study", "--only", "l3"], "--only 'l3': must be one of width-depth"),
        (["study", "--seeds", "0"], "--seeds 0"),
        (["study", "--quick", "--seeds", "3"], "--quick has one seed"),
        (["study", "--quick", "--strict"], "--quick has one seed"),
        (["study", "--backend", "tensorflow"], "must be one of jax"),
        (["study", "--quick", "--dataset", "nothing"], "--dataset 'nothing'"),
        (["figures", "nowhere"], "nowhere: no such folder"),
        (["figures", "--only", "pie"], "--only 'pie': must be one of widths"),
        (["figures", "--format", "gif"], "must be one of png, svg, pdf"),
        (["figures", "--theme", "pink"], "must be one of light, dark"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["mnist-fn", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    done = capsys.readouterr()
    assert ended.value.code == 2, done.err
    assert said in done.err
    assert done.err.count("\n") == 1
    assert done.out == ""
    assert not list(tmp_path.iterdir())


def test_strict_exits_1_where_a_published_number_is_outside(tmp_path, monkeypatch, capsys):
    """MNIST's numbers on another dataset, after one epoch: outside, though called the study."""
    monkeypatch.setattr(experiments, "FULL", experiments.QUICK)
    arguments = {"seeds": 4, "only": "chosen", "dataset": "digits", "out": tmp_path, "seed": 0,
                 "backend": "jax", "device": "cpu", "quick": False, "json": False}  # fmt: skip
    cli_study.command(**arguments, strict=False)
    with pytest.raises(typer.Exit) as ended:
        cli_study.command(**arguments, strict=True)
    assert ended.value.exit_code == 1
    assert "outside" in capsys.readouterr().out
    assert "**outside**" in (tmp_path / "study.md").read_text()
