"""Validation against test: what choosing the epoch on the test set seems to gain, run by run."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from figures import style
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.runs.store import Records, order
from mnist_fn.shared.study.protocol import MEASURES, compare
from mnist_fn.shared.wording import l2_name, shape_name

UNITS = {"loss": ("nats", 1.0, "{:.4f}"), "accuracy": ("percentage points", 100.0, "{:.2f} %")}


def plot(records: Sequence[Run], ax: Any = None) -> style.Panels:
    """Draw loss and accuracy: the optimism of the choice among all models, λ and epochs, and
    of the choice of an epoch within each; small dots are seeds, large ones with bars mean ± sd.
    The figure at the right of each line is the test set at the epoch that validation chose.

    Args:
        records: runs with a validation split.
        ax: where to draw: see `figures`.
    """
    figure = style.panels(ax, 4.5)
    held = Records(run for run in records if run.config.validation)
    grid = sorted({config.replace(seed=0) for config in held.runs}, key=order)
    if not compare(held, grid):
        raise InputError("optimism: no seed has a run with a validation split of every model")
    names, grids = ["choice among all"], [grid]
    for config in grid:
        penalty = f", {l2_name(config.l2)}" if config.l2 else ""
        names.append(shape_name(config.hidden) + penalty)
        grids.append([config])
    panels, counts = figure.subplots(1, 2, sharey=True), []
    for panel, measure, colour in zip(panels, MEASURES, style.series_colours(2), strict=True):
        unit, scale, form = UNITS[measure]
        for place, configs in enumerate(grids):
            gains: list[float] = []
            honest: list[float] = []
            for choice in compare(held, configs):
                if choice.measure == measure:
                    gains.append(scale * choice.optimism)
                    honest.append(choice.chosen_on_validation.test)
            panel.plot(gains, np.full(len(gains), place), "o", color=colour, ms=3, alpha=0.5)
            sd = np.std(gains, ddof=1) if len(gains) > 1 else None
            panel.errorbar(np.mean(gains), place, xerr=sd, fmt="o", color=colour, ms=6, capsize=3,
                           elinewidth=1)  # fmt: skip
            text = form.format(scale * np.mean(honest))
            panel.text(1.02, place, text, transform=panel.get_yaxis_transform(), va="center",
                       fontsize=9)  # fmt: skip
            counts.append(len(gains))
        panel.set(xlabel=f"{measure} optimism [{unit}]")
        panel.axhline(0.5, color=style.ink(), linewidth=0.8)
        panel.axvline(0, color=style.ink(), linewidth=0.8)
        panel.text(1.02, -0.8, "honest", transform=panel.get_yaxis_transform(), fontsize=9)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    seeds = style.over_seeds(counts)
    figure.suptitle(f"What choosing on the test set seems to gain, {seeds}", fontsize=11)
    return figure
