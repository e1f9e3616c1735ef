"""Write docs/performance.md and its charts from docs/evidence/bench-*.json.

mnist-fn bench --out docs/evidence/bench-cpu.json
python docs/make/evidence_speed.py
python docs/make/make_performance.py
"""

from pathlib import Path
from typing import Any

import make_cluster
from pages import DOCS, EVIDENCE, PICTURES

from mnist_fn.shared.bench import report
from mnist_fn.shared.storage import digest_of, read_sealed

HEAD = """# Performance

<!-- `python docs/make/make_performance.py` makes this from docs/evidence; do not edit. -->

This page says how long an epoch takes on JAX and on PyTorch, and how far each is from the work that
no program can avoid. You can measure your own machine, while it does nothing else:

    mnist-fn bench --out docs/evidence/bench-cpu.json
    python docs/make/evidence_speed.py                      # commands, widths, parts of the epoch
    python docs/make/evidence_speed.py --trace FOLDER       # kernels of an epoch by name
    make gpu-evidence                                       # where there is a GPU
    mnist-fn parity --level statistics --seeds 30 --device gpu --backends jax,jax \\
        --precision float32,tf32 --out runs-gpu                        # what TF32 costs
    python docs/make/make_performance.py

No GPU was at hand for the numbers on this page.

## How it is measured

Contenders take turns, round by round. Each turn is a process of its own, which repeats the epoch
until a second has passed and gives the median; so no contender leaves anything behind for the next.
A ratio of two contenders is taken within a round, so a slow moment of the machine slows both sides.
CPU seconds count all threads of the process; other processes disturb them less than the clock's
seconds. `--out` refuses to write evidence if other processes use more than a tenth of the machine's
cores. An epoch's time excludes compilation. Whole commands have a table of their own.

The floor is the fastest turn of an epoch's matrix products, in the faster of the two libraries; an
epoch does these products and more. A second floor adds the least traffic that Adam needs: read
weights, both moments and gradients, and write the first three. A contender named `jax/no ...`
leaves something out, which shows what that part costs.

The PyTorch loops are the fastest that we know how to write. They keep the data in memory and gather
each batch into one buffer (`index_select(out=...)`). The penalty is Adam's `weight_decay=2λ` on the
kernels only, denormals are flushed, and Adam is fused. One loop compiles the whole step with
`torch.compile`. On a GPU the eager step is a CUDA graph. These loops count the loss and nothing
else.
"""
TAIL = """## What was tried and not kept

This section was measured by hand: no command repeats it, and no evidence file holds it. Each change
was compared with the epoch as it is, in 9 paired rounds of 20,000 examples, in CPU seconds on one
core of a *busy* machine (AMD EPYC with AVX-512, jax 0.10.2, batch 200, 512 units). A percent or so
is noise.

| change | of the epoch's time | bits |
|---|---:|---|
| batches gathered with `mode="promise_in_bounds"` | 1.005 | the same |
| 2λW added to the gradient instead of λΣW² in the loss | 1.006 | the same |
| PyTorch's arrangement of Adam, one division | 1.010 | others (3e-8 in a weight after 100 steps) |
| optax's Adam, bias corrections as products | 1.011 | others (2e-8) |
| all weights and moments in one flat buffer each | 1.048 | others (2e-6) |
| (for comparison: plain gradient descent, no Adam) | 0.919 | |

Earlier, without a record of the figures, these brought nothing either: an unrolled scan (2 or 4
steps), gathering the epoch's examples at once, updating Adam in blocks that fit the cache, products
by XNNPACK, oneDNN or YNNPACK, and XLA's other CPU scheduler.

## Start and sweeps

Compiled programs and decompressed data are kept in the user's cache folder, so a second start is
faster. `MNIST_FN_CACHE=off` switches the cache off. If the folder can't be written, nothing is
kept.

On a CPU, a sweep runs its models one after another through one compiled program. On a GPU they go
through one vmapped program (`mnist_fn/capacity.py`).
"""


def evidence() -> list[Path]:
    """The documents, in order of their names; that of workers is docs/cluster.md's."""
    return sorted(set(EVIDENCE.glob("bench-*.json")) - {make_cluster.WORKERS})


def chart_of(path: Path) -> Path:
    return PICTURES / f"{path.stem}.svg"


def others(document: dict[str, Any]) -> str:
    """How quiet the machine was."""
    load = document["others"]
    return (
        f"Other processes of this virtual machine used {load['cores']:.2f} of {load['of']} cores "
        f"meanwhile; work outside of it can't be measured from within.{_speeds(document)}"
    )


def _speeds(document: dict[str, Any]) -> str:
    """How far one contender's own turns lie apart: a machine may have two speeds."""
    wall, cpu = document["epochs"]["jax/train"], document["cpu"]["jax/train"]
    return (
        f" An epoch of jax took {wall['min']:.3f} to {wall['max']:.3f} s in its {wall['n']} turns, "
        f"{cpu['min']:.3f} to {cpu['max']:.3f} in CPU seconds."
    )


def same_rounds(document: dict[str, Any]) -> str:
    """The ratios of JAX's epoch in the rounds that all contenders have, and in all of its own."""
    rounds, floor = document["rounds"], document["epochs"][document["floor"]]["min"]
    count = min(map(len, rounds.values()))
    everywhere = report.spread([seconds / floor for seconds in rounds["jax/train"]])
    products = report.spread([seconds / floor for seconds in rounds["jax/train"][:count]])
    notebook = report.ratio(rounds, "torch/notebook", "jax/train")
    lines = [
        f"In the {count} rounds that all contenders have, JAX's epoch takes "
        f"{products['median']:.2f} times the floor ({products['min']:.2f} to "
        f"{products['max']:.2f}), and the notebook's way {notebook['median']:.2f} times JAX's "
        f"epoch ({notebook['min']:.2f} to {notebook['max']:.2f}). In all {everywhere['n']} rounds "
        f"of JAX the first ratio is {everywhere['median']:.2f} "
        f"({everywhere['min']:.2f} to {everywhere['max']:.2f}). Compare ratios of the same rounds."
    ]
    if names := report.undercut(document):
        lines.append(f"A turn of {', '.join(names)} took less than the floor, which is none then.")
    return " ".join(lines)


PARTS = (
    ("Adam", "jax/train", "jax/no Adam"),
    ("the gather of each batch", "jax/no Adam", "jax/no Adam or gather"),
    ("the penalty", "jax/no Adam or gather", "jax/no Adam, gather or penalty"),
    ("biases, ReLU, loss, metrics", "jax/no Adam, gather or penalty", "jax/products"),
)


def part_lines(rounds: dict[str, list[float]]) -> list[str]:
    """What lies between JAX's products and its epoch, part by part."""
    lines = ["| part of JAX's epoch | of its products' time |", "|---|---:|"]
    for name, with_part, without in PARTS:
        triples = zip(rounds[with_part], rounds[without], rounds["jax/products"], strict=True)
        share = report.spread([(a - b) / floor for a, b, floor in triples])["median"]
        lines.append(f"| {name} | {share:+.1%} |")
    return lines


def process_lines(processes: dict[str, Any]) -> list[str]:
    """Whole commands, cold and warm, and their memory."""
    lines = ["| command | cold [s] | warm [s] | peak memory [MB] |", "|---|---:|---:|---:|"]
    for name, process in processes.items():
        cold = f"{process['cold']:.2f}" if "cold" in process else ""
        warm, peak = process["warm"]["median"], process["peak_bytes"] / 1e6
        lines.append(f"| {name} | {cold} | {warm:.2f} | {peak:.0f} |")
    return lines


def scaling_lines(widths: list[dict[str, Any]], models: dict[str, Any]) -> list[str]:
    """Over the width and the number of models."""
    lines = ["| width | epoch [s] | products [s] | ratio |", "|---:|---:|---:|---:|"]
    for row in widths:
        lines.append(
            f"| {row['width']} | {_ranged(row['epoch'])} | {_ranged(row['floor'])} | "
            f"{row['ratio']['median']:.2f} |"
        )
    lines += ["", "| models at once | seconds an epoch | seconds a model |", "|---:|---:|---:|"]
    for name, times in models.items():
        count = int(name.rpartition(" ")[2])
        lines.append(f"| {count} | {times['median']:.3f} | {_ranged(times, count)} |")
    return lines


def _ranged(times: dict[str, Any], shared: int = 1) -> str:
    """Median and quartiles of some seconds, divided among so many."""
    median, low, high = (value / shared for value in (times["median"], *times["quartiles"]))
    return f"{median:.3f} ({low:.3f} to {high:.3f})"


def beside(path: Path, document: dict[str, Any]) -> dict[str, Any]:
    """What lies beside an epoch, by section; once it was in the bench's own document."""
    speed = path.with_name(path.name.replace("bench-", "speed-"))
    if speed.exists():
        return read_sealed(speed, report.SCHEMA)
    sections = {name: document[name] for name in ("processes", "widths") if name in document}
    if "sweeps" in document:
        sections["models"] = document["sweeps"]
    if "jax/no Adam" in document["rounds"]:
        sections["parts"] = document["rounds"]
    return sections


def text() -> str:
    """What docs/performance.md should say."""
    parts = [HEAD]
    for path in evidence():
        document = read_sealed(path, report.SCHEMA)
        config = document["config"]
        versions = ", ".join(f"{name} {number}" for name, number in document["versions"].items())
        shared = "" if document.get("isolated") else " All contenders shared one process then."
        parts += [
            f"## {path.stem.removeprefix('bench-').upper()}: {document['machine']}",
            f"`{document['command']}`: hidden {config['hidden']}, batch {config['batch_size']}, "
            f"{config['precision']}, {document['examples']:,} examples, on {document['device']}."
            f"{shared} {others(document)} Versions: {versions}.",
            f"![seconds an epoch](pictures/{chart_of(path).name})",
            same_rounds(document),
            "\n".join(report.goal_lines(report.goals(document["rounds"], document["cpu_rounds"]))),
            "\n".join(report.table(document)),
        ]
        sections = beside(path, document)
        if "parts" in sections:
            parts.append("\n".join(part_lines(sections["parts"])))
        if "processes" in sections:
            parts.append("\n".join(process_lines(sections["processes"])))
        if "widths" in sections and "models" in sections:
            parts.append("\n".join(scaling_lines(sections["widths"], sections["models"])))
        left_out = [
            f"- {name}: {reason}"
            for name, reason in document["left_out"].items()
            if "/" in name  # a contender; documents written before name whole commands too
        ]
        parts += ["Not measured, and why:\n\n" + "\n".join(left_out)] if left_out else []
    parts.append(TAIL)
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def stamp(path: Path) -> str:
    """The evidence that a chart was drawn from, in its metadata."""
    return f"{path.name} {digest_of(read_sealed(path, report.SCHEMA))}"


def write() -> None:
    from figures import bench, style
    from figures.build import save

    (DOCS / "performance.md").write_text(text())
    for path in evidence():
        with style.themed():
            figure = bench.plot(read_sealed(path, report.SCHEMA)).figure
            save(figure, chart_of(path), {"Description": stamp(path)})


if __name__ == "__main__":
    write()
