"""Measure all that the pages leave open for a GPU, each part into a file of its own.

    make gpu-evidence        # docs/evidence/gpu-*.json, in under 9 minutes

What was done stays if the rest is cut off, and a part that fails or takes too long says so in its
file. `--device cpu --dataset digits --out DIR` rehearses it where there is no GPU.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pages import EVIDENCE, ROOT

from mnist_fn.shared.runs.environment import machine, versions
from mnist_fn.shared.storage import write_sealed

SCHEMA = 1


def parts(device: str, dataset: str) -> Iterator[tuple[str, int, list[str]]]:
    """(name, seconds it may take, command), what is worth most first: 540 s in all."""
    common = ["--dataset", dataset, "--json"]
    mnist_fn = [sys.executable, "-m", "cli.main"]
    ladder = [*mnist_fn, "parity", *common, "--model", "linear,shallow"]
    bench = [*mnist_fn, "bench", *common, "--device", device]
    yield "ladder", 50, [*ladder, "--device", device]
    yield "ladder-cpu", 50, [*ladder, "--device", f"{device},cpu"]
    yield "bench-float32", 170, [*bench, "--rounds", "2"]  # each turn starts a process
    for precision in ("tf32", "bf16"):
        only = ["--rounds", "2", "--only", "jax/train", "--precision", precision]
        yield f"bench-{precision}", 40, [*bench, *only]
    tests = ["tests/mnist_fn/test_gpu.py", "-q", "-rs"]
    yield "tests", 70, [sys.executable, "-m", "pytest", *tests]
    models = ["--rounds", "1", "--only", "models", "--device", device]  # 64 models among them
    yield "sweeps", 60, [sys.executable, "docs/make/evidence_speed.py", *common, *models]
    horizon = [*mnist_fn, "parity", *common, "--level", "horizon", "--epochs", "2"]
    yield "horizon", 60, [*horizon, "--device", device]


def measure(command: list[str], limit: int) -> dict[str, Any]:
    """What a command said, how it ended, and how long it took."""
    environment = {name: value for name, value in os.environ.items() if name != "JAX_PLATFORMS"}
    started, found = time.perf_counter(), dict[str, Any]()
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=limit,
            check=False,
        )  # fmt: skip
        found["exit"] = done.returncode
        try:
            found["document"] = json.loads(done.stdout)
        except json.JSONDecodeError:
            found["said"] = (done.stdout + done.stderr).splitlines()[-20:]
    except subprocess.TimeoutExpired:
        found["exit"] = f"cut off after {limit} s"
    return {**found, "seconds": round(time.perf_counter() - started, 1)}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="gpu")
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--out", type=Path, default=EVIDENCE)
    asked = parser.parse_args(arguments)
    asked.out.mkdir(parents=True, exist_ok=True)
    for name, limit, command in parts(asked.device, asked.dataset):
        found = measure(command, limit)
        shown = " ".join(["mnist-fn" if part == "cli.main" else part for part in command])
        about = {"schema": SCHEMA, "command": shown.replace(f"{sys.executable} -m ", "")}
        write_sealed(
            asked.out / f"gpu-{name}.json",
            {**about, "machine": machine(), "versions": versions(), **found},
        )
        print(f"gpu-{name}.json: exit {found['exit']}, {found['seconds']} s", flush=True)


if __name__ == "__main__":
    main()
