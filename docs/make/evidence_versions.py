"""Which JAX and which PyTorch compute the same: the ladder in an environment of each, by uv.

    python docs/make/evidence_versions.py --jax 0.8.0,0.12.0.1 --torch 2.15.0
    python docs/make/evidence_versions.py --jax 0.8.1 --torch 2.15.0 --repeats 3 --self-checks 10

Each pair writes docs/evidence/versions-jax-J-torch-T.json. The ladders are climbed as XLA decides;
the study's shallow one with XNNPACK's products as well, which XLA itself takes on some processors
alone. Real MNIST is needed (MNIST_FN_DATA).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from itertools import product
from pathlib import Path
from typing import Any

from evidence_bounds import PYTHON, interpreter
from pages import EVIDENCE, ROOT, write_evidence

XNNPACK = "--xla_cpu_experimental_xnn_graph_fusion_mode=XNN_GRAPH_FUSION_MODE_BYPASS_COST_MODEL"
LADDERS = {  # name: XLA_FLAGS, and what is compared
    "as XLA decides": ("", ("--dataset", "digits", "--model", "linear,shallow")),
    "XNNPACK": (XNNPACK, ("--model", "shallow", "--precision", "float32")),
}
LIMIT = 600  # seconds; XNNPACK's option is XLA's own tests', and a compilation with it may hang
COMMAND = ("-m", "mnist_fn")
KNOWN_FAULTS = str(ROOT / "docs" / "make" / "known_faults.py")
OURS = ("flax", "jax", "jaxlib", "torch", "torchvision")


def make_environment(python: Path, jax: str, torch: str) -> None:
    """Install the project beside these versions, whatever its own bounds say of them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    rest = [one for one in project["dependencies"] if not one.startswith(OURS)]
    uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python]
    pins = [f"jax=={jax}", f"jaxlib=={jax}", f"torch=={torch}", "torchvision"]
    newest = ["--upgrade-package", "flax", "--upgrade-package", "optax"]  # that this jax can have
    subprocess.run([*uv, *newest, "flax", *rest, *pins], check=True)
    subprocess.run([*uv, "--no-deps", "-e", ROOT], check=True)


def ask(python: Path, arguments: tuple[str, ...], flags: str = "") -> tuple[dict[str, Any], str]:
    """What that environment's Python says as JSON, and the end of its stderr."""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "MNIST_FN_CACHE": "off",
                   "OMP_NUM_THREADS": "1", "XLA_FLAGS": flags}  # fmt: skip
    command = [python, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False,
                              env=environment, cwd=python.parents[1], timeout=LIMIT)  # fmt: skip
    except subprocess.TimeoutExpired:
        return {}, f"no answer in {LIMIT} s"
    return (json.loads(done.stdout) if done.stdout else {}), done.stderr[-300:]


def climb(python: Path, flags: str, compared: tuple[str, ...]) -> dict[str, Any]:
    """Each ladder's verdict: None if it holds, or the rung and the tensor at which it parts."""
    document, said = ask(python, (*COMMAND, "parity", *compared, "--json"), flags)
    if not document:
        return {"error": said}
    found = {}
    for one in document["ladders"]:
        last = one["rungs"][-1]
        parted = None if one["passed"] else {"rung": last["rung"], "what": last["worst"]["what"]}
        found[f"{one['model']}, {one['precision']}"] = parted
    return found


def measure(python: Path, repeats: int, self_checks: int) -> dict[str, Any]:
    """The ladders and the self-check, each so many times."""
    doctors = []
    for _ in range(self_checks):
        doctor, _said = ask(python, (*COMMAND, "doctor", "--full", "--json"))
        faults, said = ask(python, (KNOWN_FAULTS,))  # compiling with XNNPACK may hang
        ended = {"backend": "jax", "check": "known faults", "passed": False, "found": said}
        doctor["checks"] += faults.get("checks", [ended])
        doctors.append(doctor)
    return {
        "versions": doctors[0]["versions"],
        "known_wrong": doctors[0]["known_wrong"],
        "self_check_cpu_seconds": [doctor["cpu_seconds"] for doctor in doctors],
        "ladders": {name: [climb(python, *asked) for _ in range(repeats)]
                    for name, asked in LADDERS.items()},
        "checks": [{f"{c['backend']}, {c['check']}": {k: c[k] for k in ("passed", "found")}
                    for c in doctor["checks"]} for doctor in doctors],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--jax", required=True)
    parser.add_argument("--torch", required=True)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--self-checks", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:  # one for all: little changes from pair to pair
        subprocess.run([sys.executable, "-m", "uv", "venv", "--quiet", "--python", interpreter(),
                        folder], check=True)  # fmt: skip
        python = Path(folder) / "bin" / "python"
        for torch, jax in product(given.torch.split(","), given.jax.split(",")):
            make_environment(python, jax, torch)
            out = EVIDENCE / f"versions-jax-{jax}-torch-{torch}.json"
            command = f"python docs/make/evidence_versions.py --jax {jax} --torch {torch}"
            command += f" --repeats {given.repeats} --self-checks {given.self_checks}"
            measured = measure(python, given.repeats, given.self_checks)
            write_evidence(
                out, command, jax=jax, torch=torch, python=PYTHON, n=given.repeats, **measured
            )
            print(out.relative_to(ROOT), flush=True)


if __name__ == "__main__":
    main()
