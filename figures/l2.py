"""The study's figure 5: loss and accuracy over epochs for each λ, train and test."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from figures import style
from figures.series import select, stack
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.study.experiments import L2, SHALLOW
from mnist_fn.shared.wording import l2_name


def plot(records: Sequence[Run], ax: Any = None) -> style.Panels:
    """Draw two panels, train dashed, test solid; a dot and a dotted line mark the best epoch.

    Args:
        records: runs of the shallow model for each λ.
        ax: axes, whose place the panels take; a figure or subfigure; None makes a figure.

    Returns:
        The figure or subfigure drawn on.
    """
    figure = style.panels(ax, 4.2)
    runs = {l2: select(records, SHALLOW, l2) for l2 in L2}
    loss_panel, accuracy_panel = figure.subplots(1, 2)
    losses, loss_ends = _draw(loss_panel, runs, "loss", 1.0, np.argmin)
    # the losses of unpenalized training go on to nothing: a fifth of the best test loss is enough
    lowest = min(curve.min() for curve in losses)
    loss_panel.set(yscale="log", ylabel="cross-entropy [nats]", ylim=(0.2 * lowest, None))
    style.loss_ticks(loss_panel)
    accuracies, accuracy_ends = _draw(accuracy_panel, runs, "accuracy", 100.0, np.argmax)
    accuracy_panel.set(
        ylabel="accuracy [%]", ylim=(min(curve[-1] for curve in accuracies) - 2, None)
    )
    style.end_labels(loss_panel, loss_ends)
    style.end_labels(accuracy_panel, accuracy_ends)
    lines: dict[str, Any] = {"test": "-", "train": "--", "best epoch": ":"}
    handles = [Line2D([], [], color=style.ink(), linestyle=line) for line in lines.values()]
    loss_panel.legend(
        handles,
        lines,
        loc="upper right",
        ncols=3,
        frameon=True,
        framealpha=1.0,
        edgecolor="none",
        handlelength=1.6,
        columnspacing=1.0,
    )
    seeds = style.over_seeds([len(of_l2) for of_l2 in runs.values()])
    figure.suptitle(f"L2 and overfitting: 512 hidden units, {seeds}", fontsize=11)
    return figure


def _draw(
    panel: Any, runs: dict[float, list[Run]], measure: str, scale: float, best: Any
) -> tuple[list[np.ndarray], list[tuple[float, str, str]]]:
    """Every λ's curves; returns the mean of the test's [epochs] for each and what names them."""
    means, ends = [], []
    for (l2, of_l2), colour in zip(runs.items(), style.series_colours(len(runs)), strict=True):
        train = scale * stack(of_l2, f"train_{measure}").mean(axis=0)
        panel.plot(range(1, len(train) + 1), train, "--", color=colour, linewidth=1.0)
        mean = style.band(panel, scale * stack(of_l2, f"test_{measure}"), colour)
        best_epoch = int(best(mean))
        panel.axvline(best_epoch + 1, color=colour, linestyle=":", linewidth=1.0)
        panel.plot(best_epoch + 1, mean[best_epoch], "o", color=colour, markersize=5)
        ends.append((float(mean[-1]), l2_name(l2), colour))
        means.append(mean)
    style.over_epochs(panel)
    return means, ends
