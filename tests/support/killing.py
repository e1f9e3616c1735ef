"""kill -9 at random moments, resume, compare: for the tests and for the evidence run."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mnist_fn.shared import backend as backends
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import load_for
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.runs import metrics
from mnist_fn.shared.runs.checkpoint import weights_digest
from mnist_fn.shared.runs.folder import RunFolder
from mnist_fn.shared.state import StateTree
from mnist_fn.shared.streams import batch_order, initial_state
from tests.support.losses import KILLS
from tests.support.marked import PHASES

ROOT = Path(__file__).parents[2]
EPOCHS = 12
TRAIN = ("train", "--dataset", "digits", "--hidden", "64", "--epochs", str(EPOCHS),
         "--validation", "100", "--l2", "1e-4")  # fmt: skip
CONFIG = Config(dataset="digits", hidden=(64,), epochs=EPOCHS, validation=100, l2=1e-4)  # the same
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
    if process.stdout is None:
        raise ValueError("the process's phases are not read")
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
    if done.returncode:
        raise RuntimeError(f"the run to compare with failed: {said}")
    return folder


def differing(run: Path, whole: Path) -> list[str]:
    """The names of the result files that are not the same bytes."""
    return [n for n in RESULTS if (run / n).read_bytes() != (whole / n).read_bytes()]


def states_of(backend: str) -> list[str]:
    """Digests of what `TRAIN` has after 0, 1, … epochs, weights and moments, by its own loop."""
    dataset = load_for(CONFIG)
    computer = backends.find(backend)(CONFIG, dataset, "cpu")
    state = computer.load(initial_state(CONFIG, dataset.pixels, dataset.classes))
    states = [digest_of_state(computer.dump(state))]
    for epoch in range(1, EPOCHS + 1):
        order = batch_order(CONFIG.seed, epoch, len(dataset.train))
        state, _ = computer.train_epoch(state, order)
        states.append(digest_of_state(computer.dump(state)))
    return states


def digest_of_state(state: StateTree) -> str:
    return "".join(weights_digest(tree) for tree in state.trees().values())


@dataclass(frozen=True)
class Kept:
    """What a killed run still has: so many epochs, and what of it is not what it was."""

    epochs: int
    wrong: tuple[str, ...] = ()


def what_is_kept(run: Path, whole: Path, states: list[str]) -> Kept:
    """Read a run as a resume would, and compare rows, weights and moments with the whole's."""
    directory = RunFolder(run)
    if not directory.exists():
        return Kept(0)
    try:
        left = directory.read(directory.read_header())
    except InputError as error:
        return Kept(0, (str(error),))
    same = {
        "metrics": left.rows == metrics.read_csv(whole / "metrics.csv", len(left.rows)),
        "weights": digest_of_state(left.state) == states[len(left.rows)],
    }
    return Kept(len(left.rows), tuple(name for name, good in same.items() if not good))


def campaign(folder: Path, backend: str, kills: int, seed: int) -> dict:
    """Kill and resume until there were `kills` kills and the last run is finished.

    After each kill what is left is compared with the uninterrupted run as far as that was, each
    finished run's files with its files; then a new one begins, as it does after a loss. Returns
    the counts, of what was lost too.
    """
    whole, states = uninterrupted(folder / "whole", backend), states_of(backend)
    rng = np.random.default_rng(seed)
    phases: Counter[str] = Counter()
    lost = dict.fromkeys(KILLS, 0)
    finished = begun = saved = 0
    while True:
        run = folder / f"run{begun}"
        aim = rng.choice(list(PHASES))
        times = 1 if aim in "lc" else int(rng.integers(1, EPOCHS // 2))
        armed = sum(phases.values()) < kills
        process = start("tests.support.marked", *TRAIN, "--backend", backend, "--out", str(run),
                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # fmt: skip
        entered, _ = signal_in_phase(
            process, signal.SIGKILL, aim if armed else "", times, rng.uniform(0, SECONDS[aim])
        )
        if process.returncode == -signal.SIGKILL:
            phases[PHASES[entered[-1]] if entered else "start"] += 1  # somebody else may kill
            kept = what_is_kept(run, whole, states)
            lost["epochs_lost"] += max(0, saved - kept.epochs)
            lost["wrong_after_kill"] += bool(kept.wrong)
            saved = kept.epochs
            if not kept.wrong:
                continue
        elif process.returncode:
            lost["runs_failed"] += 1
        else:
            finished += 1
            lost["runs_differing"] += differing(run, whole) != []
        begun, saved = begun + 1, 0
        if not armed:
            return {"kills": sum(phases.values()), "by_phase": dict(sorted(phases.items())),
                    "runs_finished_and_compared": finished, **lost}  # fmt: skip
