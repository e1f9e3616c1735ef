"""kill -9 at random moments, resume, compare: for the tests and for the evidence run."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from mnist_fn.shared.runs import metrics
from mnist_fn.shared.runs.records import RunDirectory
from tests.support.marked import PHASES

ROOT = Path(__file__).parents[2]
EPOCHS = 12
TRAIN = ("train", "--dataset", "digits", "--hidden", "64", "--epochs", str(EPOCHS),
         "--validation", "100", "--l2", "1e-4")  # fmt: skip
RESULTS = ("metrics.csv", "checkpoint.safetensors", "evaluation.json")
# The longest wait after a phase began: about as long as the phase takes.
SECONDS = {"l": 0.2, "c": 0.6, "t": 0.004, "w": 0.006, "e": 0.004}


def environment(**more: str) -> dict[str, str]:
    """This process's, with the checkout importable from any folder."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu", **more}


def start(module: str, *arguments: str, **more: Any) -> subprocess.Popen:
    """A module as a process."""
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.Popen(command, env=environment(), **more)


def signal_in_phase(
    process: subprocess.Popen, number: int, aim: str, times: int, wait: float
) -> tuple[str, str]:
    """Signal a `tests.support.marked` process `wait` seconds after it enters the phase `aim` for
    the `times`-th time; returns the letters of all phases it entered, and its stderr."""
    entered = ""
    assert process.stdout is not None
    while letter := os.read(process.stdout.fileno(), 1).decode():
        entered += letter
        if letter == aim and entered.count(aim) == times:
            time.sleep(wait)
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
    _, said = process.communicate(timeout=60)
    return entered, (said or b"").decode()


def uninterrupted(folder: Path, backend: str) -> Path:
    """The run that all others must equal."""
    done = start("cli.main", *TRAIN, "--backend", backend, "--out", str(folder),
                 stderr=subprocess.PIPE, text=True)  # fmt: skip
    _, said = done.communicate(timeout=300)
    assert done.returncode == 0, said
    return folder


def differing(run: Path, whole: Path) -> list[str]:
    """The names of the result files that are not the same bytes."""
    return [n for n in RESULTS if (run / n).read_bytes() != (whole / n).read_bytes()]


def epochs_saved(run: Path, whole: Path) -> int:
    """How many epochs a killed run has kept; fails unless it is valid and they are the whole's."""
    directory = RunDirectory(run)
    if not directory.exists():
        return 0
    _, rows = directory.read_progress(directory.read_header())
    assert rows == metrics.read_csv(whole / "metrics.csv", len(rows))
    return len(rows)


def campaign(folder: Path, backend: str, kills: int, seed: int) -> dict:
    """Kill and resume until there were `kills` kills and the last run is finished.

    Each finished run's files are compared with the uninterrupted run's; then a new one begins.
    Returns the counts; raises AssertionError at the first thing lost.
    """
    whole = uninterrupted(folder / "whole", backend)
    rng = np.random.default_rng(seed)
    phases: Counter[str] = Counter()
    finished, run = 0, folder / "run0"
    while True:
        aim = rng.choice(list(PHASES))
        times = 1 if aim in "lc" else int(rng.integers(1, EPOCHS // 2))
        armed = sum(phases.values()) < kills
        before = epochs_saved(run, whole)
        process = start("tests.support.marked", *TRAIN, "--backend", backend, "--out", str(run),
                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # fmt: skip
        entered, _ = signal_in_phase(
            process, signal.SIGKILL, aim if armed else "", times, rng.uniform(0, SECONDS[aim])
        )
        if process.returncode == -signal.SIGKILL:
            phases[PHASES[entered[-1]]] += 1
            assert epochs_saved(run, whole) >= before, "an epoch was lost"
            continue
        assert process.returncode == 0
        assert differing(run, whole) == []
        finished += 1
        if not armed:
            return {"kills": sum(phases.values()), "by_phase": dict(sorted(phases.items())),
                    "runs_finished_and_compared": finished, "runs_differing": 0}  # fmt: skip
        run = folder / f"run{finished}"
