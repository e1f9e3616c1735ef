"""The most confidently wrong test images, with prediction and probability."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from figures import fonts, style
from figures.series import as_runs
from mnist_fn.shared.data.datasets import load_for, scale_pixels
from mnist_fn.shared.evaluation import forward, log_probabilities
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.wording import counted

ROWS, COLUMNS = 3, 8


def plot(
    records: Run | Sequence[Run], ax: Any = None, data_dir: Path | None = None
) -> style.Panels:
    """Draw the worst mistakes of the first record.

    The probabilities are computed from its weights in NumPy, in float64.

    Args:
        records: a run with its weights; of several the one with the smallest seed.
        ax: where to draw: see `figures`.
        data_dir: as for `load_for`: the images are not part of a record.
    """
    figure = style.panels(ax, 3.9)
    run = min(as_runs(records), key=lambda run: run.config.seed)
    names = run.data_spec.names
    test = load_for(run.config, data_dir, data_spec=run.data_spec).test
    predictions = run.evaluation.predictions
    wrong = np.flatnonzero(predictions != test.labels)
    logits = forward(run.weights, scale_pixels(test.images[wrong], "float64"))
    confidence = np.exp(log_probabilities(logits)).max(axis=1)
    panels = figure.subplots(ROWS, COLUMNS, squeeze=False)
    for panel in panels.flat:
        panel.set_axis_off()
    for panel, worst in zip(panels.flat, np.argsort(-confidence, kind="stable"), strict=False):
        index = wrong[worst]
        panel.imshow(test.images[index], cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
        true, predicted = names[test.labels[index]], names[predictions[index]]
        panel.set_title(f"{true} → {predicted}\n{_percent(confidence[worst])}", fontsize=9)
    config = run.config
    figure.suptitle(
        f"Most confidently wrong of {len(wrong)} mistakes: true → predicted, its probability "
        f"(seed {config.seed}, {counted(config.epochs, 'epoch')})",
        fontsize=11,
    )
    return fonts.add_fallbacks(figure)


def _percent(probability: float) -> str:
    """As many digits as tell it from certainty: 99.998 %."""
    digits = min(6, max(1, int(np.ceil(-np.log10(max(1 - probability, 1e-9)))) - 1))
    return f"{100 * probability:.{digits}f} %"
