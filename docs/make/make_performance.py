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

All contenders take turns in one process, round by round; ratios are taken within a round, and
contenders are ranked in the rounds that all of them have, so that what slowed the machine slowed
all. Beside the clock's seconds stand CPU seconds, of all threads of the process, which others' work
touches less. `--out` is refused if others use more than a tenth of the machine's cores, before it
begins or while contenders take turns. Compilation is not in an epoch's time; whole commands are
below.

There are two floors: the matrix products of the epoch alone, in the faster of the two libraries,
and these with the least traffic that Adam needs, which is to read weights, both moments and
gradients and to write the first three. The distance to the second is what could still be had. The
contenders with something left out (`jax/no ...`) are the profile of what lies between.

The PyTorch loops are the fastest that we know to write, not what a tutorial has: data in memory,
each batch gathered into one buffer (`index_select(out=...)`), the penalty as Adam's
`weight_decay=2λ` on the kernels alone, denormals flushed in a thread that has its own team, fused
Adam; and as another the whole step in one `torch.compile`, gradients by `torch.func` and Adam
written out, so that one pass does it. On a GPU the eager step is a CUDA graph besides. They count
the loss and nothing else.

To measure anew, on a machine that does nothing else:

    mnist-fn bench --out docs/evidence/bench-cpu.json
    make gpu-evidence                                                  # where there is a GPU
    mnist-fn bench --device gpu --quick --trace trace                  # its kernels by name
    mnist-fn parity --level statistics --seeds 30 --device gpu --backends jax,jax \\
        --precision float32,tf32 --out runs-gpu                        # what TF32 costs
    python docs/make/make_performance.py

What lies above the floor, and what did not help. XLA makes one loop of each of Adam's three
results. Each of these was measured beside the epoch as it is, in 9 paired rounds of 20,000
examples, in CPU seconds on one core of a *busy* machine (AMD EPYC with AVX-512, jax 0.10.2, batch
200, 512 units), so a percent or so is noise. By hand: no command makes these again, and
nothing that this section says is in the evidence:

| tried | of the epoch's time | bits |
|---|---:|---|
| batches gathered with `mode="promise_in_bounds"` | 1.005 | the same |
| 2λW added to the gradient instead of λΣW² in the loss | 1.006 | the same |
| PyTorch's arrangement of Adam, one division | 1.010 | others (3e-8 in a weight after 100 steps) |
| optax's Adam, bias corrections as products | 1.011 | others (2e-8) |
| all weights and moments in one flat buffer each | 1.048 | others (2e-6) |
| (plain gradient descent: without Adam altogether) | 0.919 | |

None is kept. The scan's carry is donated already and updated where it lies. Without gain were
before: an unrolled scan (2, 4 steps), gathering the epoch's examples at once, updating Adam in
blocks that fit the cache, XNNPACK, oneDNN and YNNPACK products, XLA's other CPU scheduler. Vectors
as wide as AVX-512 has do help, and are used.

Compiled programs and decompressed data are kept in the user's cache folder, which is why a second
start is faster; `MNIST_FN_CACHE=off` switches that off, and a folder that can't be written is done
without.

A sweep on a CPU runs its models one after another through one compiled program: `vmap` was slower
there. On a GPU they go through one vmapped program; see `mnist_fn/capacity.py`.
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
        f"Other processes used {found['cores']:.2f} of {found['of']} cores meanwhile; what lies "
        f"outside of this virtual machine is not seen.{_speeds(document)}"
    )


def _speeds(document: dict[str, Any]) -> str:
    """How far one contender's own turns lie apart: a machine may have two speeds."""
    wall, cpu = document["epochs"]["jax/train"], document["cpu"]["jax/train"]
    return (
        f" An epoch of jax took {wall['min']:.3f} to {wall['max']:.3f} s in its {wall['n']} turns, "
        f"{cpu['min']:.3f} to {cpu['max']:.3f} in CPU seconds."
    )


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
        parts += ["Left out:\n\n" + "\n".join(left_out)] if left_out else []
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
