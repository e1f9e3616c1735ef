"""Long runs behind docs/reliability.md. Each writes one JSON under docs/evidence/, with a count of
what was lost in it, and exits with 1 if that is not 0:

    python docs/make/evidence_reliability.py kills --backend jax --n 110
    python docs/make/evidence_reliability.py hostile --n 120000
    python docs/make/evidence_reliability.py memory --backend jax --n 1000
    python docs/make/evidence_reliability.py peak --backend jax --n 3
    python docs/make/evidence_reliability.py parallel --backend jax --n 20
    python docs/make/evidence_reliability.py reproducible --backend jax --n 6
"""

import argparse
import math
import os
import resource
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

from pages import EVIDENCE, write_evidence

from mnist_fn import Callbacks, Config, train
from mnist_fn.shared.runs import loop, trainer
from mnist_fn.shared.runs.folder import RunFolder
from tests.support.hostile import Hostile
from tests.support.killing import (
    TRAIN,
    campaign,
    differing,
    environment,
    start,
    uninterrupted,
)
from tests.support.losses import LOST
from tests.support.tiny_backend import TINY, Tiny

PEAK_LIMIT_MB = 1500
# glibc keeps freed pages in its arenas; the rows of 1,000 epochs are 1 to 2 MB themselves.
GROWTH_LIMIT_MB = 8
MEMORY_LIMIT_MB = 512  # beyond what a process that has attacked each reader once holds
JOB = ("train", "--l2", "3e-5")


def kills(folder: Path, backend: str, n: int) -> dict:
    return campaign(folder, backend, n, seed=0)


def hostile(folder: Path, _: str, n: int) -> dict:
    found, trainer.backends.find = trainer.backends.find, lambda _: Tiny
    run = train(TINY, "tiny", out=folder / "run").path
    trainer.backends.find = found
    (folder / "scratch").mkdir()
    attacked = Hostile(run, folder / "scratch")
    for name in attacked.targets():  # hypothesis makes its own tables once
        attacked.attack(name, 10)
    before = resident_mb()
    # an allocation beyond this fails the run with a MemoryError
    limit = address_space() + MEMORY_LIMIT_MB * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    each = n // len(attacked.targets())
    by_target = {name: outcome(attacked, name, each) for name in attacked.targets()}
    return {
        "inputs": sum(sum(counts.values()) for counts in by_target.values()),
        "by_reader": by_target,
        "handled_wrongly": sum(counts.get("wrong", 0) for counts in by_target.values()),
        "growth_mb": round(peak_mb() - before, 1),  # hypothesis's own memory included
        "limit_mb": MEMORY_LIMIT_MB,
    }


def outcome(attacked: Hostile, reader: str, n: int) -> dict[str, int]:
    """How many inputs a reader refused and accepted; 1 wrong where it handled one wrongly, at
    which its inputs end."""
    try:
        return dict(attacked.attack(reader, n))
    except Exception:  # whatever a reader lets through is handled wrongly
        traceback.print_exc()
        return {"wrong": 1}


def memory(folder: Path, backend: str, n: int) -> dict:
    """Resident memory over n short epochs after 100 to warm up, a checkpoint every 0.2 s."""
    seen: dict[int, float] = {}

    def sample(row: dict) -> None:
        if row["epoch"] % 100 == 0:
            seen[row["epoch"]] = round(resident_mb(), 1)

    loop.CHECKPOINT_SECONDS = 0.2

    loop.SAVING_SHARE = math.inf
    config = Config(dataset="digits", hidden=(64,), epochs=n + 100)
    train(config, backend, device="cpu", out=folder / "run", callbacks=Callbacks(on_epoch=sample))
    growth = round(seen[n + 100] - seen[100], 1)
    return {"epochs": n, "resident_mb_at_epoch": seen, "growth_mb": growth,
            "limit_mb": GROWTH_LIMIT_MB}  # fmt: skip


def peak(folder: Path, backend: str, n: int) -> dict:
    """Peak resident memory of the study's job on MNIST, n epochs."""
    command(*JOB, "--backend", backend, "--epochs", str(n), "--out", str(folder / "run"))
    mb = round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
    return {"job": " ".join(JOB), "epochs": n, "peak_mb": mb, "limit_mb": PEAK_LIMIT_MB}


def parallel(folder: Path, backend: str, n: int) -> dict:
    whole = uninterrupted(folder / "whole", backend)
    runs = [folder / f"run{i}" for i in range(n)]
    processes = [
        start(
            "cli.main", *TRAIN, "--backend", backend, "--out", str(run), stderr=subprocess.DEVNULL
        )
        for run in runs
    ]
    ended = [(process.wait(), run) for process, run in zip(processes, runs, strict=True)]
    good = [run for code, run in ended if code == 0]
    return {"processes": n, "failed": n - len(good),
            "differing": sum(differing(run, whole) != [] for run in good)}  # fmt: skip


def reproducible(folder: Path, backend: str, n: int) -> dict:
    """The study's job n times for 2 epochs, the second half of them under load on every core."""
    runs = [folder / f"run{i}" for i in range(n)]
    load: list[subprocess.Popen] = []
    try:
        for i, run in enumerate(runs):
            if i == n // 2:
                busy = [sys.executable, "-c", "while True: pass"]
                load = [subprocess.Popen(busy) for _ in range(os.cpu_count() or 1)]
            command(*JOB, "--backend", backend, "--epochs", "2", "--out", str(run))
    finally:
        for process in load:
            process.kill()
            process.wait()
    return {"runs": n, "under_load": n - n // 2,
            "differing": sum(differing(run, runs[0]) != [] for run in runs)}  # fmt: skip


def command(*arguments: str) -> None:
    """Run `mnist-fn`; raises if it fails."""
    subprocess.run([sys.executable, "-m", "cli.main", *arguments, "--device", "cpu"],
                   env=environment(), check=True, stderr=subprocess.DEVNULL)  # fmt: skip


def threads_of(folder: Path, backend: str | None) -> list[int | None]:
    """Of the backend's arithmetic, as its runs have it: one number if all had as many."""
    headers = [RunFolder(file.parent).read_header() for file in folder.rglob("run.json")]
    return sorted({h.hardware.threads for h in headers if h.backend == backend}, key=str)


def resident_mb() -> float:
    return _pages(1) / 2**20


def address_space() -> int:
    return _pages(0)


def _pages(column: int) -> int:
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[column]) * resource.getpagesize()


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


CHECKS: dict[str, Callable[[Path, str, int], dict]] = {
    check.__name__: check for check in (kills, hostile, memory, peak, parallel, reproducible)
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("check", choices=CHECKS)
    parser.add_argument("--backend")
    parser.add_argument("--n", type=int, required=True)
    given = parser.parse_args()
    if not __debug__:
        parser.error("without -O: what an input does to a reader is asserted")
    if (given.check == "hostile") != (given.backend is None):
        parser.error("--backend jax or torch: for every check but hostile, which needs none")
    with tempfile.TemporaryDirectory() as folder:
        result = CHECKS[given.check](Path(folder), given.backend, given.n)
        threads = threads_of(Path(folder), given.backend)
    name = "-".join(filter(None, ["reliability", given.check, given.backend]))
    write_evidence(
        EVIDENCE / f"{name}.json",
        f"python docs/make/evidence_reliability.py {' '.join(sys.argv[1:])}",
        check=given.check,
        backend=given.backend,
        n=given.n,
        result=result,
        threads=threads,
    )
    print(name, result)
    if lost := LOST[given.check](result):
        sys.exit(f"LOST: {lost}")


if __name__ == "__main__":
    main()
