"""Figures on the page: SVG, drawn once for light and once for dark; the browser takes its own."""

import base64
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from figures import build, fonts, style
from figures.report import documents
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.wording import counted

FEW = 20  # classes: of more the others are a band, not a curve each
_PICTURE = Markup(
    '<picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
    '<img src="{light}" alt="{label}"></picture>'
)


def themed(draw: Callable[[], Any], label: str) -> Markup:
    """A figure in both themes.

    Args:
        draw: makes the matplotlib figure, in the theme in force.
        label: what it shows, for who can't see it.
    """
    uris = {theme: _svg(draw, theme) for theme in style.THEMES}
    return _PICTURE.format(**uris, label=label)


def _svg(draw: Callable[[], Any], theme: str) -> str:
    file = io.BytesIO()
    # text as text: smaller, and the browser has the fonts
    text_kept = mpl.rc_context({"svg.fonttype": "none"})
    with style.themed(theme), text_kept, fonts.boxes_allowed():
        draw().savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode()


def curves(run: Run) -> list[Markup]:
    """Loss and accuracy over the epochs; train dashed, test solid, the best epoch marked."""
    pictures = []
    epochs = counted(len(run.rows), "epoch")
    for measure, word in (("loss", "smallest"), ("accuracy", "largest")):
        best = run.best[f"test_{measure}"]
        label = (
            f"Train and test {measure} of {epochs}; the {word} test {measure}, "
            f"{best['value']:.4f}, is at epoch {best['epoch']}"
        )
        pictures.append(themed(partial(_curve, run, measure), label))
    return pictures


def _curve(run: Run, measure: str) -> Any:
    scale = 100 if measure == "accuracy" else 1
    best = run.best[f"test_{measure}"]
    ax = _axes((4.6, 3.0))
    test, train = style.series_colours(2)
    for split, line, colour in (("train", "--", train), ("test", "-", test)):
        values = scale * run.history[f"{split}_{measure}"]
        ax.plot(run.history["epoch"], values, line, color=colour, label=split)
    ax.axvline(best["epoch"], color=test, linestyle=":", linewidth=1)
    at_best = (best["epoch"], scale * best["value"])
    ax.plot(*at_best, "o:", color=test, markersize=5, linewidth=1, label="best epoch")
    ax.set_xlabel("epoch")
    ax.set_title(measure + (" [%]" if scale > 1 else ""), loc="left")
    ax.legend()
    return ax.figure


def by_class(run: Run) -> list[Markup]:
    """Test accuracy of each class over the epochs, a panel each, on one scale."""
    classes = range(len(run.confusion_matrix))
    shares = np.array([100 * run.history[f"test_accuracy_{label}"] for label in classes])
    return [
        themed(
            lambda label=label: _class_panel(shares, label, run.data_spec.names[label]),
            f"Test accuracy of class {run.data_spec.names[label]}: {_share(shares[label, -1])} "
            "after the last epoch",
        )
        for label in classes
    ]


def _share(percent: float) -> str:
    return "–" if np.isnan(percent) else f"{percent:.2f} %"


def _class_panel(shares: np.ndarray, label: int, name: str) -> Any:
    ax = _axes((2.1, 1.6))
    epochs = range(1, shares.shape[1] + 1)
    if len(shares) > FEW:
        known = shares[~np.isnan(shares).any(axis=1)]
        ax.fill_between(epochs, known.min(axis=0), known.max(axis=0), color=style.faint())
    else:
        ax.plot(epochs, shares.T, color=style.faint(), linewidth=0.8)
    ax.plot(epochs, shares[label], color=style.series_colours(1)[0])
    ax.set_ylim(float(np.nanmin(shares)) - 1, 100.5)
    ax.set_title(name if len(name) <= 12 else name[:11] + "…", loc="left", fontweight="bold")
    return ax.figure


def horizons(documents_by_file: dict[Path, documents.Document]) -> list[Markup]:
    """Of each parity document that has one: how far the frameworks and their twins are apart.

    Raises:
        InputError: a document is not what its command writes.
    """
    entry, drawn = build.HORIZON, []
    for file, document in documents_by_file.items():
        if document.get(entry.level):
            with documents.as_written("parity", file):
                draw = partial(build.draw, entry, document[entry.level])
                drawn.append(themed(draw, entry.what))
    return drawn


def _axes(size: tuple[float, float]) -> Any:
    """Empty axes with whole epochs below."""
    ax = style.new_axes(size[1], size[0])
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    return ax
