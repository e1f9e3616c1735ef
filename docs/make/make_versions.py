"""Write docs/versions.md from docs/evidence/versions-*.json and bounds-*.json.

python docs/make/evidence_versions.py --jax 0.8.1,0.12.0.1 --torch 2.15.0
make test-lowest test-newest
python docs/make/make_versions.py
"""

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import sources
from evidence_bounds import ENDS, evidence
from pages import DOCS, EVIDENCE, renamed

from mnist_fn.shared.faults import FAULTS

PAGE = DOCS / "versions.md"
HEAD = """# Which JAX and which PyTorch compute the same

<!-- `python docs/make/make_versions.py` makes this from docs/evidence; do not edit. -->

This page helps you to choose versions of JAX and PyTorch. `mnist-fn doctor --full` checks the
versions that you have.

Each row is a separate environment, made by uv on Python 3.12, with PyTorch on one thread. The
columns are three checks:

- *as XLA decides*: the ladder between JAX and PyTorch (`mnist-fn parity --level quick`), with the
  linear and the shallow model on the embedded digits, in float64 and float32.
- *XNNPACK*: the same ladder with the shallow model on MNIST in float32, where an option (see below)
  makes XLA use XNNPACK's products on any processor. By itself XLA uses them on processors that its
  cost model knows.
- *self-check*: what `mnist-fn doctor --full` reports as wrong.

Most of these checks ran once; the last section has the number of each.
"""
BOUNDS = """The bounds of `pyproject.toml` begin with JAX 0.10, so JAX 0.8 and 0.9 are outside. Flax
up to 0.12.6 fails with JAX 0.11 and newer, because it asks `jax.core` for
`get_opaque_trace_state`; pip doesn't know this. Flax 0.12.7 requires JAX 0.10.
"""
ENDS_HEAD = """## The oldest and the newest versions

`pyproject.toml` has the bounds. The suite of `make test` ran at both ends of them, each in a
separate environment made by uv. The first table covers versions in between. CI (`.ci/run`) runs
both again when bounds or pins have changed.
"""
NAMED = ("jax", "jaxlib", "flax", "optax", "torch", "numpy", "scipy", "typer")
WRONG_HEAD = "| version | what | in mnist-fn |\n|---|---|---|"
STALE = """## The smallest program for jaxlib 0.8.0 and 0.8.1

XNNPACK packs the weights of a product into an order of its own, and XLA kept the packed weights by
their address. Other weights at the same address then gave the product of the earlier weights:

```python
import jax, jax.numpy as jnp, numpy as np

x, room = np.ones((200, 784), "f"), np.empty(784 * 512 * 4 + 64, np.uint8)
start = -room.ctypes.data % 64  # where XLA reads an array without copying it
w = room[start : start + 784 * 512 * 4].view("f").reshape(784, 512)
option = "xla_cpu_experimental_xnn_graph_fusion_mode"
xnnpack = {option: "XNN_GRAPH_FUSION_MODE_BYPASS_COST_MODEL"}
product = jax.jit(jnp.matmul).lower(x, w).compile(compiler_options=xnnpack)
for value in range(3):
    w[...] = value
    print(product(x, jax.device_put(w))[0, 0], "is", 784 * value)
```

The workaround is `XLA_FLAGS=--xla_cpu_use_xnnpack=false`. `wrong_rows` in `mnist_fn/selfcheck.py`
shows the fault of jaxlib 0.10.2 (jax-ml/jax issue 39103).
"""


def documents() -> list[dict[str, Any]]:
    """The evidence, in order of versions and in the present names."""
    files = EVIDENCE.glob("versions-*.json")
    found = [json.loads(path.read_text(), object_hook=renamed) for path in files]
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


def cost(tried: list[dict[str, Any]]) -> str:
    """How long the self-check takes."""
    seconds = sorted(taken for one in tried for taken in one.get("self_check_cpu_seconds", []))
    if not seconds:
        return ""
    return (
        f"`mnist-fn doctor --full` took {seconds[0]:.1f} to {seconds[-1]:.1f} s of processor time "
        f"(median {median(seconds):.1f}, n = {len(seconds)}), with nothing\ncompiled before and "
        "PyTorch on one thread, on a machine that was also doing other work.\n"
    )


def ends() -> Iterator[str]:
    """A table of the suite at both ends of the bounds."""
    kept = list(filter(Path.exists, map(evidence, ENDS)))
    if not kept:
        return
    yield from (ENDS_HEAD, f"| | Python | {' | '.join(NAMED)} | passed | skipped |")
    yield "|" + "---|" * (len(NAMED) + 4)
    for path in kept:
        one = json.loads(path.read_text())
        there = [one["versions"][name] for name in NAMED]
        counts = [str(one["result"][name]) for name in ("passed", "skipped")]
        yield f"| `{one['command']}` | {' | '.join([one['python'], *there, *counts])} |"
    yield ""


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
                    f"These evidence files were computed with {fault.package} {version} and not "
                    f"renewed since: {', '.join(made)}. {wrong}"
                )


def page(tried: list[dict[str, Any]]) -> str:
    """The page as text."""
    lines = [HEAD, "| jax, jaxlib | torch | as XLA decides | XNNPACK | self-check |",
             "|---|---|---|---|---|"]  # fmt: skip
    for one in tried:
        ladders = [verdict(climbs) for climbs in one["ladders"].values()]
        cells = [one["jax"], one["torch"], *ladders, failed(one["checks"])]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", cost(tried), BOUNDS, *ends(), "## Known to be wrong", "", WRONG_HEAD]
    for fault in FAULTS:
        becomes = "excluded by the bounds; where it is installed, a line at the start says so"
        lines.append(f"| {fault.package} {', '.join(fault.versions)} | {fault.what} | {becomes} |")
    lines += ["", *made_beside_wrong(), "", sources.said()]
    machines = "; ".join(sorted({one["machine"] for one in tried}))
    commands = [f"- `{one['command']}` (ladders n = {one['n']}, self-check n = "
                f"{len(one['checks'])})" for one in tried]  # fmt: skip
    return "\n".join([*lines, "", STALE, f"## To repeat it\n\nMeasured on {machines}.\n",
                      *commands]) + "\n"  # fmt: skip


if __name__ == "__main__":
    PAGE.write_text(page(documents()))
