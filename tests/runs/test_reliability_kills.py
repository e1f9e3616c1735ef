"""kill -9, a failing disk and Ctrl-C: nothing is lost and nothing half-written."""

import errno
import itertools
import math
import os
import re
import shutil
import signal
import stat
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mnist_fn import Callbacks, Config, InputError, Interrupted, resume, train
from mnist_fn.shared import backend as backends
from mnist_fn.shared.runs import loop, trainer
from mnist_fn.shared.runs.checkpoint import weights_digest
from mnist_fn.shared.runs.folder import RunFolder
from mnist_fn.shared.streams import batch_order, initial_state
from tests.support import killing
from tests.support.killing import (
    CONFIG,
    RESULTS,
    campaign,
    differing,
    signal_in_phase,
    start,
)
from tests.support.losses import KILLS, LOST
from tests.support.tiny_backend import TINY, Tiny

BACKENDS = ("jax", "torch")


@pytest.mark.long
@pytest.mark.parametrize(("backend", "kills"), [("jax", 2), ("torch", 1)])
def test_killed_runs_resume_to_the_same_bytes(tmp_path, backend, kills):
    """The evidence run has 110 kills a backend."""
    counts = campaign(tmp_path, backend, kills, seed=4)
    assert counts["kills"] == kills
    assert counts["runs_finished_and_compared"] >= 1
    assert LOST["kills"](counts) == 0


def damage(run, how):
    """What a program with a mistake might leave of a run after a kill."""
    directory = RunFolder(run)
    left = directory.read(directory.read_header())
    if how == "torn":
        with directory.checkpoint_file.open("r+b") as file:
            file.truncate(100)
    elif how == "no run left":
        shutil.rmtree(run)
    elif how == "another weight":  # and every digest computed again: the metrics are the same
        left.weights["layer1"]["kernel"][3, 4] += 1e-7
        directory.write(left)
    elif how == "another moment":
        left.state.slots["nu"]["layer2"]["bias"][0] *= 1.5
        directory.write(left)


@pytest.mark.long
@pytest.mark.parametrize(
    ("how", "counted"),
    [("torn", {"epochs_lost": 2, "wrong_after_kill": 1}), ("no run left", {"epochs_lost": 2}),
     ("another weight", {"wrong_after_kill": 1}), ("another moment", {"wrong_after_kill": 1})],
)  # fmt: skip
def test_a_loss_is_counted(tmp_path, monkeypatch, how, counted):
    """A run of two processes that are killed after two epochs, the second with a loss."""
    train(CONFIG.replace(epochs=2), "jax", device="cpu", out=tmp_path / "two")
    train(CONFIG, "jax", device="cpu", out=tmp_path / "whole")
    begun = []

    def run_and_kill(_, *arguments, **__):
        run, killed = Path(arguments[-1]), len(begun) < 2
        begun.append(run)
        shutil.copytree(tmp_path / ("two" if killed else "whole"), run, dirs_exist_ok=True)
        if len(begun) == 2:
            damage(run, how)
        return SimpleNamespace(returncode=-signal.SIGKILL if killed else 0)

    monkeypatch.setattr(killing, "start", run_and_kill)
    monkeypatch.setattr(killing, "signal_in_phase", lambda *_: ("t", ""))
    monkeypatch.setattr(killing, "uninterrupted", lambda *_: tmp_path / "whole")
    counts = campaign(tmp_path / "c", "jax", 2, seed=0)
    assert {name: counts[name] for name in KILLS if counts[name]} == counted
    assert LOST["kills"](counts) == sum(counted.values())


def test_the_comparison_can_fail(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for name in RESULTS:
            (tmp_path / folder / name).write_bytes(b"the same")
    (tmp_path / "b" / "metrics.csv").write_bytes(b"the sane")
    assert differing(tmp_path / "a", tmp_path / "b") == ["metrics.csv"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_dumped_state_is_not_changed_by_the_next_epoch(digits, backend):
    """The trainer keeps the last good state while the next epoch runs."""
    config = Config(dataset="digits", hidden=(8,))
    computer = backends.find(backend)(config, digits, "cpu")
    order = batch_order(0, 1, len(digits.train))
    state, _ = computer.train_epoch(computer.load(initial_state(config, 64, 10)), order)
    dumped = computer.dump(state)
    before = [weights_digest(tree) for tree in dumped.trees().values()]
    state, _ = computer.train_epoch(state, order)
    after = [weights_digest(tree) for tree in dumped.trees().values()]
    assert after == before
    assert weights_digest(computer.dump(state).params) != before[0]


class Crash(BaseException):
    """What no code handles: as far as the files go, a kill."""


class Fault:
    """Fails at the n-th operation that changes the disk, and at every one after it.

    A flush that fails leaves half of its file, as a full disk or a lost machine would.
    """

    def __init__(self, monkeypatch, error: BaseException) -> None:
        self.error, self.left = error, -1
        fsync, replace, unlink = os.fsync, Path.replace, Path.unlink

        def failing_fsync(descriptor):
            if self.strikes() and stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.truncate(descriptor, os.fstat(descriptor).st_size // 2)
            self.check()
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", failing_fsync)
        monkeypatch.setattr(Path, "replace", lambda *a: (self.check(), replace(*a)))
        monkeypatch.setattr(Path, "unlink", lambda *a, **k: (self.check(), unlink(*a, **k)))

    def strikes(self) -> bool:
        return self.left == 0

    def check(self) -> None:
        if self.strikes():
            raise self.error
        self.left -= 1


FAULTS = [Crash(), OSError(errno.ENOSPC, "No space left on device"),
          OSError(errno.EROFS, "Read-only file system")]  # fmt: skip


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(trainer.backends, "find", lambda _: Tiny)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)  # after every epoch
    monkeypatch.setattr(loop, "SAVING_SHARE", math.inf)


def strike_everywhere(fault, tmp_path, prepare, act, check):
    """`act` in a fresh folder with the fault at each operation in turn, then `check`."""
    for n in itertools.count():
        folder = tmp_path / f"at{n}"
        prepare(folder)
        fault.left = n
        try:
            act(folder)
        except (Crash, InputError) as error:
            if isinstance(error, InputError):
                assert "can't be" in str(error)
            fault.left = -1
            check(folder)
        else:
            fault.left = -1
            assert n > 15, "so few operations: the fault does not see them"
            return n
    return None


@pytest.mark.long
@pytest.mark.parametrize("error", FAULTS, ids=["kill", "full", "read-only"])
def test_a_fault_at_any_write_leaves_a_run_that_resumes(tiny, monkeypatch, tmp_path, error):
    whole = train(TINY, "tiny", out=tmp_path / "whole").path

    def check(folder):
        train(TINY, "tiny", out=folder)
        assert differing(folder, whole) == []
        assert not list(folder.glob(".writing-*"))

    strike_everywhere(
        Fault(monkeypatch, error), tmp_path, lambda _: None,
        lambda folder: train(TINY, "tiny", out=folder), check,
    )  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("error", FAULTS, ids=["kill", "full", "read-only"])
def test_a_fault_while_a_finished_run_goes_on(tiny, monkeypatch, tmp_path, error):
    whole = train(TINY, "tiny", out=tmp_path / "whole").path
    short = train(TINY.replace(epochs=2), "tiny", out=tmp_path / "short").path

    def check(folder):
        RunFolder(folder).read(RunFolder(folder).read_header())
        resume(folder, epochs=4)
        assert differing(folder, whole) == []

    strike_everywhere(
        Fault(monkeypatch, error), tmp_path, lambda folder: shutil.copytree(short, folder),
        lambda folder: resume(folder, epochs=4), check,
    )  # fmt: skip


@pytest.mark.long
def test_a_kill_while_force_replaces_a_run(tiny, monkeypatch, tmp_path):
    old = train(TINY.replace(seed=1), "tiny", out=tmp_path / "old").path
    whole = train(TINY, "tiny", out=tmp_path / "whole").path

    def check(folder):
        header = RunFolder(folder).read_header()  # of the old run or of the new
        resume(folder)
        assert differing(folder, whole if header.config == TINY else old) == []

    strike_everywhere(
        Fault(monkeypatch, Crash()), tmp_path, lambda folder: shutil.copytree(old, folder),
        lambda folder: train(TINY, "tiny", out=folder, force=True), check,
    )  # fmt: skip


def test_force_keeps_the_old_run_until_the_new_one_can_begin(tiny, tmp_path):
    run = train(TINY, "tiny", out=tmp_path / "r").path
    before = {name: (run / name).read_bytes() for name in RESULTS}
    with pytest.raises(InputError, match="batch_size"):
        train(TINY.replace(batch_size=9999), "tiny", out=run, force=True)
    assert {name: (run / name).read_bytes() for name in RESULTS} == before
    assert train(TINY, "tiny", out=run).loaded


def test_results_without_a_header_are_not_taken_over(tiny, tmp_path):
    (tmp_path / "metrics.csv").write_text("somebody's own")
    with pytest.raises(InputError, match=r"metrics\.csv: there is no run\.json in its folder"):
        train(TINY, "tiny", out=tmp_path)
    assert (tmp_path / "metrics.csv").read_text() == "somebody's own"


LONG = ("train", "--dataset", "digits", "--hidden", "8", "--epochs", "100000", "--out", "r")
PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


def test_two_processes_and_one_folder(tmp_path, command):
    first = start("tests.support.marked", *LONG, cwd=tmp_path, **PIPES)
    while os.read(first.stdout.fileno(), 1) != b"t":
        pass
    second = command(*LONG)
    first.kill()
    first.communicate()
    assert (second.returncode, second.stderr.count("\n")) == (2, 1)
    assert "r: in use by another mnist-fn process" in second.stderr
    third = start(
        "tests.support.marked", *LONG, cwd=tmp_path, **PIPES
    )  # a dead process holds nothing
    signal_in_phase(third, signal.SIGINT, "t", 1, 0)
    assert third.returncode == 130


def test_kills_aim_before_every_file(tmp_path):
    """The metrics, the checkpoint, the evaluation and run.json, each a mark of its own."""
    arguments = ("train", "--dataset", "digits", "--hidden", "8", "--epochs", "1")
    process = start("tests.support.marked", *arguments, "--out", str(tmp_path / "r"), **PIPES)
    entered, said = signal_in_phase(process, signal.SIGKILL, "", 1, 0)
    assert process.returncode == 0, said
    assert re.search(r"[^w]w{4}$", entered)


def test_ctrl_c_where_a_moment_is_not_finite(tiny, monkeypatch, tmp_path):
    """No loss shows it; the save that Ctrl-C asks for does."""

    def train_epoch(self, state, order):
        state, trained = good(self, state, order)
        slots = {name: {"layer1": dict.fromkeys(tensors["layer1"], np.array(np.nan))}
                 for name, tensors in state.slots.items()}  # fmt: skip
        return replace(state, slots=slots), trained

    def should_stop():
        if epochs:
            raise Interrupted("stopped")
        return False

    good, epochs = Tiny.train_epoch, []
    monkeypatch.setattr(Tiny, "train_epoch", train_epoch)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 60.0)
    with pytest.raises(loop.Diverged, match="no longer finite"):
        train(
            TINY,
            "tiny",
            out=tmp_path / "r",
            callbacks=Callbacks(epochs.append, should_stop=should_stop),
        )
    assert RunFolder(tmp_path / "r").read_header().status == "diverged"


def test_ctrl_c_where_nothing_is_to_be_saved(tmp_path, tiny, monkeypatch):
    monkeypatch.setenv("MARKED_WAIT", "l")
    run = train(TINY, "tiny", out=tmp_path / "r").path
    process = start("tests.support.marked", "evaluate", str(run), "--backend", "jax", **PIPES)
    _, said = signal_in_phase(process, signal.SIGINT, "l", 1, 0)
    assert process.returncode == 130
    assert said.strip() in ("", "mnist-fn: interrupted")  # typer ends silently, older click not


@pytest.mark.parametrize(
    ("phase", "number", "code"), [("c", signal.SIGINT, 130), ("l", signal.SIGTERM, 143)]
)
def test_a_signal_before_the_first_epoch(tmp_path, phase, number, code):
    process = start("tests.support.marked", *LONG, cwd=tmp_path, **PIPES)
    _, said = signal_in_phase(process, number, phase, 1, 0)
    assert process.returncode == code, said
    assert re.search(r"stopped after epoch 0 .*mnist-fn train --resume r\n$", said)
    assert "Traceback" not in said
    directory = RunFolder(tmp_path / "r")
    assert directory.read(directory.read_header()).rows == []
