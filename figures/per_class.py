"""The study's figure 6: test accuracy of each class over epochs."""

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np

from figures import fonts, style
from figures.series import accuracies, select
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.study.claims import LEARNED
from mnist_fn.shared.study.experiments import CHOSEN_L2, SHALLOW
from mnist_fn.shared.wording import l2_name

FEW = 10  # classes: of more the panels are small, and the others a band


def plot(records: Sequence[Run], ax: Any = None) -> style.Panels:
    """Draw a panel for each class, the others faint behind it; a dot where it is first learned.

    Args:
        records: runs of the shallow model with the study's best λ.
        ax: where to draw: see `figures`.
    """
    runs = select(records, SHALLOW, CHOSEN_L2)
    names = runs[0].data_spec.names
    many = len(names) > FEW
    columns = 8 if many else 5
    rows = ceil(len(names) / columns)
    figure = style.panels(ax, 1.2 * rows + 0.6 if many else 2.0 * rows)
    values = accuracies(runs)
    ends = values[:, :, -1]  # the first epochs are cut off
    lowest = float(np.nanmin(ends)) if not np.isnan(ends).all() else 0.0
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for panel in panels.flat[len(names) :]:
        panel.set_axis_off()
    for label, panel in enumerate(panels.flat[: len(names)]):
        name = names[label]
        panel.axhline(100 * LEARNED, color=style.ink(), linewidth=0.8, linestyle=":")
        mean = draw(panel, values, label, many)
        learned = np.flatnonzero(mean >= 100 * LEARNED)
        reached = "never" if many else f"never {100 * LEARNED:.0f} %"
        if np.isnan(mean).all():
            reached = "–"
        elif len(learned):
            first = int(learned[0])
            panel.plot(
                first + 1, mean[first], "o", color=panel.lines[-1].get_color(), markersize=4.5
            )
            reached = (
                f"epoch {first + 1}" if many else f"{100 * LEARNED:.0f} % in epoch {first + 1}"
            )
        panel.set_title(f"{name}   {reached}", fontsize=9)
        panel.set(ylim=(lowest - 4, 100.1))
    figure.supxlabel("epoch", fontsize=10)
    figure.supylabel(f"test accuracy [%], dotted: {100 * LEARNED:.0f} %", fontsize=10)
    shown = f"{l2_name(CHOSEN_L2)}, {style.over_seeds([len(runs)])}"
    meaning = f"; when {100 * LEARNED:.0f} % is reached" if many else ""
    figure.suptitle(f"Accuracy by class: 512 hidden units, {shown}{meaning}", fontsize=11)
    return fonts.add_fallbacks(figure)


def draw(panel: Any, values: np.ndarray, label: int, many: bool) -> np.ndarray:
    """One class's curve before the others; returns its mean over seeds [epochs].

    Args:
        panel: matplotlib axes.
        values: accuracies, float64 [classes, seeds, epochs].
        label: of the class.
        many: whether the others are a band from the lowest to the highest, else faint curves.
    """
    means = values.mean(axis=1)
    epochs = np.arange(1, means.shape[1] + 1)
    known = means[~np.isnan(means).any(axis=1)]
    if many and known.size:
        panel.fill_between(epochs, known.min(axis=0), known.max(axis=0), color=style.faint())
    elif not many:
        step = 2 if len(epochs) > 20 else 1  # of a hundred epochs every second is enough
        for mean in known:
            panel.plot(epochs[::step], mean[::step], color=style.faint(), lw=0.6)
    style.over_epochs(panel, label="")
    panel.grid(visible=False)
    return style.band(panel, values[label], *style.series_colours(1))
