"""Write the figures of docs/cluster.md from docs/evidence/bench-workers.json.

python docs/make/evidence_workers.py
python docs/make/make_cluster.py
"""

from typing import Any

from pages import DOCS, EVIDENCE, table, versions_of, write_page

from mnist_fn.shared.bench import report
from mnist_fn.shared.storage import read_sealed

PAGE = DOCS / "cluster.md"
WORKERS = EVIDENCE / "bench-workers.json"


def speed(evidence: dict[str, Any]) -> str:
    """What workers gain on one machine: medians of rounds, in each of which all took turns."""
    rows, heads = [], ["backend"]
    for backend, rates in evidence["backends"].items():
        heads = ["backend", *rates["ratios"]]
        cell = "{median:.2f} ({min:.2f} to {max:.2f}, n = {n})"
        rows.append([backend, *(cell.format(**ratio) for ratio in rates["ratios"].values())])
    command = "python docs/make/evidence_workers.py"
    bench = " (when this was measured, a part of `mnist-fn bench`)"
    before = "" if evidence["command"].startswith(command) else bench
    versions = versions_of(evidence, "python", "jax", "torch")
    made = f"`{command}`{before}; {evidence['machine']}; {versions}"
    return f"{table(heads, rows)}\n\n{made}"


def sections() -> dict[str, str]:
    """What stands between the page's markers, by name."""
    return {"speed": speed(read_sealed(WORKERS, report.SCHEMA))}


if __name__ == "__main__":
    write_page(PAGE, sections())
