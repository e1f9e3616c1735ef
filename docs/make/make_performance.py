"""Write docs/performance.md and its charts from docs/evidence/bench-*.json.

mnist-fn bench --out docs/evidence/bench-cpu.json
python docs/make/evidence_speed.py
python docs/make/make_performance.py
"""

from pathlib import Path
from typing import Any

import make_cluster
from pages import DOCS, EVIDENCE, PICTURES, table, write_page
from quiet import refuse_if_busy

from figures import bench, build, style
from mnist_fn.shared.bench import report
from mnist_fn.shared.storage import digest_of, read_sealed

PAGE = DOCS / "performance.md"


def evidence() -> list[Path]:
    """The documents, in order of their names; that of workers is docs/cluster.md's."""
    paths = set(EVIDENCE.glob("bench-*.json")) - {make_cluster.WORKERS}
    return sorted(paths, key=lambda path: path.stem)


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
    """How far each contender's own turns lie apart: a machine may have two speeds."""
    spans = []
    for name in ("jax/train", "jax/products", "torch/train", "torch/products", "torch/loop"):
        cpu = document["cpu"][name]
        spans.append(f"{name} {cpu['max'] / cpu['min']:.2f}")
    return f" Slowest turn over fastest, in CPU seconds: {', '.join(spans)}."


def undercut(document: dict[str, Any]) -> list[str]:
    """Epochs of which a turn took less than the floor of its round: then it was none."""
    products, rounds = document["floor"], document["rounds"]
    if products is None:
        return []
    epochs = [name for name in rounds if name.endswith("/train")]
    return [name for name in epochs if report.ratio(rounds, name, products)["min"] < 1]


def same_rounds(document: dict[str, Any]) -> str:
    """The ratios of JAX's epoch in the rounds that all contenders have, and in all of its own."""
    rounds, floor = document["rounds"], document["floor"]
    count = min(map(len, rounds.values()))
    everywhere = report.ratio(rounds, "jax/train", floor)
    first = {name: seconds[:count] for name, seconds in rounds.items()}
    products = report.ratio(first, "jax/train", floor)
    notebook = report.ratio(rounds, "torch/notebook", "jax/train")
    lines = [
        f"In the {count} rounds that all contenders have, JAX's epoch takes "
        f"{products['median']:.2f} times the floor (from {products['min']:.2f} to "
        f"{products['max']:.2f}), and the notebook's way {notebook['median']:.2f} times JAX's "
        f"epoch (from {notebook['min']:.2f} to {notebook['max']:.2f}). In all {everywhere['n']} "
        f"rounds of JAX the first ratio is {everywhere['median']:.2f} (from "
        f"{everywhere['min']:.2f} to {everywhere['max']:.2f}). These are medians with the lowest "
        "and the highest round; the tables have quartiles. Compare ratios of the same rounds only."
    ]
    if names := undercut(document):
        lines.append(
            f"A turn of {', '.join(names)} was faster than the products, so its round has no floor."
        )
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


def change_lines(changes: list[dict[str, Any]]) -> list[str]:
    """What was tried, beside the epoch as it is."""
    lines = ["| change | | of the epoch's time | in CPU seconds |", "|---|---|---:|---:|"]
    for row in changes:
        wall = row["wall"]
        low, high = wall["quartiles"]
        lines.append(
            f"| {row['name']} | {row['what']} | {wall['median']:.2f} ({low:.2f} to {high:.2f}) | "
            f"{row['cpu']['median']:.2f} |"
        )
    return lines


# What this project set out to reach: whether the ratio should be at most or at least so much.
GOALS = {
    "JAX epoch over the products": ("at most", 1.05),
    "notebook's way over JAX": ("at least", 7.5),
    "notebook's way over torch_ref": ("at least", 4.0),
    "torch_ref over the best PyTorch loop": ("at most", 1.1),
}


def goal_table(ratios: list[dict[str, Any]]) -> report.Table:
    """Each ratio with its goal, if it has one, and whether its median meets that."""
    head, rows = report.ratio_table(ratios)
    judged = []
    for measured, row in zip(ratios, rows, strict=True):
        cells = ["", "", ""]
        if measured["name"] in GOALS:
            sense, goal = GOALS[measured["name"]]
            cells = [f"{sense} {goal:g}"]
            for median in (measured["ratio"]["median"], measured["cpu"]["median"]):
                met = median <= goal if sense == "at most" else median >= goal
                cells.append("met" if met else "NOT met")
        judged.append([*row, *cells])
    return [*head, "wanted", "by the clock", "by CPU seconds"], judged


def process_lines(processes: dict[str, Any]) -> list[str]:
    """Whole commands, cold and warm, and their memory."""
    head = "| command | cold [s] | warm [s] | n | peak memory [MB] |"
    lines = [head, "|---|---:|---:|---:|---:|"]
    for name, process in processes.items():
        cold = f"{process['cold']:.2f}" if "cold" in process else ""
        warm, peak = process["warm"]["median"], process["peak_bytes"] / 1e6
        lines.append(f"| {name} | {cold} | {warm:.2f} | {process['warm']['n']} | {peak:.0f} |")
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


def sections() -> dict[str, str]:
    """What stands between the page's markers, by name."""
    parts = []
    for path in evidence():
        document = read_sealed(path, report.SCHEMA)
        refuse_if_busy(path, document["others"], "while contenders took turns")
        config = document["config"]
        versions = ", ".join(f"{name} {number}" for name, number in document["versions"].items())
        shared = ""
        if not document.get("isolated"):
            shared = " This is older than the method above: all contenders shared one process."
        parts += [
            f"## {path.stem.split('-')[1].upper()}: {document['machine']}",
            f"`{document['command']}`: hidden {config['hidden']}, batch {config['batch_size']}, "
            f"{config['precision']}, {document['examples']:,} examples, on {document['device']}."
            f"{shared} {others(document)} Versions: {versions}.",
            f"![seconds an epoch](pictures/{chart_of(path).name})",
            same_rounds(document),
            table(*goal_table(report.ratios(document["rounds"], document["cpu_rounds"]))),
            table(*report.epoch_table(document)),
        ]
        sections = beside(path, document)
        if "parts" in sections:
            parts.append("\n".join(part_lines(sections["parts"])))
        if "changes" in sections:
            parts.append("\n".join(change_lines(sections["changes"])))
        if "processes" in sections:
            parts.append("\n".join(process_lines(sections["processes"])))
        if "widths" in sections and "models" in sections:
            parts.append("These were measured apart from the rounds above, so their times differ:")
            parts.append("\n".join(scaling_lines(sections["widths"], sections["models"])))
        left_out = [
            f"- {name}: {reason}"
            for name, reason in document["left_out"].items()
            if "/" in name  # a contender; documents written before name whole commands too
        ]
        parts += ["Not measured, and why:\n\n" + "\n".join(left_out)] if left_out else []
    return {"bench": "\n\n".join(parts)}


def stamp(path: Path) -> str:
    """The evidence that a chart was drawn from, in its metadata."""
    return f"{path.name} {digest_of(read_sealed(path, report.SCHEMA))}"


def draw() -> None:
    """Draw the chart of each document."""
    for path in evidence():
        with style.themed():
            figure = bench.plot(read_sealed(path, report.SCHEMA)).figure
            build.save(figure, chart_of(path), {"Description": stamp(path)})


if __name__ == "__main__":
    draw()
    write_page(PAGE, sections())
