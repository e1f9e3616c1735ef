"""The study's figure 6: test accuracy of each class over epochs."""

from collections.abc import Sequence

import numpy as np

from figures import style
from figures.series import select, stack
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.study.claims import LEARNED
from mnist_fn.shared.study.experiments import BY_CLASS, CHOSEN_L2, SHALLOW
from mnist_fn.shared.wording import l2_name


def plot(records: Sequence[Run], ax: style.Panels | None = None) -> style.Panels:
    """Draw ten panels, the other classes faint behind each; a dot where it is first learned.

    Args:
        records: runs of the shallow model with the study's best λ.
        ax: a figure or subfigure, since one axes can't hold ten panels; None makes a figure.
    """
    figure = ax or style.new_figure(4.0)
    runs = select(records, SHALLOW, CHOSEN_L2)
    values = [100 * stack(runs, column) for column in BY_CLASS]
    lowest = min(float(one[:, -1].min()) for one in values)  # the first epochs are cut off
    panels = figure.subplots(2, 5, sharex=True, sharey=True)
    (colour,) = style.series_colours(1)
    for label, panel in enumerate(panels.flat):
        for other in values:
            few = other.mean(axis=0)[::2]  # a hundred faint curves: every second epoch will do
            panel.plot(range(1, other.shape[1] + 1, 2), few, color=style.faint(), lw=0.6)
        panel.axhline(100 * LEARNED, color=style.ink(), linewidth=0.8, linestyle=":")
        mean = style.band(panel, values[label], colour)
        learned = np.flatnonzero(mean >= 100 * LEARNED)
        if len(learned):
            first = int(learned[0])
            panel.plot(first + 1, mean[first], "o", color=colour, markersize=4.5)
            panel.set_title(f"{label}   {100 * LEARNED:.0f} % in epoch {first + 1}", fontsize=9)
        else:
            panel.set_title(f"{label}   never {100 * LEARNED:.0f} %", fontsize=9)
        style.over_epochs(panel, label="")
        panel.set(ylim=(lowest - 4, 100.1))
        panel.grid(visible=False)
    figure.supxlabel("epoch", fontsize=10)
    figure.supylabel("test accuracy [%]", fontsize=10)
    shown = f"{l2_name(CHOSEN_L2)}, {style.over_seeds([len(runs)])}"
    figure.suptitle(f"Accuracy by class: 512 hidden units, {shown}", fontsize=11)
    return figure
