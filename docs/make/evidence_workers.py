"""Measure a worker a core against one, and against threads: docs/evidence/bench-workers.json.

    python docs/make/evidence_workers.py        # needs the extra `ray` and a quiet machine
    python docs/make/make_cluster.py

Each worker trains one run, all at the same time. A run's own seconds of training, as it records
them, are what is counted, so the rate is the workers' times EPOCHS over their mean; what starting
and compiling take is left out. Others are looked at before each turn: while it runs, Ray's
processes, which do not stay our children, could not be told from them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from make_cluster import WORKERS
from quiet import check_before, refuse_if_busy

from mnist_fn.shared.bench.quiet import LIMIT, Others
from mnist_fn.shared.bench.report import ratio, spread
from mnist_fn.shared.runs.environment import machine, versions
from mnist_fn.shared.storage import write_sealed

SCHEMA = 1
EPOCHS = 10
PAUSE = 2.0  # seconds before each turn
BACKENDS = ("jax", "torch")


def measure(dataset: str, rounds: int) -> dict[str, Any]:
    """Epochs a second of whole sweeps, in turns."""
    cores = os.cpu_count() or 1
    ways = {
        f"{cores} workers, a thread each": (cores, ("--workers", str(cores))),
        "1 worker, a thread": (1, ("--workers", "1")),
        f"1 process, {cores} threads": (1, ()),
    }
    many, *alternatives = ways
    results: dict[str, Any] = {}
    loads: list[float] = []
    for backend in BACKENDS:
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(rounds):
            for way in list(ways)[:: 1 if turn % 2 == 0 else -1]:
                others = Others()
                time.sleep(PAUSE)
                loads.append(others.cores())
                rates[way].append(rate(dataset, backend, *ways[way]))
        results[backend] = {
            "epochs_per_second": {way: spread(values) for way, values in rates.items()},
            "ratios": {f"{many} / {way}": ratio(rates, many, way) for way in alternatives},
        }
    load = {"cores": float(np.mean(loads)), "of": cores, "limit": LIMIT * cores}
    return {"backends": results, "others": load}


def rate(dataset: str, backend: str, runs: int, options: tuple[str, ...]) -> float:
    """Epochs a second of one sweep, of all its runs together."""
    with tempfile.TemporaryDirectory() as folder:
        sweep = f"sweep --dataset {dataset} --backend {backend} --l2 3e-5 --device cpu".split()
        sweep += ["--seeds", str(runs), "--epochs", str(EPOCHS), "--out", folder, *options]
        subprocess.run([sys.executable, "-m", "cli.main", *sweep], check=True, stdout=sys.stderr)
        seconds = [
            json.loads(file.read_text())["seconds"]["train"]
            for file in Path(folder).glob("*/run.json")
        ]
    return runs * EPOCHS / float(np.mean(seconds))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=WORKERS)
    options = parser.parse_args(arguments)
    check_before(options.out)
    document = {
        "schema": SCHEMA,
        "command": "python docs/make/evidence_workers.py",
        "epochs": EPOCHS,
        **measure(options.dataset, options.rounds),
        "machine": machine(),
        "versions": versions(),
    }
    print(json.dumps(document["backends"], indent=1))
    refuse_if_busy(options.out, document["others"], "between the turns")
    write_sealed(options.out, document)


if __name__ == "__main__":
    main()
