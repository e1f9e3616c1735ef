"""The figures: each reads saved records and draws; none trains.

    from mnist_fn import figures
    figures.l2.plot(runs, ax=axes)

Each module of PLOTS has a `plot(records, ax=None)` that draws on the caller's matplotlib axes, or
on a figure of its own, and returns what it drew on. Several panels take the place of the axes.
Within `figures.style.themed("light")`, or "dark", they look as in this project.
"""

from importlib import import_module
from typing import Any

PLOTS = (
    *("bench", "confusion", "curves", "depths", "horizon", "l2", "optimism", "per_class"),
    *("sweep", "templates", "widths", "worst_mistakes"),
)


def __getattr__(name: str) -> Any:
    if name not in (*PLOTS, "style"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"figures.{name}")
