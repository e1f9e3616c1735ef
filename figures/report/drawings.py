"""The page's own figures, as SVG that takes its colours from the page: light and dark."""

import io
import re
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mnist_fn.shared.run import Run

# Each colour as it is drawn, and the page's variable that takes its place.
COLOURS = {"#1b1d22": "--ink", "#dfe1e6": "--line", "#1f5fbf": "--accent", "#c2410c": "--wrong"}
INK, LINE, ACCENT, WRONG = COLOURS
STYLE = {
    "svg.fonttype": "none",  # text stays text: the page's font, and found by search
    "svg.hashsalt": "mnist-fn",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
}


def as_svg(figure: Figure, name: str, label: str) -> Markup:
    """A figure as an inline SVG that is as wide as there is room.

    Args:
        figure: drawn under STYLE, or with other colours, which stay as they are.
        name: unique on the page: the figure's ids begin with it.
        label: what it shows, for who can't see it.
    """
    file = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'( id="|url\(#|xlink:href="#)', rf"\g<1>{name}-", svg)
    for colour, variable in COLOURS.items():
        svg = svg.replace(colour, f"var({variable})")
    tag, rest = svg.split(">", 1)
    svg = re.sub(r' (width|height)="[^"]*"', "", tag) + ">" + rest
    said = Markup('<svg role="img" aria-label="{}"').format(label)
    return Markup(svg.replace("<svg", str(said), 1))


def curves(run: Run) -> list[Markup]:
    """Loss and accuracy over the epochs; train dashed, test solid, the best epoch marked."""
    return [_curve(run, "loss", 1.0), _curve(run, "accuracy", 100.0)]


def _curve(run: Run, measure: str, scale: float) -> Markup:
    epochs = run.history["epoch"]
    best = run.best[f"test_{measure}"]
    with mpl.rc_context(STYLE):
        ax = _axes((4.6, 3.0))
        for split, line, colour in (("train", "--", WRONG), ("test", "-", ACCENT)):
            values = scale * run.history[f"{split}_{measure}"]
            ax.plot(epochs, values, line, color=colour, label=split)
        ax.axvline(best["epoch"], color=ACCENT, linestyle=":", linewidth=1)
        ax.plot(best["epoch"], scale * best["value"], "o", color=ACCENT, markersize=5)
        ax.set_xlabel("epoch")
        ax.set_title(measure + (" [%]" if scale > 1 else ""))
        ax.legend()
        word = "smallest" if measure == "loss" else "largest"
        return as_svg(
            ax.figure,
            f"curve-{measure}",
            f"Train and test {measure} over {len(epochs)} epochs; the {word} test {measure}, "
            f"{best['value']:.4f}, is at epoch {best['epoch']}",
        )


def by_class(run: Run) -> list[Markup]:
    """Test accuracy of each class over the epochs, a panel each, on one scale."""
    history, classes = run.history, len(run.confusion_matrix)
    shares = np.array([100 * history[f"test_accuracy_{label}"] for label in range(classes)])
    low = float(np.nanmin(shares))
    panels = []
    with mpl.rc_context(STYLE):
        for label, values in enumerate(shares):
            ax = _axes((2.1, 1.6))
            for other in shares:
                ax.plot(history["epoch"], other, color=LINE, linewidth=0.8)
            ax.plot(history["epoch"], values, color=ACCENT)
            ax.set_ylim(low - 1, 100.5)
            ax.set_title(f"{label}", fontweight="bold")
            said = f"Test accuracy of class {label}: {values[-1]:.2f} % after the last epoch"
            panels.append(as_svg(ax.figure, f"class-{label}", said))
    return panels


def _axes(size: tuple[float, float]) -> Any:
    """Empty axes with whole epochs below."""
    ax = Figure(figsize=size, layout="constrained").add_subplot()
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    return ax
