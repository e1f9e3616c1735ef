"""What a run says of itself: to a logger, and on a terminal before anything else."""

import io
import logging

import pytest
from rich.console import Console

from cli.console import _Screen
from mnist_fn import Config, sweep, train
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.runs.callbacks import Notice
from mnist_fn.shared.runs.progress import ProgressView

DIGITS = Config(dataset="digits", hidden=(8,), epochs=2)


def test_a_logger_hears_of_starts_epochs_and_ends(caplog, tmp_path):
    with caplog.at_level(logging.DEBUG, logger="mnist_fn"):
        run = train(DIGITS, out=tmp_path / "run", progress=False)
    lines = [record.getMessage() for record in caplog.records if record.name == "mnist_fn"]
    assert lines[0] == f"{run.path}: starts after epoch 0 of 2 on cpu"
    assert lines[1].startswith(f"{run.path}: epoch 1, test loss ")
    assert lines[-1] == (
        f"{run.path}: ends after epoch 2, test loss {run.final['test_loss']:.5f}, "
        f"test accuracy {run.final['test_accuracy']:.4f}"
    )
    levels = [record.levelname for record in caplog.records if record.name == "mnist_fn"]
    assert levels == ["INFO", "DEBUG", "DEBUG", "INFO"]


def test_a_sweeps_runs_are_logged_and_a_diverged_one_is_a_warning(caplog):
    with caplog.at_level(logging.INFO, logger="mnist_fn"):
        sweep(DIGITS, seeds=2, progress=False)
        with pytest.raises(InputError, match="diverged"):
            train(DIGITS.replace(learning_rate=1e6), progress=False)
    records = [record for record in caplog.records if record.name == "mnist_fn"]
    assert sum(": ends after epoch 2" in record.getMessage() for record in records) == 2
    (warning,) = (record for record in records if record.levelno == logging.WARNING)
    assert "diverged in epoch" in warning.getMessage()


def test_without_a_handler_nothing_is_printed(capfd):
    train(DIGITS, progress=False)
    assert capfd.readouterr().err == ""


def test_a_terminal_says_at_once_that_something_starts():
    shown = io.StringIO()
    with ProgressView(Console(file=shown, force_terminal=True, width=80)):
        pass
    assert "starting" in shown.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_a_long_note_is_broken_between_words_on_a_terminal(terminal):
    shown, path = io.StringIO(), "runs/" + "x" * 90
    console = _Screen(file=shown, force_terminal=terminal, width=80)
    text = f"{path}: its last state can't be read, so the run starts again from its first epoch"
    ProgressView(console).on_event(Notice(text))
    lines = shown.getvalue().splitlines()
    assert " ".join(lines) == f"note: {text}"
    assert len(lines) == (3 if terminal else 1)


def test_a_notebooks_progress_is_plain_text_in_any_surroundings(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" not in ProgressView(Console(file=io.StringIO()))._page()["text/plain"]


def test_a_sweep_says_which_figure_it_wrote(in_process, tmp_path):
    done = in_process("sweep", "--dataset", "digits", "--hidden", "8", "--epochs", "1")
    assert done.returncode == 0, done.stderr
    assert "figure: runs/sweep.png" in done.stdout.splitlines()
    assert (tmp_path / "runs" / "sweep.png").exists()
