"""Write what docs/reliability.md has from docs/evidence/reliability-*.json and mutants.json.

python docs/make/make_reliability.py
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pages import DOCS, EVIDENCE, read_evidence, table, versions_of, write_page

from mnist_fn.shared import statistics
from mnist_fn.shared.runs.environment import versions
from mnist_fn.shared.wording import counted
from tests.support.losses import LOST, Result

PAGE = DOCS / "reliability.md"


def shown(lost: int) -> str:
    return str(lost) if lost == 0 else f"**{lost}**"


def kills(r: Result) -> tuple[str, str]:
    phases = ", ".join(f"{count} in {phase}" for phase, count in r["by_phase"].items())
    bound = ""
    if not LOST["kills"](r):
        compared = r["runs_finished_and_compared"]
        rates = [statistics.proportion_interval(0, n)[1] for n in (r["kills"], compared)]
        bound = (
            f"; with none lost the rate is below {rates[0]:.1%} for a kill and below "
            f"{rates[1]:.0%} for a finished run and its evaluation (95 %)"
        )
    return ("After `kill -9` at any moment a run resumes: its weights, metrics and evaluation "
            "equal the uninterrupted run's, byte for byte, with no epoch twice or missing",
            f"{r['kills']} kills at random moments of runs on the 8 × 8 digits ({phases}), rows, "
            "weights and moments compared after each; "
            f"{r['runs_finished_and_compared']} finished runs compared{bound}")  # fmt: skip


def hostile(r: Result) -> tuple[str, str]:
    readers = ", ".join(r["by_reader"])
    return ("A hostile data, config or run file is refused in one line, or what is read of it is "
            "well-formed, and of a damaged run unchanged; memory is bounded",
            f"{r['inputs']:,} inputs to {len(r['by_reader'])} readers ({readers}); at most "
            f"{r['limit_mb']} MB to allocate")  # fmt: skip


def memory(r: Result) -> tuple[str, str]:
    return ("Memory hardly grows over many epochs",
            f"{r['epochs']:,} short epochs on the 8 × 8 digits: {r['growth_mb']:+.1f} MB, at most "
            f"{r['limit_mb']} allowed")  # fmt: skip


def peak(r: Result) -> tuple[str, str]:
    return (f"Peak memory of `{r['job']}` on MNIST stays under {r['limit_mb']:,} MB",
            f"{r['peak_mb']:,} MB in {r['epochs']} epochs")  # fmt: skip


def parallel(r: Result) -> tuple[str, str]:
    return ("Parallel runs in different folders don't disturb each other",
            f"{r['processes']} at once on the 8 × 8 digits, compared byte for byte")  # fmt: skip


def reproducible(r: Result) -> tuple[str, str]:
    return ("The same config on the same machine gives the same bytes, on the CPU",
            f"{r['runs']} runs of 2 epochs of MNIST, {r['under_load']} of them under load on "
            "every core, each compared with the first")  # fmt: skip


CHECKS: dict[str, Callable[[Result], tuple[str, str]]] = {
    check.__name__: check for check in (kills, hostile, parallel, reproducible, memory, peak)
}


def documents(folder: Path = EVIDENCE) -> list[dict[str, Any]]:
    """The evidence, in the order of the page."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("reliability-*.json"))]
    order = list(CHECKS)
    return sorted(found, key=lambda d: (order.index(d["check"]), d["backend"] or ""))


def sections(evidence: list[dict[str, Any]] | None = None) -> dict[str, str]:
    """What stands between the page's markers, by name."""
    evidence = documents() if evidence is None else evidence
    rows = []
    for document in evidence:
        check, result = document["check"], document["result"]
        promise, tried = CHECKS[check](result)
        rows.append([promise, document["backend"] or "both", tried, shown(LOST[check](result))])
    commands = "\n".join(f"- `{one['command']}` ({where(one)})" for one in evidence)
    measured = table(["promised", "on", "tried", "lost"], rows)
    return {"measured": f"{measured}{older(evidence)}", "mutants": mutants(), "commands": commands}


def older(evidence: list[dict[str, Any]]) -> str:
    """Which of these were tried with an older version of this project."""
    present = versions()["mnist-fn"]
    tried = {document["versions"]["mnist-fn"] for document in evidence}
    past = sorted(tried - {present})
    if not past:
        return ""
    which = "all" if present not in tried else "some"
    return (
        f"\n\nOf these, {which} were tried with mnist-fn {' and '.join(past)}. This is {present}; "
        "its readers and its format of runs are newer. The tests below run on the present code."
    )


def mutants() -> str:
    """How many mutants of each room its tests leave alive."""
    document = read_evidence("mutants")
    rows = []
    for counts in document["rooms"].values():
        survivors = f"{len(counts['survivors'])} ({len(counts['survivors']) / counts['tried']:.1%})"
        rows.append([f"`{counts['command']}`", counts["mutants"], counts["tried"], survivors])
    made = f"{document['machine']}; {versions_of(document, 'python', 'numpy')}"
    return f"{table(['command', 'mutants', 'tried', 'survive'], rows)}\n\n{made}"


def where(document: dict[str, Any]) -> str:
    """The machine, threads and versions of a check."""
    names = {"jax": ("jax",), "torch": ("torch",)}.get(document["backend"], ("numpy",))
    threads = [counted(n, "thread") for n in document.get("threads", []) if n]
    unknown = [] if "threads" in document else ["threads not recorded"]
    used = versions_of(document, "python", *names, "mnist-fn")
    return "; ".join([document["machine"], *threads, *unknown, used])


if __name__ == "__main__":
    write_page(PAGE, sections())
