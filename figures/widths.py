"""The study's figure 1: test loss over epochs for each width, one hidden layer beside two."""

from collections.abc import Sequence
from typing import Any

from figures import style
from figures.series import select, stack
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.study.experiments import LINEAR, WIDTHS
from mnist_fn.shared.wording import shape_name


def plot(records: Sequence[Run], ax: Any = None) -> style.Panels:
    """Draw two panels, the linear model in both; a dot marks each curve's minimum.

    Args:
        records: linear, shallow and deep runs, λ = 0.
        ax: where to draw: see `figures`.
    """
    figure = style.panels(ax, 3.6)
    panels = figure.subplots(1, 2, sharey=True)
    linear = stack(select(records, LINEAR), "test_loss")
    drawn: dict[Any, list[style.Curve]] = {}
    counts: list[int] = []
    for panel, title in zip(panels, ("one hidden layer", "two hidden layers"), strict=True):
        drawn[panel] = [style.Curve("linear", linear, style.ink(), has_dot=False)]
        for width, colour in zip(WIDTHS, style.series_colours(len(WIDTHS)), strict=True):
            shape = (width,) if panel is panels[0] else (width, width // 2)
            values = stack(select(records, shape), "test_loss")
            drawn[panel].append(style.Curve(shape_name(shape), values, colour))
            counts.append(len(values))
        panel.set(title=title)
    style.loss_panels(drawn)
    panels[0].set_ylabel("test loss [nats]")
    counts.append(len(linear))
    figure.suptitle(f"Width and depth without L2, {style.over_seeds(counts)}", fontsize=11)
    return figure
