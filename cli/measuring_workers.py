"""`mnist-fn bench --what workers`: a worker a core against one, and against threads."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mnist_fn.shared.bench.quiet import used_by_others
from mnist_fn.shared.bench.timing import ratio, spread
from mnist_fn.shared.config import Config
from mnist_fn.shared.errors import InputError

SCHEMA = 1
EPOCHS = 10
# Seconds before each turn in which others are looked at: while it runs Ray's processes, which do
# not stay our children, could not be told from them.
PAUSE = 2.0
BACKENDS = ("jax", "torch")


def measure(
    config: Config, data_dir: Path | None, rounds: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Epochs a second of whole sweeps, in turns; what starting and compiling take is left out.

    Each worker trains one run, all at the same time. A run's own seconds of training, as it records
    them, are what is counted, so the rate is the workers' times EPOCHS over their mean.

    Between turns it is seen how many cores others use: `others`, the mean.

    Raises:
        InputError: a sweep fails.
    """
    cores = os.cpu_count() or 1
    ways = {
        f"{cores} workers, a thread each": (cores, ("--workers", str(cores))),
        "1 worker, a thread": (1, ("--workers", "1")),
        f"1 process, {cores} threads": (1, ()),
    }
    results: dict[str, Any] = {}
    busy_cores: list[float] = []
    for backend in BACKENDS:
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(rounds):
            say(f"{backend}: round {turn + 1} of {rounds}")
            for way in list(ways)[:: 1 if turn % 2 == 0 else -1]:
                runs, options = ways[way]
                busy_cores.append(used_by_others(PAUSE))
                rates[way].append(_rate(config, backend, data_dir, runs, options))
        many, single, threads = ways
        results[backend] = {
            "epochs_per_second": {way: spread(values) for way, values in rates.items()},
            "ratios": {
                f"{many} / {alternative}": ratio(rates, many, alternative)
                for alternative in (single, threads)
            },
        }
    return {
        "what": "workers",
        "config": config.to_dict(),
        "epochs": EPOCHS,
        "backends": results,
        "others": float(np.mean(busy_cores)),
    }


def lines(document: dict[str, Any]) -> Iterator[str]:
    """The document in words."""
    for backend, results in document["backends"].items():
        for way, rate in results["epochs_per_second"].items():
            yield f"{backend}, {way}: {rate['median']:.3g} epochs/s (n = {rate['n']})"
        for pair, quotient in results["ratios"].items():
            low, high = quotient["min"], quotient["max"]
            yield f"{backend}, {pair}: {quotient['median']:.2f} ({low:.2f} to {high:.2f})"


def _rate(
    config: Config, backend: str, data_dir: Path | None, runs: int, options: tuple[str, ...]
) -> float:
    with tempfile.TemporaryDirectory(prefix="mnist-fn-bench-") as folder:
        flags = {
            "--backend": backend,
            "--dataset": config.dataset,
            "--hidden": ",".join(map(str, config.hidden)),
            "--batch-size": config.batch_size,
            "--precision": config.precision,
            "--l2": config.l2,
            "--device": "cpu",
            "--seeds": runs,
            "--epochs": EPOCHS,
            "--out": folder,
            **({} if data_dir is None else {"--data-dir": data_dir}),
        }
        words = [str(word) for pair in flags.items() for word in pair]
        done = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "cli.main", "sweep", *words, *options],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise InputError(f"mnist-fn sweep {' '.join(words)}: {done.stderr.strip()[-300:]}")
        seconds = [
            json.loads(file.read_text())["seconds"]["train"]
            for file in Path(folder).glob("*/run.json")
        ]
    return runs * EPOCHS / float(np.mean(seconds))
