"""The study's figure 4: the confusion matrix, scaled so that the errors are what is seen."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from figures import style
from mnist_fn.shared.evaluation import row_normalized
from mnist_fn.shared.runs.run import Run


def plot(records: Sequence[Run], ax: Any = None) -> Any:
    """Draw the row-normalized matrix, mean over the records.

    Colour shows the errors alone, on a scale of their own: the diagonal is about a hundred times
    the largest of them and would leave them white.

    Args:
        records: runs of one config, their evaluations included.
        ax: matplotlib axes; None makes new ones.
    """
    ax = ax or style.new_axes(6.4, width=7.4)
    shares = np.mean([row_normalized(run.confusion_matrix) for run in records], axis=0)
    classes = len(shares)
    diagonal = np.eye(classes, dtype=bool)
    errors = np.ma.masked_where(diagonal, shares)
    image = ax.imshow(errors, cmap=style.from_ground(), vmin=0.0, interpolation="nearest")
    strong = (shares > 0.65 * errors.max()) & ~diagonal
    for (true, predicted), share in np.ndenumerate(shares):
        colour = style.ground() if strong[true, predicted] else style.ink()
        # ".013"; a cell that would round to nothing gets a dot
        text = f"{share:.3f}".lstrip("0") if share >= 0.0005 else "·"
        ax.text(predicted, true, text, ha="center", va="center", color=colour, fontsize=9)
    ax.set(xticks=range(classes), yticks=range(classes), xlabel="predicted", ylabel="true digit")
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.8, pad=0.02, aspect=30)
    bar.outline.set_visible(False)
    bar.set_label("errors, share of the true digit's images")
    accuracy = 100 * np.mean([run.evaluation.accuracy for run in records])
    seeds = "one seed" if len(records) == 1 else f"mean over {len(records)} seeds"
    epochs = records[0].config.epochs
    ax.set_title(f"Test accuracy {accuracy:.2f} % after {epochs} epochs, {seeds}", fontsize=11)
    return ax
