"""The divergence of two frameworks and of their control runs, step by step."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from figures import style
from mnist_fn.shared.wording import scientific

# What the legend calls the tracks of each kind, the frameworks' own first; in the colours' order.
NAMES = {
    "frameworks": "",  # named by the pair itself
    "ulp twin": "control runs: one weight moved by one ulp",
    "renumbered twin": "control runs: sums in another order",
    "β₂-rounded twin": "control runs: the same, and β₂ rounded",
}


def plot(records: Sequence[dict[str, Any]], ax: Any = None) -> style.Panels:
    """Draw the largest difference of any weight against the step, both axes logarithmic, a panel
    for each precision.

    Args:
        records: what `shared.parity.horizon.measure` gives, as the parity document holds it.
        ax: where to draw: see `figures`.
    """
    figure = style.panels(ax, 3.9)
    colours = dict(zip(NAMES, style.series_colours(len(NAMES)), strict=True))
    kinds: list[str] = []
    panels = figure.subplots(1, len(records), sharey=True, squeeze=False)[0]
    for panel, record in zip(panels, records, strict=True):
        # the frameworks' own track is drawn last, above the others
        for track in sorted(record["tracks"], key=lambda track: -list(NAMES).index(track["kind"])):
            kinds.append(track["kind"])
            # equal weights have no place on a logarithmic axis
            divergence = np.array(track["divergence"], dtype=float)
            divergence[divergence == 0] = np.nan
            width = 2.0 if track["kind"] == "frameworks" else 0.9
            colour = colours[track["kind"]]
            panel.plot(record["steps"], divergence, color=colour, linewidth=width)
        for limit in record["thresholds"]:
            panel.axhline(limit, color=style.ink(), linewidth=0.8, linestyle=":")
        title = f"{record['model']}, {record['optimizer']}, {record['precision']}"
        panel.set(xscale="log", yscale="log", xlabel="step", title=title)
        style.power_ticks(panel.xaxis)
        style.power_ticks(panel.yaxis)
        _mark_epochs(panel, record)
    panels[0].set_ylim(1e-20, 3)  # the weight of a pixel that is never lit decays below
    panels[0].set_ylabel("largest difference of any weight")
    handles: list[Line2D] = []
    for kind, name in NAMES.items():
        if kind in kinds:
            label = name or records[0]["tracks"][0]["name"]
            handles.append(Line2D([], [], color=colours[kind], label=label))
    limits = " and ".join(map(scientific, records[0]["thresholds"]))
    handles.append(
        Line2D([], [], color=style.ink(), linewidth=0.8, linestyle=":", label=f"limits: {limits}")
    )
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def _mark_epochs(panel: Any, record: dict[str, Any]) -> None:
    """Ends of epoch 1, 10 and 100 at the top."""
    per_epoch = record["steps"][-1] / len(record["tracks"][0]["predictions"])
    epochs = np.array([1, 10, 100])
    epochs = epochs[epochs * per_epoch <= record["steps"][-1]]
    top = panel.secondary_xaxis("top", functions=(lambda s: s / per_epoch, lambda e: e * per_epoch))
    top.set_xscale("log")
    top.set_xticks(epochs, [f"epoch {epoch}" for epoch in epochs])
    top.minorticks_off()
    top.spines["top"].set_visible(False)
