"""The bench's JSON document and the tables made of it, for the screen and for docs alike."""

from typing import Any

from mnist_fn.shared.bench.timing import ratio, spread

SCHEMA = 1
FLOORS = ("jax/products", "torch/products")
LOOPS = ("torch/loop", "torch/loop, compiled")

# name, what is divided by what, whether the ratio should be at most or at least, the goal
GOALS = (
    ("JAX epoch over the floor", "jax/train", "floor", "at most", 1.05),
    ("notebook's way over JAX", "torch/notebook", "jax/train", "at least", 8.0),
    ("best PyTorch loop over JAX", "best loop", "jax/train", "at least", 1.3),
    ("notebook's way over torch_ref", "torch/notebook", "torch/train", "at least", 4.0),
    ("torch_ref over the best PyTorch loop", "torch/train", "best loop", "at most", 1.1),
)
SECONDS = (("--help", "warm", 0.3), ("train --backend jax", "warm", 3.0))


def document(times: dict[str, list[float]], **about: Any) -> dict[str, Any]:
    """What was measured and what follows from it.

    Args:
        times: seconds of an epoch by contender, round by round.
        about: what else belongs into the document, by key.
    """
    floor, loop = _fastest(times, FLOORS), _fastest(times, LOOPS)
    named = {"floor": floor, "best loop": loop}
    goals = []
    for name, above, below, sense, goal in GOALS:
        above, below = named.get(above, above), named.get(below, below)
        if above not in times or below not in times:
            continue
        found = ratio(times, above, below)
        met = found["median"] <= goal if sense == "at most" else found["median"] >= goal
        goals.append({"name": name, "sense": sense, "goal": goal, "ratio": found, "met": bool(met)})
    return {
        "schema": SCHEMA,
        **about,
        "floor": floor,
        "best_loop": loop,
        "epochs": {name: spread(values) for name, values in times.items()},
        "rounds": times,
        "goals": [*goals, *_seconds(about.get("processes", {}))],
    }


def _fastest(times: dict[str, list[float]], names: tuple[str, ...]) -> str | None:
    there = [name for name in names if times.get(name)]
    return min(there, key=lambda name: spread(times[name])["median"], default=None)


def _seconds(processes: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": f"seconds of mnist-fn {name}",
            "sense": "at most",
            "goal": goal,
            "ratio": processes[name][which],
            "met": processes[name][which]["median"] <= goal,
        }
        for name, which, goal in SECONDS
        if name in processes
    ]


def table(document: dict[str, Any]) -> list[str]:
    """Markdown: each contender's epoch in seconds and over the floor."""
    lines = [
        "| contender | an epoch of | median [s] | quartiles [s] | n | over the floor |",
        "|---|---|---:|---:|---:|---:|",
    ]
    floor = document["floor"]
    for name, one in sorted(document["epochs"].items(), key=lambda item: item[1]["median"]):
        low, high = one["quartiles"]
        over = "" if floor is None else f"{ratio(document['rounds'], name, floor)['median']:.2f}"
        lines.append(
            f"| {name} | {document['what'].get(name, '')} | {one['median']:.3f} | "
            f"{low:.3f} to {high:.3f} | {one['n']} | {over} |"
        )
    return lines


def goal_lines(document: dict[str, Any]) -> list[str]:
    """Markdown: each goal, what was measured, and whether that meets it."""
    lines = ["| goal | wanted | measured, median (quartiles) | |", "|---|---:|---:|---|"]
    for goal in document["goals"]:
        low, high = goal["ratio"]["quartiles"]
        lines.append(
            f"| {goal['name']} | {goal['sense']} {goal['goal']:g} | "
            f"{goal['ratio']['median']:.2f} ({low:.2f} to {high:.2f}) | "
            f"{'met' if goal['met'] else 'NOT met'} |"
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
    for name, whole, without in PARTS:
        if whole in rounds and without in rounds and "jax/products" in rounds:
            triples = zip(rounds[whole], rounds[without], rounds["jax/products"], strict=False)
            share = spread([(a - b) / floor for a, b, floor in triples])["median"]
            lines.append(f"| {name} | {share:+.1%} |")
    return lines


def process_lines(document: dict[str, Any]) -> list[str]:
    """Markdown: whole commands, cold and warm, and their memory."""
    lines = ["| command | cold [s] | warm [s] | peak memory [MB] |", "|---|---:|---:|---:|"]
    for name, one in document.get("processes", {}).items():
        cold = f"{one['cold']:.2f}" if "cold" in one else ""
        lines.append(
            f"| mnist-fn {name} | {cold} | {one['warm']['median']:.2f} | "
            f"{one['peak_bytes'] / 1e6:.0f} |"
        )
    return lines


def scaling_lines(document: dict[str, Any]) -> list[str]:
    """Markdown: over the width, the number of epochs and the number of models."""
    lines = ["| width | epoch [s] | floor [s] | ratio |", "|---:|---:|---:|---:|"]
    for row in document.get("widths", []):
        lines.append(
            f"| {row['width']} | {row['epoch']['median']:.3f} | {row['floor']['median']:.3f} | "
            f"{row['ratio']['median']:.2f} |"
        )
    lines += ["", "| epochs | seconds | seconds an epoch |", "|---:|---:|---:|"]
    for row in document.get("lengths", []):
        median = row["train"]["median"]
        lines.append(f"| {row['epochs']} | {median:.3f} | {median / row['epochs']:.3f} |")
    lines += ["", "| models at once | seconds an epoch | seconds a model |", "|---:|---:|---:|"]
    for name, one in document.get("sweeps", {}).items():
        models = int(name.rpartition(" ")[2])
        lines.append(f"| {models} | {one['median']:.3f} | {one['median'] / models:.3f} |")
    return lines
