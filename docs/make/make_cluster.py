"""Write the figures of docs/cluster.md from docs/evidence/bench-workers.json.

python docs/make/evidence_workers.py
python docs/make/make_cluster.py
"""

from typing import Any

from pages import DOCS, EVIDENCE, renew

from mnist_fn.shared.bench import report
from mnist_fn.shared.storage import read_sealed

PAGE = DOCS / "cluster.md"
WORKERS = EVIDENCE / "bench-workers.json"


def speed(evidence: dict[str, Any]) -> str:
    """What workers gain on one machine: medians of rounds, in each of which all took turns."""
    ratios = {name: rates["ratios"] for name, rates in evidence["backends"].items()}
    heads = list(next(iter(ratios.values())))
    lines = [f"| backend | {' | '.join(heads)} |", "|---|" + "---|" * len(heads)]
    for backend, own in ratios.items():
        cells = (
            "{median:.2f} ({min:.2f} to {max:.2f}, n = {n})".format(**own[head]) for head in heads
        )
        lines.append(f"| {backend} | {' | '.join(cells)} |")
    versions = ", ".join(f"{n} {evidence['versions'][n]}" for n in ("python", "jax", "torch"))
    command = "python docs/make/evidence_workers.py"
    before = "" if evidence["command"].startswith(command) else " (then a part of `mnist-fn bench`)"
    source = f"`{command}`{before}; {evidence['machine']}; {versions}"
    return "\n".join([*lines, "", source])


def text() -> str:
    """What docs/cluster.md should say."""
    workers = read_sealed(WORKERS, report.SCHEMA)
    return renew(PAGE.read_text(), {"speed": speed(workers)})


if __name__ == "__main__":
    PAGE.write_text(text())
