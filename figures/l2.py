"""The study's figure 5: loss and accuracy over epochs for each λ, train and test."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from figures import curves, style
from figures.series import select
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.study.experiments import L2, SHALLOW
from mnist_fn.shared.wording import l2_name


def plot(records: Sequence[Run], ax: Any = None) -> style.Panels:
    """Draw two panels, train dashed, test solid; a dot and a dotted line mark the best epoch.

    Args:
        records: runs of the shallow model for each λ.
        ax: where to draw: see `figures`.
    """
    figure = style.panels(ax, 4.4)
    runs = {l2: select(records, SHALLOW, l2) for l2 in L2}
    panels = figure.subplots(1, 2)
    for panel, measure in zip(panels, curves.MEASURES, strict=True):
        lowest = np.inf
        ends: list[tuple[float, str, str]] = []
        for (l2, of_l2), colour in zip(runs.items(), style.series_colours(len(runs)), strict=True):
            mean = curves.draw(panel, of_l2, measure, colour)
            best_epoch = int(curves.MEASURES[measure](mean)) + 1
            panel.axvline(best_epoch, color=colour, linestyle=":", linewidth=1.0)
            lowest = min(lowest, mean.min() if measure == "loss" else mean[-1])
            ends.append((float(mean[-1]), l2_name(l2), colour))
        # unpenalized training goes on to nothing: a fifth of the best test loss is enough
        panel.set(ylim=(0.2 * lowest if measure == "loss" else lowest - 2, None))
        style.end_labels(panel, ends)
    curves.add_legend(figure, ("test", "train"), best_line=":")
    seeds = style.over_seeds(list(map(len, runs.values())))
    figure.suptitle(f"L2 and overfitting: 512 hidden units, {seeds}", fontsize=11)
    return figure
