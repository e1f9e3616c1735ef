"""Write docs/performance.md and its charts from docs/evidence/bench-*.json.

mnist-fn bench --out docs/evidence/bench-cpu.json
python docs/make/make_performance.py
"""

from pathlib import Path

from pages import DOCS, EVIDENCE, PICTURES

from mnist_fn.shared.bench import report as report
from mnist_fn.shared.storage import digest_of, read_sealed

HEAD = """# Performance

<!-- `python docs/make/make_performance.py` makes this from docs/evidence; do not edit. -->

All contenders take turns in one process, round by round; ratios are taken within a round, so that
what slowed the machine slowed both. Compilation is not in an epoch's time; whole commands are
below. The floor is the matrix products of the epoch alone, in the faster of the two libraries.
The contenders with something left out (`jax/no ...`) are the profile of what lies above it.

To measure anew, on a machine that does nothing else:

    mnist-fn bench --out docs/evidence/bench-cpu.json
    mnist-fn bench --device gpu --out docs/evidence/bench-gpu.json     # where there is a GPU
    mnist-fn bench --device gpu --quick --trace trace                  # its kernels by name
    mnist-fn bench --device gpu --quick --precision tf32               # or bf16: what they gain
    mnist-fn parity --level statistics --seeds 30 --device gpu --backends jax,jax \\
        --precision float32,tf32 --out runs-gpu                        # and what they cost
    python docs/make/make_performance.py

What lies above the floor, and what did not help. XLA makes one loop of each of Adam's three
results, and each element takes a square root and three divisions; PyTorch's arrangement of the
formula takes one division, but the results would no longer be optax's to the last bit, for some
2 % of an epoch. Without gain were: an unrolled scan (2, 4 steps), gathering the epoch's examples
at once, updating Adam in blocks that fit the cache, XNNPACK, oneDNN and YNNPACK products, XLA's
other CPU scheduler. Vectors as wide as AVX-512 has do help, and are used.

Compiled programs and decompressed data are kept in the user's cache folder, which is why a second
start is faster; `MNIST_FN_CACHE=off` switches that off, and a folder that can't be written is done
without.

A sweep on a CPU runs its models one after another through one compiled program: `vmap` was slower
there. On a GPU they go through one vmapped program; see `mnist_fn/capacity.py`.
"""


def evidence() -> list[Path]:
    """The documents, in order of their names."""
    return sorted(EVIDENCE.glob("bench-*.json"))


def chart_of(path: Path) -> Path:
    return PICTURES / f"{path.stem}.svg"


def text() -> str:
    """What docs/performance.md should say."""
    parts = [HEAD]
    for path in evidence():
        document = read_sealed(path, report.SCHEMA)
        config, load = document["config"], document["load_average"]
        versions = ", ".join(f"{name} {number}" for name, number in document["versions"].items())
        parts += [
            f"## {path.stem.removeprefix('bench-').upper()}: {document['machine']}",
            f"`{document['command']}`: hidden {config['hidden']}, batch {config['batch_size']}, "
            f"{config['precision']}, {document['examples']:,} examples, on {document['device']}. "
            f"Load average before {load['before'][0]:g}, after {load['after'][0]:g}. "
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
