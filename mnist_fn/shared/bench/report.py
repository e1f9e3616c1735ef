"""The bench's JSON document and the tables made of it, for the screen and for docs alike."""

from typing import Any

from mnist_fn.shared.bench.timing import Turns, fastest, ratio, spread

SCHEMA = 1
FLOORS = ("jax/products", "torch/products")
LOOPS = ("torch/loop", "torch/loop, compiled", "torch/loop, CUDA graph")

# name, what is divided by the sum of what, whether the ratio should be at most or at least, the
# goal; None is no goal: it is what it is
GOALS = (
    ("JAX epoch over the products", "jax/train", ("floor",), "at most", 1.05),
    ("JAX epoch over products and Adam's traffic", "jax/train", ("floor", "jax/traffic"), "", None),
    ("notebook's way over JAX", "torch/notebook", ("jax/train",), "at least", 7.5),
    ("best PyTorch loop over JAX", "best loop", ("jax/train",), "", None),
    ("notebook's way over torch_ref", "torch/notebook", ("torch/train",), "at least", 4.0),
    ("torch_ref over the best PyTorch loop", "torch/train", ("best loop",), "at most", 1.1),
)
SECONDS = {
    "mnist-fn --help": 0.3,
    "mnist-fn train --backend jax": 3.0,
    "mnist-fn parity --level quick": 90.0,
    "make test": 240.0,
}


def document(turns: Turns, **about: Any) -> dict[str, Any]:
    """What was measured and what follows from it.

    Args:
        turns: seconds of an epoch by contender, round by round.
        about: what else belongs into the document, by key.
    """
    times = turns.wall
    floor, loop = fastest(times, FLOORS), fastest(times, LOOPS)
    named = {
        name: contender for name, contender in (("floor", floor), ("best loop", loop)) if contender
    }
    goals = []
    for name, numerator, denominators, sense, goal in GOALS:
        over = [named.get(part, part) for part in (numerator, *denominators)]
        if any(part not in times for part in over):
            continue
        measured = ratio(times, *over)
        goals.append(
            {
                "name": name,
                "sense": sense,
                "goal": goal,
                "ratio": measured,
                "cpu": ratio(turns.cpu, *over),
                "met": _met(measured["median"], sense, goal),
            }
        )
    return {
        "schema": SCHEMA,
        **about,
        "floor": floor,
        "best_loop": loop,
        "epochs": {name: spread(values) for name, values in times.items()},
        "rounds": times,
        "cpu": {name: spread(values) for name, values in turns.cpu.items()},
        "cpu_rounds": turns.cpu,
        "goals": [*goals, *_seconds(about.get("processes", {}))],
    }


def _met(value: float, sense: str, goal: float | None) -> bool | None:
    if goal is None:
        return None
    return bool(value <= goal if sense == "at most" else value >= goal)


def _seconds(processes: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": f"seconds of {name}",
            "sense": "at most",
            "goal": goal,
            "ratio": processes[name]["warm"],
            "met": _met(processes[name]["warm"]["median"], "at most", goal),
        }
        for name, goal in SECONDS.items()
        if name in processes
    ]


def table(document: dict[str, Any]) -> list[str]:
    """Markdown: each contender's epoch in seconds, by the clock and of all threads, and over the
    floor.
    """
    lines = [
        "| contender | an epoch of | median [s] | quartiles [s] | CPU [s] | n | over the floor |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    floor = document["floor"]
    for name, epoch in sorted(document["epochs"].items(), key=lambda item: item[1]["median"]):
        low, high = epoch["quartiles"]
        over = "" if floor is None else f"{ratio(document['rounds'], name, floor)['median']:.2f}"
        lines.append(
            f"| {name} | {document['what'].get(name, '')} | {epoch['median']:.3f} | "
            f"{low:.3f} to {high:.3f} | {_cpu(document, name)} | {epoch['n']} | {over} |"
        )
    return lines


def _cpu(document: dict[str, Any], name: str) -> str:
    times = document.get("cpu", {}).get(name)  # older documents have none
    return f"{times['median']:.3f}" if times else ""


def goal_lines(document: dict[str, Any]) -> list[str]:
    """Markdown: each goal, what was measured, and whether that meets it."""
    lines = [
        "| what | wanted | measured, median (quartiles) | in CPU seconds | |",
        "|---|---:|---:|---:|---|",
    ]
    verdicts = {True: "met", False: "NOT met", None: ""}
    for goal in document["goals"]:
        low, high = goal["ratio"]["quartiles"]
        wanted = "" if goal["goal"] is None else f"{goal['sense']} {goal['goal']:g}"
        cpu = f"{goal['cpu']['median']:.2f}" if "cpu" in goal else ""
        lines.append(
            f"| {goal['name']} | {wanted} | "
            f"{goal['ratio']['median']:.2f} ({low:.2f} to {high:.2f}) | {cpu} | "
            f"{verdicts[goal['met']]} |"
        )
    return lines


PARTS = (
    ("Adam", "jax/train", "jax/no Adam"),
    ("the gather of each batch", "jax/no Adam", "jax/no Adam or gather"),
    ("the penalty", "jax/no Adam or gather", "jax/no Adam, gather or penalty"),
    ("biases, ReLU, loss, metrics", "jax/no Adam, gather or penalty", "jax/products"),
)


def part_lines(document: dict[str, Any]) -> list[str]:
    """Markdown: what lies between JAX's products and its epoch, part by part."""
    rounds = document["rounds"]
    lines = ["| part of JAX's epoch | of its products' time |", "|---|---:|"]
    for name, with_part, without in PARTS:
        if with_part in rounds and without in rounds and "jax/products" in rounds:
            triples = zip(rounds[with_part], rounds[without], rounds["jax/products"], strict=False)
            share = spread([(a - b) / floor for a, b, floor in triples])["median"]
            lines.append(f"| {name} | {share:+.1%} |")
    return lines


def process_lines(document: dict[str, Any]) -> list[str]:
    """Markdown: whole commands, cold and warm, and their memory."""
    lines = ["| command | cold [s] | warm [s] | peak memory [MB] |", "|---|---:|---:|---:|"]
    for name, process in document.get("processes", {}).items():
        cold = f"{process['cold']:.2f}" if "cold" in process else ""
        warm, peak = process["warm"]["median"], process["peak_bytes"] / 1e6
        lines.append(f"| {name} | {cold} | {warm:.2f} | {peak:.0f} |")
    return lines


def scaling_lines(document: dict[str, Any]) -> list[str]:
    """Markdown: over the width, the number of epochs and the number of models."""
    lines = ["| width | epoch [s] | floor [s] | ratio |", "|---:|---:|---:|---:|"]
    for row in document.get("widths", []):
        lines.append(
            f"| {row['width']} | {_ranged(row['epoch'])} | {_ranged(row['floor'])} | "
            f"{row['ratio']['median']:.2f} |"
        )
    lines += ["", "| epochs | seconds | seconds an epoch |", "|---:|---:|---:|"]
    for row in document.get("lengths", []):
        seconds = _ranged(row["train"], row["epochs"])
        lines.append(f"| {row['epochs']} | {row['train']['median']:.3f} | {seconds} |")
    lines += ["", "| models at once | seconds an epoch | seconds a model |", "|---:|---:|---:|"]
    for name, sweep in document.get("sweeps", {}).items():
        models = int(name.rpartition(" ")[2])
        lines.append(f"| {models} | {sweep['median']:.3f} | {_ranged(sweep, models)} |")
    return lines


def _ranged(times: dict[str, Any], shared: int = 1) -> str:
    """Median and quartiles of some seconds, divided among so many."""
    median, low, high = (value / shared for value in (times["median"], *times["quartiles"]))
    return f"{median:.3f} ({low:.3f} to {high:.3f})"
