"""Figures on the page: SVG, drawn once for light and once for dark; the browser takes its own."""

import base64
import io
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup

import figures
from figures import build, fonts, style
from figures.report import documents
from figures.series import accuracies
from mnist_fn.shared.errors import InputError, in_shell
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.study.report import QUICK_RUN
from mnist_fn.shared.wording import counted, figure

ELSEWHERE = ("worst-mistakes",)  # the page has its own, of the run that it shows in full
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
    pictures: list[Markup] = []
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
    ax = style.new_axes(3.2, 4.6)
    figures.curves.draw(ax, [run], measure, *style.series_colours(1))
    ax.legend()
    return ax.figure


def by_class(run: Run, many: bool) -> list[Markup]:
    """Test accuracy of each class over the epochs, a panel each, on one scale."""
    names = run.data_spec.names
    values = accuracies([run])
    pictures: list[Markup] = []
    for label, name in enumerate(names):
        last = figure(values[label, 0, -1] / 100, "accuracy") or "–"
        text = f"Test accuracy of class {name}: {last} after the last epoch"
        pictures.append(themed(partial(_class_panel, values, label, name, many), text))
    return pictures


def _class_panel(values: np.ndarray, label: int, name: str, many: bool) -> Any:
    ax = style.new_axes(1.6, 2.1)
    figures.per_class.draw(ax, values, label, many)
    ax.set_ylim(float(np.nanmin(values)) - 1, 100.5)
    ax.set_title(name if len(name) <= 12 else name[:11] + "…", loc="left", fontweight="bold")
    return ax.figure


def horizons(documents_by_file: dict[Path, documents.Document]) -> list[Markup]:
    """Of each parity document that has one: how far the frameworks and their twins are apart.

    Raises:
        InputError: a document is not what its command writes.
    """
    entry = build.HORIZON
    drawn: list[Markup] = []
    for file, document in documents_by_file.items():
        if document.get(entry.level):
            with documents.as_written("parity", file):
                draw = partial(build.draw, entry, document[entry.level])
                drawn.append(themed(draw, entry.what))
    return drawn


def of_study(
    paths: Sequence[Path], main: Run, backends: Sequence[str], quick: bool
) -> tuple[dict[str, Markup], list[str]]:
    """Figures of one backend's runs by what they show; why others can't be drawn.

    Args:
        paths: folders with runs.
        main: whose dataset's runs, and whose backend's if the study was made on it.
        backends: that the study was made on.
        quick: they are a quick study's.
    """
    backend = main.backend if main.backend in backends or not backends else backends[0]
    shelf = build.Shelf(paths, backend, main.config.dataset, quick)
    note = QUICK_RUN.partition(":")[0] if quick else None
    drawn: dict[str, Markup] = {}
    missing: list[str] = []
    for name, entry in build.OF_STUDY.items():
        if name in ELSEWHERE:
            continue
        try:
            draw = partial(build.draw, entry, shelf.records(entry), note=note)
            drawn[entry.what] = themed(draw, entry.what)
        except InputError as error:
            missing.append(in_shell(error))
    return drawn, missing
