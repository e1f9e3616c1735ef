"""The study's figure 4: the confusion matrix, scaled so that the errors are what is seen."""

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np

from figures import fonts, style
from figures.series import as_runs
from mnist_fn.shared.evaluation import row_normalized
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.wording import counted

FEW = 20  # classes: of more the cells have no room for numbers
SMALLEST = 5.0  # points of a class's name


def plot(records: Run | Sequence[Run], ax: Any = None) -> Any:
    """Draw the row-normalized matrix, mean over the records.

    Colour shows the errors alone, on a scale of their own: the diagonal is about a hundred times
    the largest of them and would leave them white.

    Args:
        records: a run, or several of one config, their evaluations included.
        ax: where to draw: see `figures`.
    """
    records = as_runs(records)
    names = records[0].data_spec.names
    classes = len(names)
    many = classes > FEW
    side = max(6.4, 0.17 * classes)
    ax = ax if ax is not None else style.new_axes(side + 0.5 * many, width=side + 1)
    shares = np.mean([row_normalized(run.confusion_matrix) for run in records], axis=0)
    absent = np.isnan(shares).any(axis=1)  # of a class without examples nothing is known
    shares = np.nan_to_num(shares)
    diagonal = np.eye(classes, dtype=bool)
    errors = np.ma.masked_where(diagonal | absent[:, None], shares)
    image = ax.imshow(errors, cmap=style.from_ground(), vmin=0.0, interpolation="nearest")
    strong = (shares > 0.65 * errors.max()) & ~diagonal
    for (true, predicted), share in () if many else np.ndenumerate(shares):
        colour = style.ground() if strong[true, predicted] else style.ink()
        # ".013"; a cell that would round to nothing gets a dot
        text = f"{share:.3f}".lstrip("0") if share >= 0.0005 else "–" if absent[true] else "·"
        ax.text(predicted, true, text, ha="center", va="center", color=colour, fontsize=9)
    what = records[0].data_spec.kind
    ax.set(xlabel="predicted", ylabel=f"true {what}")
    _name_ticks(ax, names)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.8, pad=0.02, aspect=30)
    bar.outline.set_visible(False)
    bar.set_label(f"errors, share of the true {what}'s images")
    accuracy = 100 * np.mean([run.evaluation.accuracy for run in records])
    seeds = "one seed" if len(records) == 1 else f"mean over {len(records)} seeds"
    epochs = counted(records[0].config.epochs, "epoch")
    ax.set_title(f"Test accuracy {accuracy:.2f} % after {epochs}, {seeds}", fontsize=11)
    return fonts.add_fallbacks(ax)


def _name_ticks(ax: Any, names: Sequence[str]) -> None:
    """Name as many classes as have room: all, or every n-th."""
    box = ax.get_window_extent()
    inches = min(0.75 * box.width, 0.9 * box.height) / ax.figure.dpi  # the layout takes the rest
    room = 72 * inches / len(names)  # points for a class
    size = min(9.0, max(SMALLEST, 0.8 * room))
    step = ceil(1.2 * size / room)
    ticks = range(0, len(names), step)
    shown = names[::step]
    longest = max(map(len, names))
    upright = (0.75 if "".join(names).isascii() else 1.1) * size * longest <= step * room
    ax.set_xticks(ticks, shown, rotation=0 if upright else 90)
    ax.set_yticks(ticks, shown)
    ax.tick_params(length=0, labelsize=size)
