"""The figures: each reads saved records and draws; none trains.

    from mnist_fn import figures
    figures.l2.plot(runs, ax=axes)

Each module of PLOTS has a `plot(records, ax=None)` that returns what it drew on. A single panel is
drawn on the caller's matplotlib axes. Several take the place of these axes, or fill the figure or
subfigure that is given. Without `ax` each makes a figure of its own. Within
`figures.style.themed("light")`, or "dark", they look as in this project.
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
