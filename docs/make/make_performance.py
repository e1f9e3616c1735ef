"""Write docs/performance.md and its charts from docs/evidence/bench-*.json.

mnist-fn bench --out docs/evidence/bench-cpu.json
python docs/make/make_performance.py
"""

from pathlib import Path
from typing import Any

import make_cluster
from pages import DOCS, EVIDENCE, PICTURES

from mnist_fn.shared.bench import report as report
from mnist_fn.shared.storage import digest_of, read_sealed

HEAD = """# Performance

<!-- `python docs/make/make_performance.py` makes this from docs/evidence; do not edit. -->

This page says how long an epoch takes on JAX and on PyTorch, and how far each is from the work that
no program can avoid. You can measure your own machine, while it does nothing else:

    mnist-fn bench --out docs/evidence/bench-cpu.json
    make gpu-evidence                                                  # where there is a GPU
    mnist-fn bench --device gpu --quick --trace trace                  # its kernels by name
    mnist-fn parity --level statistics --seeds 30 --device gpu --backends jax,jax \\
        --precision float32,tf32 --out runs-gpu                        # what TF32 costs
    python docs/make/make_performance.py

No GPU was at hand for the numbers on this page.

## How it is measured

Contenders take turns, round by round. A ratio is taken within a round, so a slow moment of the
machine slows both sides. CPU seconds count all threads of the process; other processes disturb them
less than the clock's seconds. `--out` refuses to write evidence if other processes use more than a
tenth of the machine's cores. An epoch's time excludes compilation. Whole commands have a table of
their own.

The floor is the time of an epoch's matrix products, in the faster of the two libraries. A second
floor adds the least traffic that Adam needs: read weights, both moments and gradients, and write
the first three. A contender named `jax/no ...` leaves something out, which shows what that part
costs.

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
    if "others" not in document:  # of a version that knew the load average alone
        load = document["load_average"]
        return f"Load average before {load['before'][0]:g}, after {load['after'][0]:g}."
    found = document["others"]
    return (
        f"Other processes of this virtual machine used {found['cores']:.2f} of {found['of']} cores "
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
    floor, rounds = document["floor"], document["rounds"]
    count = min(map(len, rounds.values()))
    paired = {name: times[:count] for name, times in rounds.items()}
    products, notebook = (
        report.ratio(paired, *names)
        for names in (("jax/train", floor), ("torch/notebook", "jax/train"))
    )
    everywhere = report.ratio(rounds, "jax/train", floor)
    lines = [
        f"In the {count} rounds that all contenders have, JAX's epoch takes "
        f"{products['median']:.2f} times its products ({products['min']:.2f} to "
        f"{products['max']:.2f}), and the notebook's way {notebook['median']:.2f} times JAX's "
        f"epoch ({notebook['min']:.2f} to {notebook['max']:.2f}). In all {everywhere['n']} rounds "
        f"of JAX and its products the first ratio is {everywhere['median']:.2f} "
        f"({everywhere['min']:.2f} to {everywhere['max']:.2f}). Compare ratios of the same rounds."
    ]
    if everywhere["min"] < 1:
        lines.append(
            "In at least one round the epoch took less time than its products, so `products` is an "
            "estimate of the floor and no strict bound."
        )
    return " ".join(lines)


def text() -> str:
    """What docs/performance.md should say."""
    parts = [HEAD]
    for path in evidence():
        document = read_sealed(path, report.SCHEMA)
        config = document["config"]
        versions = ", ".join(f"{name} {number}" for name, number in document["versions"].items())
        parts += [
            f"## {path.stem.removeprefix('bench-').upper()}: {document['machine']}",
            f"`{document['command']}`: hidden {config['hidden']}, batch {config['batch_size']}, "
            f"{config['precision']}, {document['examples']:,} examples, on {document['device']}. "
            f"{others(document)} "
            f"Versions: {versions}.",
            f"![seconds an epoch](pictures/{chart_of(path).name})",
            same_rounds(document),
            *(
                "\n".join(lines)
                for lines in (
                    report.goal_lines(document),
                    report.table(document),
                    report.part_lines(document),
                )
            ),
        ]
        if "processes" in document:
            parts += ["\n".join(report.process_lines(document))]
            parts += ["\n".join(report.scaling_lines(document))]
        left_out = [f"- {name}: {reason}" for name, reason in document["left_out"].items()]
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
