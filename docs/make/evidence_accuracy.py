"""The deep model's accuracy, planned before it is run: docs/evidence/accuracy-*.json.

    python docs/make/evidence_accuracy.py plan                # before the runs, and committed
    mnist-fn parity --level statistics …                      # as the plan says
    python docs/make/evidence_accuracy.py verdict FOLDER      # the folder of its --out

The first experiment (parity-statistics.json) had too little power to decide. More seeds of the same
runs would be a second look at them; so this one has seeds of its own, as many as its plan says, and
one look. A verdict is taken only of exactly the planned runs, and never twice.
"""

import argparse
from pathlib import Path
from typing import Any

from pages import EVIDENCE

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.parity.bounds import ACCURACY_MARGIN
from mnist_fn.shared.parity.levels import SCHEMA
from mnist_fn.shared.statistics import pairs_needed, power_of
from mnist_fn.shared.storage import read_sealed, write_sealed

PLAN, VERDICT = EVIDENCE / "accuracy-plan.json", EVIDENCE / "accuracy-verdict.json"
MODEL, POWER = "deep", 0.95


def make_plan() -> dict[str, Any]:
    """How many pairs the observed spread asks for, and which seeds they have."""
    before = read_sealed(EVIDENCE / "parity-statistics.json", SCHEMA)
    first = next(one for one in before["statistics"] if one["model"] == MODEL)
    sd, margin, seed = first["tost"]["sd"], ACCURACY_MARGIN, max(first["seeds"]) + 1
    n = pairs_needed(sd, margin, POWER)
    command = f"mnist-fn parity --level statistics --model {MODEL} --seed {seed} --seeds {n} --out"
    return {
        "model": MODEL,
        "question": "is the test accuracy after 20 epochs the same, JAX and PyTorch, float32?",
        "test": "two one-sided paired t tests at 0.05",
        "margin": margin,
        "sd": sd,  # of the first experiment's differences
        "power": power_of(n, sd, margin),
        "n": n,
        "seeds": list(range(seed, seed + n)),
        "looks": 1,
        "command": command,
    }


def verdict_of(document: dict[str, Any], plan: dict[str, Any]) -> dict[str, Any]:
    """The runs' document, if they are the planned ones; InputError else."""
    (one,) = document["statistics"]
    found = (one["model"], one["seeds"], one["tost"]["margin"], one["precision"])
    if found != (plan["model"], plan["seeds"], plan["margin"], "float32"):
        raise InputError(f"{PLAN}: other runs were planned")
    return document


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["plan", "verdict"])
    parser.add_argument("folder", type=Path, nargs="?")
    given = parser.parse_args()
    file = PLAN if given.what == "plan" else VERDICT
    if file.exists():
        raise SystemExit(f"{file}: stands already, and there is one look")
    if given.what == "plan":
        write_sealed(PLAN, {"schema": SCHEMA, **make_plan()})
    else:
        runs = read_sealed(given.folder / "parity-statistics.json", SCHEMA)
        write_sealed(VERDICT, verdict_of(runs, read_sealed(PLAN, SCHEMA)))
