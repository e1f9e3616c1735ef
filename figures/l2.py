"""The study's figure 5: loss and accuracy over epochs for each λ, train and test."""

from collections.abc import Sequence

from matplotlib.lines import Line2D

from figures import style
from figures.series import select, stack
from mnist_fn.shared.run import Run
from mnist_fn.shared.study import L2, SHALLOW
from mnist_fn.shared.wording import l2_name


def plot(records: Sequence[Run], ax: style.Panels | None = None) -> style.Panels:
    """Draw two panels, train dashed, test solid; a dot and a dotted line mark the best epoch.

    Args:
        records: runs of the shallow model for each λ.
        ax: a figure or subfigure, since one axes can't hold two panels; None makes a figure.
    """
    figure = ax or style.new_figure(4.2)
    left, right = figure.subplots(1, 2)
    colours, counts = style.series_colours(len(L2)), []
    for panel, measure, scale in ((left, "loss", 1.0), (right, "accuracy", 100.0)):
        ends = []
        for l2, colour in zip(L2, colours, strict=True):
            runs = select(records, SHALLOW, l2)
            train = scale * stack(runs, f"train_{measure}").mean(axis=0)
            panel.plot(range(1, len(train) + 1), train, "--", color=colour, linewidth=1.0)
            mean = style.band(panel, scale * stack(runs, f"test_{measure}"), colour)
            best = int(mean.argmin() if measure == "loss" else mean.argmax())
            panel.axvline(best + 1, color=colour, linestyle=":", linewidth=1.0)
            panel.plot(best + 1, mean[best], "o", color=colour, markersize=5)
            ends.append((float(mean[-1]), l2_name(l2), colour))
            counts.append(len(runs))
        panel.set(xlabel="epoch", xmargin=0)
        if measure == "loss":
            panel.set(yscale="log", ylabel="cross-entropy [nats]", ylim=(0.01, 0.5))
            style.loss_ticks(panel)
        else:
            panel.set(ylabel="accuracy [%]", ylim=(94, 100.1))
        style.end_labels(panel, ends, gap=0.06)
    handles = [Line2D([], [], color=style.ink(), linestyle=s) for s in ("-", "--")]
    left.legend(handles, ["test", "train"], loc="upper right", ncols=2, frameon=True,
                framealpha=1.0, edgecolor="none")  # fmt: skip
    shown = style.over_seeds(counts)
    figure.suptitle(f"L2 and overfitting: 512 hidden units, {shown}", fontsize=11)
    return figure
