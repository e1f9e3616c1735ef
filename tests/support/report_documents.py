"""Small documents of each kind, as their commands write them."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from mnist_fn.shared.config import Config
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.runs.store import Records
from mnist_fn.shared.storage import write_sealed
from mnist_fn.shared.study import experiments
from mnist_fn.shared.study import report as study_report

EVIDENCE = Path(__file__).parents[2] / "docs" / "evidence"


def write_all(folder: Path, runs: Iterable[Run] = ()) -> None:
    """study.json of these runs, a parity document of each level, the bench that is evidence."""
    found = study_report.document(
        experiments.experiments(Config(), experiments.QUICK),
        {"jax": Records(runs)},
        warning=study_report.QUICK_RUN,
        command="mnist-fn study --quick",
        machine="a machine",
        versions={},
        diverged=[],
    )
    write_sealed(folder / "study.json", found)
    for level, part in PARITY.items():
        document = {"level": level, "backends": ["jax", "torch"], "machine": "a machine", **part}
        write_sealed(folder / f"parity-{level}.json", document)
    shutil.copy(EVIDENCE / "bench-cpu.json", folder / "bench.json")


def _rung(name: str, passed: bool) -> dict:
    worst = {"what": f"{name} of something", "measure": "relative", "relative": 3e-16,
             "tolerance": 1e-13}  # fmt: skip
    return {"rung": name, "passed": passed, "checks": 2, "worst": worst}


_NAME = {"model": "shallow", "optimizer": "adam", "precision": "float64"}
_RUNGS = [_rung("inputs", True), _rung("initial loss", True), _rung("gradients", True),
          _rung("update", True), _rung("outputs", False)]  # fmt: skip
PARITY = {
    "quick": {"ladders": [{**_NAME, "rungs": _RUNGS}]},
    "horizon": {
        "horizon": [
            {
                **_NAME,
                "thresholds": [1e-9, 1e-2],
                "factor": 3.0,
                "steps": [1, 2, 3, 4],
                "tracks": [
                    {"name": "jax and torch", "kind": "frameworks", "predictions": [0, 0],
                     "divergence": [1e-15, 3e-15, 1e-14, 2e-14],
                     "first_step_above": [20100, None],
                     "first_epoch_with_another_prediction": None},
                ],
                "claims": [{"twins": "ulp twin", "holds": True}],
            }
        ]
    },
    "statistics": {
        "statistics": [
            {**_NAME, "accuracy": {"jax": {}, "torch": {}},
             "tost": {"n": 30, "mean": 0.012, "sd": 0.13, "interval": [-0.03, 0.05], "margin": 0.1,
                      "power": 0.98, "verdict": "equivalent"}}
        ]
    },
}  # fmt: skip
