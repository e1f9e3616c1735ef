"""The study's figure 3: the linear model's weights of each class as pictures, for three λ."""

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np

from figures import fonts, style
from figures.series import select
from mnist_fn.shared import evaluation
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.study.experiments import LINEAR, TEMPLATE_L2
from mnist_fn.shared.wording import counted, l2_name

FEW = 12  # classes that have room in one row


def plot(records: Sequence[Run], ax: Any = None) -> style.Panels:
    """Draw the first seed's templates, a row for each λ, one symmetric scale for all.

    Args:
        records: linear runs with their weights.
        ax: where to draw: see `figures`.
    """
    runs = [select(records, LINEAR, l2)[0] for l2 in TEMPLATE_L2]
    pictures = np.array([evaluation.templates(run.weights) for run in runs])
    largest = float(np.abs(pictures).max())
    names = runs[0].data_spec.names
    columns = len(names) if len(names) <= FEW else 16
    lines = ceil(len(names) / columns)  # of panels, for each λ
    figure = style.panels(ax, 2.8 if lines == 1 else 0.6 * lines * len(runs) + 0.6)
    panels = figure.subplots(lines * len(runs), columns, squeeze=False)
    look = {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest, "interpolation": "nearest"}
    images = []
    for row, l2 in enumerate(TEMPLATE_L2):
        of_l2 = panels[row * lines : (row + 1) * lines].ravel()
        for panel in of_l2[len(names) :]:
            panel.set_axis_off()
        for label, panel in enumerate(of_l2[: len(names)]):
            picture = pictures[row, label]
            images.append(panel.imshow(picture, **look))
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set_visible(False)
            if row == 0 or lines > 1:
                panel.set_title(names[label], **({} if lines == 1 else {"fontsize": 7, "pad": 1}))
        of_l2[0].set_ylabel(l2_name(l2))
    bar = figure.colorbar(images[0], ax=panels, shrink=0.9, pad=0.015, aspect=30)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    bar.set_label("weight")
    epochs = runs[0].config.epochs
    title = (
        f"Weights of the linear model after {counted(epochs, 'epoch')}, seed {runs[0].config.seed}"
    )
    figure.suptitle(title, fontsize=11)
    return fonts.add_fallbacks(figure)
