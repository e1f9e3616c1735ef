"""A sweep: a measure over λ, mean and sd over seeds, a line for each model and learning rate."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import FuncFormatter, NullLocator

from figures import style
from figures.build import save as save_figure
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.sweeps.comparison import Condition, conditions
from mnist_fn.shared.wording import scientific


def plot(records: Iterable[Run], ax: Any = None, measure: str = "test_accuracy") -> Any:
    """Draw finished runs, as `load_run` reads them.

    Args:
        records: of any models, learning rates, λ and seeds.
        ax: where to draw: see `figures`.
        measure: a column of the metrics, after the last epoch.
    """
    return draw(conditions(records), ax, measure)


def draw(groups: Sequence[Condition], ax: Any = None, measure: str = "test_accuracy") -> Any:
    """As `plot`, of what `comparison.conditions` made of the runs."""
    if ax is None:
        ax = style.new_axes(3.4, width=5)
    scale = 100 if measure.endswith("accuracy") else 1
    for label, series in _series(groups).items():
        points: list[tuple[float, float, float]] = []
        for condition in sorted(series, key=lambda condition: condition.config.l2):
            points.append((condition.config.l2, condition.mean(measure), condition.sd(measure)))
        x, mean, sd = np.nan_to_num(np.array(points)).T  # a single seed has no sd
        ax.errorbar(x, scale * mean, scale * sd, marker="o", markersize=4, capsize=3, label=label)
    l2_values = np.unique([condition.config.l2 for condition in groups])
    positive = l2_values[l2_values > 0]
    # a λ of 0 has its place left of the others on a logarithmic axis
    threshold = positive[0] if positive.size else 1.0
    ax.set_xscale("symlog", linthresh=threshold, linscale=0.5)
    ax.set_xticks(l2_values)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda l2, _: scientific(l2)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("λ")
    unit = " [%]" if measure.endswith("accuracy") else ""
    ax.set_ylabel(measure.replace("_", " ") + unit)
    seeds = np.unique([len(condition.seeds) for condition in groups])
    ax.set_title(f"mean ± sd over {'/'.join(map(str, seeds))} seeds", fontsize="medium")
    ax.legend(frameon=False)
    return ax


def save(groups: Sequence[Condition], path: Path) -> Path:
    """Draw to a file whose ending says the format.

    Raises:
        InputError: the file can't be written.
    """
    with style.themed():
        return save_figure(draw(groups).figure, path)


def _series(groups: Sequence[Condition]) -> dict[str, list[Condition]]:
    rates = {condition.config.learning_rate for condition in groups}
    series: dict[str, list[Condition]] = {}
    for condition in groups:
        rate = f", learning rate {condition.config.learning_rate:g}" if len(rates) > 1 else ""
        series.setdefault(condition.config.model + rate, []).append(condition)
    return series
