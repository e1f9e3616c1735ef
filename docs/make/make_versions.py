"""Write what docs/versions.md has from docs/evidence/versions-*.json and bounds-*.json.

python docs/make/evidence_versions.py --jax 0.8.1,0.12.0.1 --torch 2.15.0
make test-lowest test-newest
python docs/make/make_versions.py
"""

from collections.abc import Iterator
from typing import Any

import sources
from evidence_bounds import ENDS
from pages import DOCS, EVIDENCE, read_evidence, table, write_page

from mnist_fn.shared.faults import FAULTS

PAGE = DOCS / "versions.md"
NAMED = ("jax", "jaxlib", "flax", "optax", "torch", "numpy", "scipy", "typer")


def documents() -> list[dict[str, Any]]:
    """The evidence, in order of versions and in the present names."""
    found = [read_evidence(path.stem) for path in EVIDENCE.glob("versions-*.json")]
    return sorted(found, key=lambda d: (_numbers(d["torch"]), _numbers(d["jax"])))


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def verdict(climbs: list[dict[str, Any]]) -> str:
    """`holds`, or how often and where a ladder fails."""
    unknown = [climb["error"] for climb in climbs if "error" in climb]
    if unknown:
        return f"**not known** {len(unknown)} of {len(climbs)}: {unknown[0]}"
    parted = [
        f"{name}: {where['rung']} ({where['what']})" if isinstance(where, dict) else str(where)
        for climb in climbs
        for name, where in climb.items()
        if where is not None
    ]
    if not parted:
        return "holds" + (f", {len(climbs)} times" if len(climbs) > 1 else "")
    wrong = sum(any(where is not None for where in climb.values()) for climb in climbs)
    return f"**differs** {wrong} of {len(climbs)}: {parted[0]}"


def failed(checks: list[dict[str, Any]]) -> str:
    """What the self-check found wrong, and how often."""
    counts: dict[str, list[str]] = {}
    for run in checks:
        for name, check in run.items():
            if not check["passed"]:
                counts.setdefault(name, []).append(check["found"])
    return "; ".join(f"**{name}** {len(found)} of {len(checks)} times: {found[0]}"
                     for name, found in counts.items()) or "nothing"  # fmt: skip


def ends() -> str:
    """A table of the suite at both ends of the bounds."""
    rows = []
    for end in ENDS:
        one = read_evidence(f"bounds-{end}")
        there = [one["versions"][name] for name in NAMED]
        counts = [one["result"][name] for name in ("passed", "skipped")]
        rows.append([f"`{one['command']}`", one["python"], *there, *counts, one["machine"]])
    return table(["", "Python", *NAMED, "passed", "skipped", "on"], rows)


def made_beside_wrong() -> Iterator[str]:
    """Which evidence of the other pages is of an environment with a version that is wrong."""
    others = [path for path in sorted(EVIDENCE.glob("*.json")) if "versions-" not in path.name]
    for fault in FAULTS:
        for version in fault.versions:
            stamp = f'"{fault.package}": "{version}"'
            if made := [f"`{path.stem}`" for path in others if stamp in path.read_text()]:
                wrong = (
                    "They **may be wrong**."
                    if fault.on_path
                    else ("No backend computes what this version gets wrong.")
                )
                yield (
                    f"These evidence files were computed with {fault.package} {version}, some of "
                    f"them in part, and not renewed since: {', '.join(made)}. {wrong}"
                )


def sections(tried: list[dict[str, Any]] | None = None) -> dict[str, str]:
    """What stands between the page's markers, by name."""
    tried = documents() if tried is None else tried
    rows = []
    for one in tried:
        ladders = [verdict(climbs) for climbs in one["ladders"].values()]
        release = one["versions"].get("mnist-fn", "")
        rows.append([one["jax"], one["torch"], release, *ladders, failed(one["checks"])])
    head = ["jax, jaxlib", "torch", "mnist-fn", "as XLA decides", "XNNPACK", "self-check"]
    checks = table(head, rows)
    kept_out = "excluded by the bounds; where it is installed, a line at the start says so"
    faults = [
        [f"{fault.package} {', '.join(fault.versions)}", fault.what, kept_out] for fault in FAULTS
    ]
    commands = [f"- `{one['command']}` (ladders n = {one['n']}, self-check n = "
                f"{len(one['checks'])}; {one['machine']})" for one in tried]  # fmt: skip
    return {
        "checks": checks,
        "ends": ends(),
        "wrong": table(["version", "what", "in mnist-fn"], faults),
        "older": "\n\n".join([*made_beside_wrong(), sources.sentence()]),
        "commands": "\n".join(commands),
    }


if __name__ == "__main__":
    write_page(PAGE, sections())
