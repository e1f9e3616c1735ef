"""The bench's JSON document and the tables made of it, for the screen and for docs alike."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnist_fn.shared.bench.timing import Turns

SCHEMA = 1
FLOORS = ("jax/products", "torch/products")
LOOPS = ("torch/loop", "torch/loop, compiled", "torch/loop, CUDA graph")  # written to be fast
Times = Mapping[str, Sequence[float]]
Table = tuple[list[str], list[list[str]]]  # names of the columns, rows

RATIOS = (  # name, and what is divided by the sum of what
    ("JAX epoch over the products", "jax/train", ("floor",)),
    ("JAX epoch over products and Adam's traffic", "jax/train", ("floor", "jax/traffic")),
    ("notebook's way over JAX", "torch/notebook", ("jax/train",)),
    ("best PyTorch epoch over JAX", "best PyTorch", ("jax/train",)),
    ("notebook's way over torch_ref", "torch/notebook", ("torch/train",)),
    ("torch_ref over the best PyTorch loop", "torch/train", ("best loop",)),
)


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, extremes, quartiles and the number of some measurements."""
    low, median, high = np.percentile(values, (25, 50, 75))
    return {
        "median": float(median),
        "quartiles": [float(low), float(high)],
        "min": float(min(values)),
        "max": float(max(values)),
        "n": len(values),
    }


def ratio(times: Times, numerator: str, *denominators: str) -> dict[str, Any]:
    """One over the sum of others, round by round: what slowed a round slowed all.

    Only rounds that all have: a document may have fewer of some.
    """
    rounds = zip(times[numerator], *(times[name] for name in denominators), strict=False)
    return spread([seconds / sum(parts) for seconds, *parts in rounds])


def document(turns: Turns, **about: Any) -> dict[str, Any]:
    """What was measured and what follows from it.

    Args:
        turns: seconds of an epoch by contender, round by round.
        about: what else belongs into the document, by key.
    """
    times = turns.wall
    return {
        "schema": SCHEMA,
        **about,
        "isolated": True,  # documents written before had all contenders in one process
        "left_out": turns.left_out,
        "device": turns.device,
        "floor": floor(times),
        "epochs": {name: spread(values) for name, values in times.items()},
        "rounds": times,
        "cpu": {name: spread(values) for name, values in turns.cpu.items()},
        "cpu_rounds": turns.cpu,
        "ratios": ratios(times, turns.cpu),
    }


def floor(times: Times) -> str | None:
    """The products whose fastest turn is the least: in each round the floor of every epoch."""
    present = [name for name in FLOORS if times.get(name)]
    return min(present, key=lambda name: min(times[name]), default=None)


def ratios(times: Times, cpu: Times) -> list[dict[str, Any]]:
    """Each of RATIOS whose contenders were measured, by the clock and in CPU seconds."""
    products = floor(times)
    wall, cpu = _with_floor(times, products), _with_floor(cpu, products)
    results: list[dict[str, Any]] = []
    for name, numerator, denominators in RATIOS:
        parts = (numerator, *denominators)
        if all(part in wall for part in parts):
            results.append({"name": name, "ratio": ratio(wall, *parts), "cpu": ratio(cpu, *parts)})
    return results


def _with_floor(times: Times, products: str | None) -> dict[str, Sequence[float]]:
    """Add the floor, the fastest loop and PyTorch's fastest epoch of each round."""
    known = dict(times)
    if products is not None:
        known["floor"] = times[products]
    for best, names in (("best loop", LOOPS), ("best PyTorch", (*LOOPS, "torch/train"))):
        present = [times[name] for name in names if times.get(name)]
        if present:
            known[best] = [min(turns) for turns in zip(*present, strict=False)]
    return known


def epoch_table(document: Mapping[str, Any]) -> Table:
    """Each contender's epoch in seconds, by the clock and of all threads, and over the floor."""
    head = ["contender", "an epoch of", "median [s]", "quartiles [s]", "CPU [s]", "n"]
    rows: list[list[str]] = []
    products = document["floor"]
    for name, epoch in sorted(document["epochs"].items(), key=lambda item: item[1]["median"]):
        low, high = epoch["quartiles"]
        cpu = document["cpu"][name]["median"]
        over = ""
        if products is not None and name != "jax/traffic":
            over = f"{ratio(document['rounds'], name, products)['median']:.2f}"
        row = [name, document["what"].get(name, ""), f"{epoch['median']:.3f}"]
        rows.append([*row, f"{low:.3f} to {high:.3f}", f"{cpu:.3f}", str(epoch["n"]), over])
    return [*head, "over the floor"], rows


def ratio_table(measured: Sequence[Mapping[str, Any]]) -> Table:
    """Each of `ratios`."""
    rows: list[list[str]] = []
    for row in measured:
        low, high = row["ratio"]["quartiles"]
        wall = f"{row['ratio']['median']:.2f} ({low:.2f} to {high:.2f})"
        rows.append([row["name"], wall, f"{row['cpu']['median']:.2f}"])
    return ["what", "median (quartiles)", "in CPU seconds"], rows
