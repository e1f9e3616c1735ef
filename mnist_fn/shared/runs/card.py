"""How a notebook shows a run and tables: HTML, its pictures inline."""

from collections.abc import Sequence
from html import escape

import numpy as np

from mnist_fn.shared.evaluation import row_normalized
from mnist_fn.shared.runs import metrics
from mnist_fn.shared.runs.metrics import Row

WIDTH, HEIGHT, CELL = 300, 120, 14  # pixels
KEY = "loss over epochs, logarithmic: train grey, test blue; true classes are rows"
CURVES = (("train_loss", "#8c959f"), ("test_loss", "#0072b2"))


def card(title: str, about: Sequence[str], rows: Sequence[Row], matrix: np.ndarray) -> str:
    """One element of HTML, its pictures inline; nothing is loaded or run.

    Args:
        title: what was trained.
        about: lines below it.
        rows: the metrics of each epoch.
        matrix: counts [classes, classes], rows are true classes.
    """
    loss, accuracy = (metrics.best(rows, name) for name in ("test_loss", "test_accuracy"))
    final, last = rows[-1], f"epoch {len(rows)}"
    at = f"epochs {loss['epoch']} and {accuracy['epoch']}"
    lines = "".join(
        f"<tr><th>{name} test</th><td>{a:.5f}</td><td>{b:.2%}</td><td>{when}</td></tr>"
        for name, a, b, when in (
            ("final", final["test_loss"], final["test_accuracy"], last),
            ("best", loss["value"], accuracy["value"], at),
        )
    )
    return (
        f"<div><b>{escape(title)}</b>{''.join(f'<br>{escape(line)}' for line in about)}"
        f"<table><tr><th></th><th>loss</th><th>accuracy</th><th></th></tr>{lines}</table>"
        f"{_curves(rows)} {_matrix(matrix)}<br><small>{KEY}</small></div>"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]], below: Sequence[str] = ()) -> str:
    """A table and lines below it, in HTML.

    Args:
        head: the columns' names.
        rows: their cells, as text.
        below: lines.
    """
    lines = "".join(_row("td", row) for row in rows)
    rest = "".join(f"<div>{escape(line)}</div>" for line in below)
    return f"<div><table>{_row('th', head)}{lines}</table>{rest}</div>"


def _row(kind: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{kind}>{escape(cell)}</{kind}>' for cell in cells)}</tr>"


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


def _svg(width: int, height: int, said: str, content: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img" '
        f'aria-label="{escape(said)}">{content}</svg>'
    )
