"""One style for every figure: as wide as a README, colours that the colour-blind tell apart.

The series are Okabe and Ito's colours (https://jfly.uni-koeln.de/color/), moved until any two are
at least 12 apart (CIEDE2000) for the colour-blind too, and lighter on dark.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import (
    FormatStrFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.wording import scientific

WIDTH = 8.0  # inches: 800 pixels at 100 dpi, sharp on a screen of twice as many
THEMES = {
    "light": {
        "ground": "#ffffff",
        "ink": "#24292f",
        "faint": "#d0d7de",
        "alert": "#b3261e",
        "series": ("#0f6fab", "#dc6914", "#009e73", "#ba7da0", "#7f5502", "#7e8ce4"),
    },
    "dark": {
        "ground": "#0d1117",
        "ink": "#e6edf3",
        "faint": "#30363d",
        "alert": "#ff9b94",
        "series": ("#9bd4ff", "#fa8231", "#1cb68a", "#d296b8", "#ffdd6c", "#899af9"),
    },
}
_COMMON: dict[str, Any] = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 200,
    "text.parse_math": False,  # a class's name may have a dollar
    "svg.hashsalt": "mnist-fn",  # else its ids are random
}


@contextlib.contextmanager
def themed(theme: str = "light") -> Iterator[None]:
    """A context in which figures are drawn and saved in a theme.

    matplotlib's `rc_context` would set back more: what a notebook's first figure sets up within it.
    """
    colours = THEMES[theme]
    ink, ground, faint = (str(colours[name]) for name in ("ink", "ground", "faint"))
    settings = dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), ink
    )
    settings |= dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), ground)
    settings |= {"grid.color": faint, "axes.prop_cycle": cycler(color=colours["series"])}
    parameters: dict[Any, Any] = {**_COMMON, **settings}
    previous = {name: mpl.rcParams[name] for name in parameters}
    mpl.rcParams.update(parameters)
    try:
        yield
    finally:
        mpl.rcParams.update(previous)


def faint() -> str:
    """The colour of what stays in the background, in the theme in force."""
    return mpl.rcParams["grid.color"]


def ink() -> str:
    """The colour of text, in the theme in force."""
    return mpl.rcParams["text.color"]


def ground() -> str:
    """The background's colour, in the theme in force."""
    return mpl.rcParams["axes.facecolor"]


def alert() -> str:
    """The colour of a warning, in the theme in force."""
    return str(THEMES[_theme()]["alert"])


def _theme() -> str:
    """The theme in force; of a caller's own style the light one."""
    return "dark" if ground() == THEMES["dark"]["ground"] else "light"


def from_ground() -> Colormap:
    """From the background to a strong red or orange; what is masked is faint."""
    if _theme() == "light":
        return mpl.colormaps["OrRd"].with_extremes(bad=faint())
    colours = [ground(), series_colours(2)[1]]
    return LinearSegmentedColormap.from_list("errors", colours).with_extremes(bad=faint())


def new_axes(height: float, width: float = WIDTH) -> Any:
    """Axes on a figure of their own."""
    return Figure(figsize=(width, height)).add_subplot()


def panels(ax: Any, height: float) -> "Panels":
    """Where several panels are drawn.

    Args:
        ax: a figure or subfigure is taken as it is; axes give their place in their figure's grid
            to a subfigure and are gone; None makes a figure.
        height: of a new figure, inches.

    Raises:
        InputError: axes outside of a grid.
    """
    if ax is None:
        return Figure(figsize=(WIDTH, height))
    if isinstance(ax, Figure | SubFigure):
        return ax
    place = ax.get_subplotspec()
    if place is None:
        raise InputError(
            "ax: these axes have no place in a grid, which several panels need; give axes of "
            "plt.subplots, or a subfigure"
        )
    figure = ax.get_figure(root=False)
    ax.remove()
    return figure.add_subfigure(place)


class Curve(NamedTuple):
    """A curve over epochs of one or several seeds."""

    name: str
    values: np.ndarray  # [seeds, epochs]
    colour: str
    has_dot: bool = True  # at its lowest point


def band(ax: Any, values: np.ndarray, colour: str, best: Any = None, **line: Any) -> np.ndarray:
    """A curve over epochs, mean over seeds with a band of ± one sd; returns the mean.

    Args:
        ax: matplotlib axes.
        values: [seeds, epochs]; one seed has no band.
        colour: of both.
        best: np.argmin or np.argmax, for a dot there.
        line: options of the curve.
    """
    epochs, mean = np.arange(1, values.shape[1] + 1), values.mean(axis=0)
    if len(values) > 1:
        sd = values.std(axis=0, ddof=1)
        ax.fill_between(epochs, mean - sd, mean + sd, color=colour, alpha=0.22, linewidth=0)
    ax.plot(epochs, mean, color=colour, **line)
    if best is not None:
        epoch = int(best(mean))
        ax.plot(epoch + 1, mean[epoch], "o", color=colour, markersize=4.5, clip_on=False)
    return mean


def loss_panels(drawn: Mapping[Any, Sequence[Curve]], gap: float = 0.055) -> None:
    """Draw each panel's curves of a loss, named at their ends; a dot marks each one's minimum."""
    ends: dict[Any, list[tuple[float, str, str]]] = {}
    for panel, curves in drawn.items():
        ends[panel] = []
        for curve in curves:
            best = np.argmin if curve.has_dot else None
            mean = band(panel, curve.values, curve.colour, best)
            ends[panel].append((float(mean[-1]), curve.name, curve.colour))
        panel.set(yscale="log")
        over_epochs(panel)
        loss_ticks(panel)
    for panel, labels in ends.items():  # limits that panels share are final now
        end_labels(panel, labels, gap)


def end_labels(ax: Any, labels: Sequence[tuple[float, str, str]], gap: float = 0.055) -> None:
    """Name curves at their right ends; names that would meet are moved apart.

    Args:
        ax: matplotlib axes, its limits final.
        labels: where each curve ends, in data, its name and its colour.
        gap: least distance between names, as a share of the axes' height.
    """
    ax.get_ylim()  # limits that follow the data are found only when they are asked for
    to_share = ax.transScale + ax.transLimits
    ends = [float(to_share.transform((1.0, y))[1]) for y, _, _ in labels]
    order = np.argsort(ends)
    places = np.array(ends)[order]
    for _ in range(100):  # neighbours push each other until all have room
        overlap = np.maximum(gap - np.diff(places), 0.0)
        if overlap.max(initial=0.0) < 1e-3:
            break
        places[:-1] -= overlap / 2
        places[1:] += overlap / 2
    for place, index in zip(places, order, strict=True):
        _, name, colour = labels[index]
        ax.text(1.03, place, name, color=colour, transform=ax.transAxes, va="center", fontsize=9)


def over_epochs(ax: Any, label: str = "epoch") -> None:
    """A horizontal axis of whole epochs, without margins."""
    ax.set(xlabel=label, xmargin=0)
    # one tick is enough: of a single epoch two would not be whole
    whole = MaxNLocator(nbins="auto", integer=True, steps=[1, 2, 5, 10], min_n_ticks=1)
    ax.xaxis.set_major_locator(whole)


class _PlainTicks(LogLocator):
    """1, 2 and 5 of each decade; even steps where these are fewer than three."""

    def tick_values(self, vmin: float, vmax: float) -> Any:
        ticks = np.asarray(super().tick_values(vmin, vmax))
        if np.count_nonzero((ticks >= vmin) & (ticks <= vmax)) >= 3:
            return ticks
        return MaxNLocator(8, steps=[1, 2, 5, 10]).tick_values(vmin, vmax)


def loss_ticks(ax: Any, axis: str = "y") -> None:
    """Plain numbers on a logarithmic axis."""
    which = ax.yaxis if axis == "y" else ax.xaxis
    which.set_major_locator(_PlainTicks(subs=(1.0, 2.0, 5.0)))
    which.set_major_formatter(FormatStrFormatter("%g"))
    which.set_minor_locator(NullLocator())


def power_ticks(axis: Any) -> None:
    """Label a logarithmic axis with powers of ten as text: matplotlib's own labels are formulas."""
    axis.set_major_formatter(lambda value, _: scientific(value))
    axis.set_minor_formatter(NullFormatter())


def series_colours(n: int) -> list[str]:
    """The first n colours of the theme in force; of more than it has, n from dark to light."""
    colours = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
    if n <= len(colours):
        return colours[:n]
    shades = mpl.colormaps["cividis"](np.linspace(0.0, 0.9, n))
    return list(map(to_hex, shades))


def over_seeds(n: Sequence[int]) -> str:
    """`mean ± sd over 5 seeds`, or what the numbers of seeds make of it."""
    low, high = min(n), max(n)
    if high == 1:
        return "one seed"
    return f"mean ± sd over {low if low == high else f'{low} to {high}'} seeds"


Panels = Figure | SubFigure
