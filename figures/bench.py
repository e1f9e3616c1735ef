"""The bench's chart: each contender's epoch in seconds, the shortest possible as a line."""

from collections.abc import Mapping
from typing import Any

from figures import style


def plot(document: Mapping[str, Any], ax: Any = None) -> Any:
    """Draw a bench document.

    Args:
        document: what `mnist-fn bench --out` wrote.
        ax: where to draw: see `figures`.

    Returns:
        The axes: dots are medians, whiskers quartiles. Bars would have no end to begin at, since a
        logarithmic axis has no 0.
    """
    if ax is None:
        ax = style.new_axes(3.8)
    ordered = sorted(document["epochs"].items(), key=lambda item: -item[1]["median"])
    for row, (name, epoch) in enumerate(ordered):
        low, high = epoch["quartiles"]
        error = [[epoch["median"] - low], [high - epoch["median"]]]
        look = {"fmt": "o", "markersize": 6, "capsize": 3, "linewidth": 1}
        colour = "C0" if name.startswith("jax") else "C1"
        ax.errorbar(epoch["median"], row, xerr=error, color=colour, **look)
    ax.set_yticks(range(len(ordered)), [name for name, _ in ordered])
    if document["floor"] is not None:
        floor = document["epochs"][document["floor"]]["median"]
        label = f"the floor, {document['floor']}: {floor:.2f} s (median)"
        ax.axvline(floor, color=style.ink(), linestyle="--", linewidth=1, label=label)
        ax.legend(loc="upper right")
    ax.set_xscale("log")
    style.loss_ticks(ax, "x")
    ax.set_xlabel(f"seconds an epoch of {document['examples']:,} examples")
    ax.set_title(f"{document['device']}: {document['machine']}", fontsize="small")
    return ax
