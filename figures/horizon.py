"""The divergence of two frameworks and of their control runs, step by step."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from figures import style
from mnist_fn.shared.wording import scientific

# and their colours' places
KINDS = {
    "frameworks": 0,
    "ulp twin": 1,
    "renumbered twin": 2,
    "β₂-rounded twin": 3,
}


def plot(records: Sequence[dict[str, Any]], ax: Any = None) -> style.Panels:
    """Draw the largest difference of any weight against the step, both axes logarithmic, a panel
    for each precision.

    Args:
        records: what `shared.parity.horizon.measure` gives, as the parity document holds it.
        ax: where to draw: see `figures`.
    """
    figure = style.panels(ax, 3.9)
    colours = style.series_colours(len(KINDS))
    panels = figure.subplots(1, len(records), sharey=True, squeeze=False)[0]
    for panel, record in zip(panels, records, strict=True):
        for track in sorted(record["tracks"], key=lambda track: -KINDS[track["kind"]]):
            place = KINDS[track["kind"]]
            # equal weights have no place on a logarithmic axis
            divergence = np.array(track["divergence"], dtype=float)
            divergence[divergence == 0] = np.nan
            width = 2.0 if place == 0 else 0.9
            panel.plot(record["steps"], divergence, color=colours[place], linewidth=width)
        for limit in record["thresholds"]:
            panel.axhline(limit, color=style.ink(), linewidth=0.8, linestyle=":")
        name = ", ".join(record[part] for part in ("model", "optimizer", "precision"))
        panel.set(xscale="log", yscale="log", xlabel="step", title=name)
        style.power_ticks(panel.xaxis)
        style.power_ticks(panel.yaxis)
        _mark_epochs(panel, record)
    panels[0].set_ylim(1e-20, 3)  # the weight of a pixel that is never lit decays below
    panels[0].set_ylabel("largest difference of any weight")
    first = records[0]["tracks"][0]["name"]
    names = {
        "frameworks": first,
        "ulp twin": "control runs: one weight moved by one ulp",
        "renumbered twin": "control runs: sums in another order",
        "β₂-rounded twin": "control runs: the same, and β₂ rounded",
    }
    kinds = {track["kind"] for record in records for track in record["tracks"]}
    handles = [
        Line2D([], [], color=colours[KINDS[kind]], label=name)
        for kind, name in names.items()
        if kind in kinds
    ]
    limits = " and ".join(scientific(limit) for limit in records[0]["thresholds"])
    handles.append(
        Line2D([], [], color=style.ink(), linewidth=0.8, linestyle=":", label=f"limits: {limits}")
    )
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def _mark_epochs(panel: Any, record: dict[str, Any]) -> None:
    """Ends of epoch 1, 10 and 100 at the top."""
    per_epoch = record["steps"][-1] / len(record["tracks"][0]["predictions"])
    epochs = [e for e in (1, 10, 100) if e * per_epoch <= record["steps"][-1]]
    top = panel.secondary_xaxis("top", functions=(lambda s: s / per_epoch, lambda e: e * per_epoch))
    top.set_xscale("log")
    top.set_xticks(epochs, [f"epoch {e}" for e in epochs])
    top.minorticks_off()
    top.spines["top"].set_visible(False)
