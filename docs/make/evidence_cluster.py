"""How far one driver of workers reaches: docs/evidence/cluster.json, behind docs/cluster.md.

    python docs/make/evidence_cluster.py --runs 5000 --epochs 20000 --seconds 30

Three loads, each on a Ray of our own, and of each the CPU seconds of this process, the driver:
many short runs, whose memory is followed too; two runs of many epochs, as fast as two
workers train; and more workers than this machine has cores, which wait where they would train and
send what a worker on the study's best model sends.
"""

import argparse
import contextlib
import itertools
import os
import pickle
import shlex
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
from pages import EVIDENCE

from cli.training import shown
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import load
from mnist_fn.shared.errors import Interrupted
from mnist_fn.shared.runs import cluster
from mnist_fn.shared.runs.comparison import ended
from mnist_fn.shared.runs.folders import slug
from mnist_fn.shared.runs.loop import CHECKPOINT_SECONDS
from mnist_fn.shared.runs.mailbox import Desk, Letter, MailedRun, Training
from mnist_fn.shared.runs.many import train_all
from mnist_fn.shared.runs.received import Received
from mnist_fn.shared.runs.records import RunDirectory, machine, versions
from mnist_fn.shared.runs.run import Place, Run, Watch
from mnist_fn.shared.runs.staff import Staff
from mnist_fn.shared.runs.sweep import sweep
from mnist_fn.shared.storage import write_sealed

OUT = EVIDENCE / "cluster.json"
SCHEMA = 1
TINY = Config(dataset="digits", hidden=(), epochs=20)
WIDE = Config(dataset="digits", hidden=(5440,), epochs=10**6)  # as many weights as 784, 512, 10
CROWDS = (8, 16, 32)  # workers
EPOCH_SECONDS = 1.0  # about that of the study's best model on one core


class Spent:
    """Wall and CPU seconds of this process since."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    @property
    def now(self) -> dict[str, float]:
        return {"wall_seconds": round(time.perf_counter() - self._wall, 2),
                "cpu_seconds": round(time.process_time() - self._cpu, 3)}  # fmt: skip


def many_runs(folder: Path, runs: int) -> dict[str, Any]:
    """Short runs, as `mnist-fn sweep --workers 2` has them; memory tenth by tenth."""
    resident: list[list[float]] = []
    times: list[float] = []
    number = itertools.count(1)

    def keep(run: Run) -> Any:
        times.append(time.perf_counter())
        if (done := next(number)) % (runs // 10) == 0:
            resident.append([done, round(psutil.Process().memory_info().rss / 2**20, 1)])
        return ended(run)

    configs = [TINY.replace(seed=seed) for seed in range(runs)]
    staff, spent = Staff(2), Spent()
    with shown(staff) as (_, watch):
        kept, unfinished = train_all(configs, "jax", keep, device="cpu", data_dir=None, out=folder,
                                     staff=staff, watch=watch)  # fmt: skip
    found = spent.now
    if len(kept) != runs or unfinished.all:
        raise SystemExit(f"{runs - len(kept)} of {runs} runs did not come to their end")
    growth = round(resident[-1][1] - resident[0][1], 1)
    rate = (runs - 1) / (times[-1] - times[0])  # without the start
    return {"runs": runs, "epochs_each": TINY.epochs, **found, "runs_per_second": round(rate, 1),
            "resident_mb_after_runs": resident, "growth_mb": growth}  # fmt: skip


@dataclass
class Weighed:
    """Hands that weigh what workers answer."""

    hands: Any
    answers: int = 0
    size: int = 0  # bytes, pickled as Ray does

    def __getattr__(self, name: str) -> Any:
        return getattr(self.hands, name)

    def answer(self, call: Any) -> Any:
        found = self.hands.answer(call)
        self.answers, self.size = self.answers + 1, self.size + len(pickle.dumps(found, 5))
        return found


def many_epochs(folder: Path, epochs: int) -> dict[str, Any]:
    """Two runs of many epochs, as fast as two workers train them; then fewer, weighed."""
    times: list[float] = []
    watch = Watch(on_epoch=lambda _: times.append(time.perf_counter()))
    with cluster.crew(Staff(2), load("digits"), "cpu") as crew:

        def train(out: Path, each: int) -> int:
            configs = [TINY.replace(seed=seed, epochs=each) for seed in (0, 1)]
            times.clear()
            done = list(sweep(configs, device="cpu", out=out, crew=crew, watch=watch))
            if [isinstance(run, Run) for _, run in done] != [True] * 2 or len(times) != 2 * each:
                raise SystemExit(f"{len(times)} epochs came, not {2 * each}")
            return len(times)

        train(folder / "first", 10)  # compiled
        spent = Spent()
        count = train(folder / "timed", epochs)
        found = spent.now
        rate = count / (times[-1] - times[0])
        crew.hands = Weighed(crew.hands)
        weighed = train(folder / "weighed", epochs // 10)
        size = crew.hands.size
    return {"epochs": count, **found, "epochs_per_second": round(rate),
            "bytes_per_epoch": round(size / weighed)}  # fmt: skip


class Crowded(Received):
    """A run whose worker waits where it would train."""

    def begin(self) -> Training:
        return Waiting(**vars(super().begin()))

    def end(self, kept: bool) -> list[Any]:
        super().end(kept=False)
        return []


@dataclass(frozen=True)
class Waiting(Training):
    """Says every EPOCH_SECONDS that an epoch is done, and sends a state as often as the loop."""

    def work(self, desk: Desk) -> None:
        ((path, opened),) = self.runs
        mailbox, rows = desk.mailbox, opened.rows
        mailbox.open(0, rows)
        run = MailedRun(path, 0, mailbox)
        group: Any = SimpleNamespace(name="jax", device="cpu", threads=1)
        header = opened.begin(desk.whole, group, 0.0).header
        state, saved = opened.start(desk.whole), time.monotonic()
        figures = ["train_loss", "train_accuracy", "test_loss", "test_accuracy"]
        figures += [f"test_accuracy_{label}" for label in range(10)]
        while not mailbox.stop:
            time.sleep(EPOCH_SECONDS)
            rows.append({"epoch": len(rows) + 1, **dict.fromkeys(figures, 1 / (len(rows) + 3))})
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                run.write_progress(header, state, rows)
                saved = time.monotonic()
        mailbox.put(Letter(0, "header", header))
        raise Interrupted("it was only to be seen")


class Observer:
    """Takes the driver's time from when all workers are there, for a while."""

    def __init__(self, workers: int, seconds: float) -> None:
        self.workers, self.seconds = workers, seconds
        self.epochs = 0
        self.begun: Spent | None = None
        self.found: dict[str, float] = {}

    def on_epoch(self, _: Any) -> None:
        self.epochs += 1

    def on_places(self, places: list[Place]) -> None:
        if self.begun is None and sum(place.epoch > 0 for place in places) == self.workers:
            self.begun, self.epochs = Spent(), 0

    def should_stop(self) -> bool:
        if self.begun is not None and not self.found:
            now = self.begun.now
            if now["wall_seconds"] >= self.seconds:
                self.found = {**now, "epochs": self.epochs}
        return bool(self.found)


def crowd(folder: Path, workers: int, seconds: float) -> dict[str, Any]:
    """So many workers at the study's pace."""
    seen, dataset = Observer(workers, seconds), load("digits")
    watch = Watch(
        on_epoch=seen.on_epoch, should_stop=seen.should_stop, on_places=seen.on_places
    )  # fmt: skip
    configs = [WIDE.replace(seed=seed) for seed in range(workers)]
    works = [
        Crowded([(config, RunDirectory(folder / slug(config, "jax")))], "jax", "cpu", None,
                dataset, watch, False)
        for config in configs
    ]  # fmt: skip
    with cluster.crew(Staff(workers), dataset, "cpu") as crew, contextlib.suppress(Interrupted):
        list(crew.work(works, watch))
    written = next(folder.glob("*/checkpoint.safetensors")).stat().st_size
    asked = workers * seen.found["wall_seconds"] / EPOCH_SECONDS
    return {"workers": workers, **seen.found, "epochs_asked": round(asked), "state_bytes": written}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    given = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found["runs"] = many_runs(folder / "runs", given.runs)
        print(found)
        found["epochs"] = many_epochs(folder / "epochs", given.epochs)
        print(found["epochs"])
        found["crowds"] = []
        for workers in CROWDS:
            found["crowds"].append(crowd(folder / f"crowd-{workers}", workers, given.seconds))
            print(found["crowds"][-1])
    write_sealed(OUT, {
        "schema": SCHEMA,
        "command": shlex.join(["python", "docs/make/evidence_cluster.py", *sys.argv[1:]]),
        **found,
        "load_average": round(os.getloadavg()[2], 1),  # of a quarter of an hour, at the end
        "versions": {**versions(), "ray": version("ray")},
        "machine": machine(),
    })  # fmt: skip


if __name__ == "__main__":
    main()
