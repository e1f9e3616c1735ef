"""Write the README's figures from the evidence: its best run over five seeds, the whole study.

    python docs/make/make_results.py [TRAIN_JSON_LINES]

With a file of `mnist-fn train --json` documents, one on a line, the evidence is made from it first.
"""

import json
import statistics
import sys
from pathlib import Path

import make_parity
import make_study
from pages import EVIDENCE, ROOT, renew

from mnist_fn.shared.runs.environment import UNKNOWN_HARDWARE, Hardware
from mnist_fn.shared.runs.folder import RunFolder

RUNS = EVIDENCE / "main-job-jax.json"
README = ROOT / "README.md"
# The study's figure 5; "about 0.10" is its reading of the curve. Its epochs count from 0, here 1 is
# added.
PUBLISHED = {
    "3e-05": {"min_test_loss": "0.04754", "epoch": "90", "max_test_accuracy": "98.54 %"},
    "0": {"min_test_loss": "0.06149", "epoch": "19", "max_test_accuracy": "98.25 %",
          "final_test_loss": "about 0.10"},
}  # fmt: skip


def evidence_from(lines: list[str]) -> dict:
    """The figures of each run, from the documents of `mnist-fn train --json`; where they were
    made, from the runs themselves: all on one machine, by one version."""
    runs = [json.loads(line) for line in lines]
    headers = [RunFolder(Path(run["run"])).read_header() for run in runs]
    where = [
        {"versions": h.versions, "machine": h.machine, "computed": h.computed.to_dict()}
        for h in headers
    ]
    if any(one != where[0] for one in where):
        raise SystemExit("these runs were not made alike: other versions, machines or threads")
    return {
        "command": "for s in 0 1 2 3 4; do for l in 3e-5 0; do "
        "mnist-fn train --backend jax --l2 $l --seed $s --json; done; done",
        **where[0],
        "runs": [
            {
                "l2": "3e-05" if "l2=3e-05" in run["run"] else "0",
                "epochs": run["epochs"],
                "min_test_loss": run["best"]["test_loss"]["value"],
                "epoch": run["best"]["test_loss"]["epoch"],
                "max_test_accuracy": run["best"]["test_accuracy"]["value"],
                "final_test_loss": run["final"]["test_loss"],
                "seconds": run["seconds"]["total"],
            }
            for run in runs
        ],
    }


def table(evidence: dict) -> str:
    """Markdown: mean ± sd over the seeds beside the published figure."""
    names = {
        "min_test_loss": ("minimum test loss", "{:.4f} ± {:.4f}", 1),
        "epoch": ("at epoch", "{:.0f} ± {:.0f}", 1),
        "max_test_accuracy": ("maximum test accuracy", "{:.2f} ± {:.2f} %", 100),
        "final_test_loss": ("test loss after 100 epochs", "{:.4f} ± {:.4f}", 1),
    }
    lines = ["| λ | | here | published |", "|---|---|---|---|"]
    for l2, published in PUBLISHED.items():
        runs = [run for run in evidence["runs"] if run["l2"] == l2]
        for name, (title, form, factor) in names.items():
            values = [run[name] * factor for run in runs]
            shown = form.format(statistics.mean(values), statistics.stdev(values))
            lines.append(f"| {l2} | {title} | {shown} | {published.get(name, '')} |")
    computed = Hardware.from_dict(evidence.get("computed", UNKNOWN_HARDWARE.to_dict()))
    count, found = len(evidence["runs"]) // 2, evidence["versions"]
    lines += [
        "",
        f"Mean ± sd over {count} seeds, 100 epochs each, which took {_range(evidence)} s a run; "
        f"{evidence['machine']}, {computed}; "
        f"jax {found['jax']}, Python {found['python']}. `{evidence['command']}`",
    ]
    return "\n".join(lines)


def _range(evidence: dict) -> str:
    """Seconds of the runs, from the shortest to the longest, and their median."""
    seconds = [run["seconds"] for run in evidence["runs"]]
    return f"{min(seconds):.0f} to {max(seconds):.0f} (median {statistics.median(seconds):.0f})"


def sections(evidence: dict) -> dict[str, str]:
    """What stands between the README's markers, by name."""
    study = make_study.headline(make_study.document(make_study.all_evidence()))
    return {"results": table(evidence), "study": study, "exceptions": make_parity.exceptions(),
            "bugs": make_parity.injected()}  # fmt: skip


if __name__ == "__main__":
    if len(sys.argv) > 1:
        made = evidence_from(Path(sys.argv[1]).read_text().splitlines())
        RUNS.write_text(json.dumps(made, indent=1) + "\n")
    README.write_text(renew(README.read_text(), sections(json.loads(RUNS.read_text()))))
