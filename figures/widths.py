"""The study's figure 1: test loss over epochs for each width, one hidden layer beside two."""

from collections.abc import Sequence
from typing import Any

from figures import style
from figures.series import select, stack
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.study.experiments import LINEAR, WIDTHS


def plot(records: Sequence[Run], ax: Any = None) -> style.Panels:
    """Draw two panels, the linear model in both; a dot marks each curve's minimum.

    Args:
        records: linear, shallow and deep runs, λ = 0.
        ax: axes, whose place the panels take; a figure or subfigure; None makes a figure.

    Returns:
        The figure or subfigure drawn on.
    """
    figure = style.panels(ax, 3.6)
    panels = figure.subplots(1, 2, sharey=True)
    linear, counts = stack(select(records, LINEAR), "test_loss"), []
    labels = []
    for panel, title, shapes in zip(
        panels,
        ("one hidden layer", "two hidden layers"),
        ([(w,) for w in WIDTHS], [(w, w // 2) for w in WIDTHS]),
        strict=True,
    ):
        named = [("linear", linear, style.ink())]
        for shape, colour in zip(shapes, style.series_colours(len(shapes)), strict=True):
            values = stack(select(records, shape), "test_loss")
            named.append((", ".join(map(str, shape)), values, colour))
        ends = []
        for name, values, colour in named:
            mean = style.band(panel, values, colour)
            lowest = int(mean.argmin())
            if name != "linear":
                panel.plot(lowest + 1, mean[lowest], "o", color=colour, markersize=4.5)
            ends.append((float(mean[-1]), name, colour))
            counts.append(len(values))
        panel.set(title=title, yscale="log")
        style.over_epochs(panel)
        style.loss_ticks(panel)
        labels.append(ends)
    for panel, ends in zip(panels, labels, strict=True):  # the shared limits are final now
        style.end_labels(panel, ends)
    panels[0].set_ylabel("test loss [nats]")
    figure.suptitle(f"Width and depth without L2, {style.over_seeds(counts)}", fontsize=11)
    return figure
