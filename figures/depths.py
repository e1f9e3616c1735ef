"""The study's figure 2: one hidden layer against two, a panel for each width."""

from collections.abc import Sequence
from typing import Any

from figures import style
from figures.series import select, stack
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.study.experiments import WIDTHS


def plot(records: Sequence[Run], ax: Any = None) -> style.Panels:
    """Draw four panels of test loss over epochs; a dot marks each curve's minimum.

    Args:
        records: shallow and deep runs, λ = 0.
        ax: axes, whose place the panels take; a figure or subfigure; None makes a figure.

    Returns:
        The figure or subfigure drawn on.
    """
    figure = style.panels(ax, 4.8)
    panels, counts = figure.subplots(2, 2, sharex=True, sharey=True), []
    labels = []
    for panel, width in zip(panels.flat, WIDTHS, strict=True):
        ends = []
        for shape, colour in zip(
            [(width,), (width, width // 2)], style.series_colours(2), strict=True
        ):
            values = stack(select(records, shape), "test_loss")
            mean = style.band(panel, values, colour)
            lowest = int(mean.argmin())
            panel.plot(lowest + 1, mean[lowest], "o", color=colour, markersize=4.5)
            ends.append((float(mean[-1]), ", ".join(map(str, shape)), colour))
            counts.append(len(values))
        panel.set(yscale="log")
        style.over_epochs(panel, label="")
        style.loss_ticks(panel)
        labels.append(ends)
    for panel, ends in zip(panels.flat, labels, strict=True):  # the shared limits are final now
        style.end_labels(panel, ends, gap=0.1)
    for panel in panels[-1]:
        panel.set_xlabel("epoch")
    for panel in panels[:, 0]:
        panel.set_ylabel("test loss [nats]")
    figure.suptitle(f"One hidden layer against two, {style.over_seeds(counts)}", fontsize=11)
    return figure
