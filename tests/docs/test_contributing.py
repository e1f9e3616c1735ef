"""The table of where a change goes names files and folders that are there."""

import re

import pytest
from pages import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text()
TABLE = PAGE.split("## Where a change goes")[1].split("\n## ")[0]
ROWS = [line for line in TABLE.splitlines() if line.startswith("| ")][1:]


def missing_paths(row: str) -> list[str]:
    """The files and folders that a row names and the checkout lacks.

    A bare file name stands in the folder that the row names before it.
    """
    missing, folder = [], ROOT
    for name in re.findall(r"`([^`]+)`", row):
        if not name.endswith(("/", ".py", ".js", ".md")):
            continue
        path = ROOT / name if "/" in name else folder / name
        if name.endswith("/"):
            folder = path
        if not path.exists():
            missing.append(name)
    return missing


def test_every_row_names_a_place():
    assert len(ROWS) > 20
    for row in ROWS:
        assert "`" in row or "](" in row, row


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_the_files_of_a_row_exist(row):
    assert missing_paths(row) == []


def test_a_file_that_is_not_there_is_reported():
    row = "| x | `mnist_fn/shared/runs/`: `header.py`, `staff.py`; `mnist_fn/port/` |"
    assert missing_paths(row) == ["staff.py", "mnist_fn/port/"]
