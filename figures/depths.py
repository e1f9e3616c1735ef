"""The study's figure 2: one hidden layer against two, a panel for each width."""

from collections.abc import Sequence
from typing import Any

from figures import style
from figures.series import select, stack
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.study.experiments import WIDTHS
from mnist_fn.shared.wording import shape_name


def plot(records: Sequence[Run], ax: Any = None) -> style.Panels:
    """Draw four panels of test loss over epochs; a dot marks each curve's minimum.

    Args:
        records: shallow and deep runs, λ = 0.
        ax: where to draw: see `figures`.
    """
    figure = style.panels(ax, 4.8)
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    drawn: dict[Any, list[style.Curve]] = {}
    counts: list[int] = []
    for panel, width in zip(panels.flat, WIDTHS, strict=True):
        drawn[panel] = []
        shapes = ((width,), (width, width // 2))
        for shape, colour in zip(shapes, style.series_colours(2), strict=True):
            values = stack(select(records, shape), "test_loss")
            drawn[panel].append(style.Curve(shape_name(shape), values, colour))
            counts.append(len(values))
    style.loss_panels(drawn, gap=0.1)
    for panel in panels[0]:
        panel.set_xlabel("")
    for panel in panels[:, 0]:
        panel.set_ylabel("test loss [nats]")
    figure.suptitle(f"One hidden layer against two, {style.over_seeds(counts)}", fontsize=11)
    return figure
