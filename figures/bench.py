"""The bench's chart: each contender's epoch in seconds, the floor as a line."""

from collections.abc import Mapping
from typing import Any

from figures import style


def plot(document: Mapping[str, Any], ax: Any = None) -> Any:
    """Draw a bench document.

    Args:
        document: what `mnist-fn bench --out` wrote.
        ax: matplotlib axes; None makes new ones.

    Returns:
        The axes: bars are medians, whiskers quartiles.
    """
    if ax is None:
        ax = style.new_axes(3.8)
    ordered = sorted(document["epochs"].items(), key=lambda item: -item[1]["median"])
    for row, (name, one) in enumerate(ordered):
        low, high = one["quartiles"]
        error = [[one["median"] - low], [high - one["median"]]]
        ax.barh(row, one["median"], color="C0" if name.startswith("jax") else "C1", height=0.7)
        ax.errorbar(one["median"], row, xerr=error, color=style.ink(), capsize=2, linewidth=1)
    ax.set_yticks(range(len(ordered)), [name for name, _ in ordered])
    if document["floor"] is not None:
        ax.axvline(
            document["epochs"][document["floor"]]["median"], color=style.ink(), linestyle="--"
        )
    ax.set_xscale("log")
    ax.set_xlabel(f"seconds an epoch of {document['examples']:,} examples")
    ax.set_title(f"{document['device']}: {document['machine']}", fontsize="small")
    return ax
