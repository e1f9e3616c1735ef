"""Runs and tables in a notebook: HTML with inline pictures, and pandas for `to_frame`."""

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from mnist_fn.shared.errors import missing
from mnist_fn.shared.evaluation import row_normalized
from mnist_fn.shared.runs import metrics
from mnist_fn.shared.runs.metrics import Row

WIDTH, HEIGHT, CELL = 300, 120, 14  # pixels
KEY = "loss over epochs, logarithmic: train grey, test blue; true classes are rows"
CURVES = (("train_loss", "#8c959f"), ("test_loss", "#0072b2"))


def pandas(owner: str) -> Any:
    """The module pandas, for `{owner}.to_frame`.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise missing(f"{owner}.to_frame", "pandas", error) from error
    return pd


def run_card(title: str, lines: Sequence[str], rows: Sequence[Row], matrix: np.ndarray) -> str:
    """One HTML element with inline pictures; nothing is loaded or executed.

    Args:
        title: what was trained.
        lines: text below the title.
        rows: the metrics of each epoch; none of a run that has not begun.
        matrix: counts [classes, classes], rows are true classes.
    """
    heading = f"<b>{escape(title)}</b>" + "".join(f"<br>{escape(line)}" for line in lines)
    if not rows:
        return f"<div>{heading}</div>"
    loss, accuracy = metrics.best(rows, "test_loss"), metrics.best(rows, "test_accuracy")
    final = rows[-1]["test_loss"], rows[-1]["test_accuracy"]
    best = loss["value"], accuracy["value"]
    epochs = f"epochs {loss['epoch']} and {accuracy['epoch']}"
    figures = (
        f"<table><tr><th></th><th>loss</th><th>accuracy</th><th></th></tr>"
        f"{_figures('final', final, f'epoch {len(rows)}')}{_figures('best', best, epochs)}</table>"
    )
    pictures = f"{_curves(rows)} {_matrix(matrix)}"
    return f"<div>{heading}{figures}{pictures}<br><small>{KEY}</small></div>"


def _figures(name: str, figures: tuple[float, float], epochs: str) -> str:
    loss, accuracy = figures
    return (
        f"<tr><th>{name} test</th><td>{loss:.5f}</td><td>{accuracy:.2%}</td><td>{epochs}</td></tr>"
    )


def html_table(
    head: Sequence[str], rows: Sequence[Sequence[str]], below: Sequence[str] = ()
) -> str:
    """A table in HTML and lines below it.

    Args:
        head: the columns' names.
        rows: their cells, as text.
        below: lines.
    """
    lines = [_row("th", head)] + [_row("td", row) for row in rows]
    notes = "".join(f"<div>{escape(line)}</div>" for line in below)
    return f"<div><table>{''.join(lines)}</table>{notes}</div>"


def _row(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _curves(rows: Sequence[Row]) -> str:
    """Train and test loss over epochs, on a logarithmic axis."""
    drawn = [(name, colour) for name, colour in CURVES if name in rows[0]]
    values = np.log([[max(row[name], 1e-12) for name, _ in drawn] for row in rows])
    low, high = float(values.min()), float(values.max())
    x = np.linspace(2, WIDTH - 2, len(values))
    y = 2 + (HEIGHT - 4) * (high - values) / ((high - low) or 1.0)
    lines = "".join(_line(x, y[:, i], colour) for i, (_, colour) in enumerate(drawn))
    words = ", ".join(f"{name.replace('_', ' ')} {rows[-1][name]:.4f}" for name, _ in drawn)
    return _svg(WIDTH, HEIGHT, f"loss over {len(values)} epochs, at the end {words}", lines)


def _line(x: Sequence[float] | np.ndarray, y: np.ndarray, colour: str) -> str:
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def _matrix(matrix: np.ndarray) -> str:
    """Rows are true classes; the darker a cell, the larger its share of the row."""
    shares = np.sqrt(np.nan_to_num(row_normalized(matrix)))  # else mistakes would not be seen
    cells = "".join(
        f'<rect x="{column * CELL}" y="{row * CELL}" width="{CELL}" height="{CELL}" '
        f'fill="#0072b2" fill-opacity="{share:.3f}"><title>{row} → {column}: '
        f"{matrix[row, column]}</title></rect>"
        for (row, column), share in np.ndenumerate(shares)
    )
    side = CELL * len(matrix)
    right = np.trace(matrix) / max(matrix.sum(), 1)
    return _svg(side, side, f"confusion matrix, {right:.2%} on the diagonal", cells)


def _svg(width: int, height: int, label: str, content: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img" '
        f'aria-label="{escape(label)}">{content}</svg>'
    )
