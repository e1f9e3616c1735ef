"""The study's figure 4: the confusion matrix, scaled so that the errors are what is seen."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from figures import style
from figures.series import as_runs
from mnist_fn.shared.evaluation import row_normalized
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.wording import counted

FEW = 20  # classes: of more the cells have no room for numbers


def plot(records: Run | Sequence[Run], ax: Any = None) -> Any:
    """Draw the row-normalized matrix, mean over the records.

    Colour shows the errors alone, on a scale of their own: the diagonal is about a hundred times
    the largest of them and would leave them white.

    Args:
        records: a run, or several of one config, their evaluations included.
        ax: matplotlib axes; None makes new ones.

    Returns:
        The axes.
    """
    records = as_runs(records)
    names = records[0].form.names
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
    what = records[0].form.kind
    ax.set(xticks=range(classes), yticks=range(classes), xlabel="predicted", ylabel=f"true {what}")
    long = max(map(len, names)) > 3
    ax.set_xticklabels(names, rotation=90 if long else 0)
    ax.set_yticklabels(names)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, labelsize=7 if many else 9)
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.8, pad=0.02, aspect=30)
    bar.outline.set_visible(False)
    bar.set_label(f"errors, share of the true {what}'s images")
    accuracy = 100 * np.mean([run.evaluation.accuracy for run in records])
    seeds = "one seed" if len(records) == 1 else f"mean over {len(records)} seeds"
    epochs = counted(records[0].config.epochs, "epoch")
    ax.set_title(f"Test accuracy {accuracy:.2f} % after {epochs}, {seeds}", fontsize=11)
    return ax
