"""Write the figures of docs/cluster.md from docs/evidence/cluster.json and bench-workers.json.

mnist-fn bench --what workers --rounds 3 --out docs/evidence/bench-workers.json
python docs/make/evidence_cluster.py --runs 5000 --epochs 20000 --seconds 30
python docs/make/make_cluster.py
"""

from typing import Any

import evidence_cluster
from pages import DOCS, EVIDENCE, renew

from mnist_fn.shared.bench import report
from mnist_fn.shared.storage import read_sealed

PAGE = DOCS / "cluster.md"
WORKERS = EVIDENCE / "bench-workers.json"


def reach(evidence: dict[str, Any]) -> str:
    """How far one driver reaches: what was measured, and what follows from it."""
    runs, epochs, crowds = (evidence[name] for name in ("runs", "epochs", "crowds"))
    (first, _), *_, (last, resident) = runs["resident_mb_after_runs"]
    per_second, state = runs["runs_per_second"], crowds[-1]["state_bytes"] / 1e6
    lines = [
        "| load | taken | CPU of the driver |",
        "|---|---|---|",
        f"| {runs['runs']:,} runs of {runs['epochs_each']} epochs, two workers | "
        f"{per_second:.0f} runs/s | {1e3 * runs['cpu_seconds'] / runs['runs']:.1f} ms a run |",
        f"| two runs of {epochs['epochs'] // 2:,} epochs, as fast as two workers train | "
        f"{epochs['epochs_per_second']:,} epochs/s, {epochs['bytes_per_epoch']:,} bytes each | "
        f"{1e6 * epochs['cpu_seconds'] / epochs['epochs']:.0f} µs an epoch |",
    ]
    lines += [
        f"| {one['workers']} workers at the study's pace | {one['epochs']:,} of "
        f"{one['epochs_asked']:,} epochs | {100 * share(one):.1f} % of a core |"
        for one in crowds
    ]
    each = share(crowds[-1]) / crowds[-1]["workers"]
    most, megabytes = crowds[-1]["workers"], state / evidence_cluster.CHECKPOINT_SECONDS
    served = int(0.5 / each) // 10 * 10  # an extrapolation
    lines += [
        "",
        f"Memory of the driver between run {first:,} and run {last:,}: "
        f"{runs['growth_mb']:+.1f} MB, to {resident:.0f} MB: "
        f"{1e3 * runs['growth_mb'] / (last - first):.1f} kB a run, what is compared of it; its "
        "curves and weights are on disk.",
        "",
        "The study's pace is an epoch a second and, every "
        f"{evidence_cluster.CHECKPOINT_SECONDS:g} s, a state of {state:.1f} MB: "
        "the workers of the crowds wait where they would train, all else is real. Each takes "
        f"{100 * each:.2f} % of the driver's core, so that on paper one driver serves some "
        f"{served} workers with half of its core, if its disk takes the "
        f"{megabytes * served:.0f} MB/s of their states; more than {most} were not "
        "tried. What comes next needs nothing new: several commands on one cluster, each with a "
        "part of the runs (`--seed`, a part of a grid), its own `--workers` and `--out`, since "
        "runs share nothing.",
        "",
        f"`{evidence['command']}`; {evidence['machine']}, beside others' work (load average "
        f"{evidence['load_average']:g}), so a quiet machine takes more for less; "
        + ", ".join(f"{name} {evidence['versions'][name]}" for name in ("python", "jax", "ray")),
    ]
    return "\n".join(lines)


def speed(evidence: dict[str, Any]) -> str:
    """What workers gain on one machine: medians of rounds, in each of which all took turns."""
    ratios = {name: found["ratios"] for name, found in evidence["backends"].items()}
    heads = list(next(iter(ratios.values())))
    lines = [f"| backend | {' | '.join(heads)} |", "|---|" + "---|" * len(heads)]
    for backend, own in ratios.items():
        cells = (
            "{median:.2f} ({min:.2f} to {max:.2f}, n = {n})".format(**own[head]) for head in heads
        )
        lines.append(f"| {backend} | {' | '.join(cells)} |")
    versions = ", ".join(f"{n} {evidence['versions'][n]}" for n in ("python", "jax", "torch"))
    return "\n".join([*lines, "", f"`{evidence['command']}`; {evidence['machine']}; {versions}"])


def share(crowd: dict[str, Any]) -> float:
    """Of a core, that the driver used."""
    return crowd["cpu_seconds"] / crowd["wall_seconds"]


def text() -> str:
    """What docs/cluster.md should say."""
    evidence = read_sealed(evidence_cluster.OUT, evidence_cluster.SCHEMA)
    workers = read_sealed(WORKERS, report.SCHEMA)
    return renew(PAGE.read_text(), {"reach": reach(evidence), "speed": speed(workers)})


if __name__ == "__main__":
    PAGE.write_text(text())
