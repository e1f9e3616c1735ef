"""Runs and tables as Python shows them: text, in a notebook HTML, and pandas for `to_frame`."""

from collections.abc import Sequence
from html import escape
from typing import Any

from mnist_fn.shared.errors import missing


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


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in plain text: the first column on the left, numbers on the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = []
    for row in (head, *rows):
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells[1:]]))
    return "\n".join(lines)


def html_table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    title: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> str:
    """A table in HTML, the columns' names and their cells as text, between a title's lines and
    notes.
    """
    lines = [_row("th", head)] + [_row("td", row) for row in rows]
    return f"<div>{_lines(title)}<table>{''.join(lines)}</table>{_lines(notes)}</div>"


def _row(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _lines(texts: Sequence[str]) -> str:
    return "".join(f"<div>{escape(text)}</div>" for text in texts)
