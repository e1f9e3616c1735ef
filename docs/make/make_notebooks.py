"""Execute the notebooks and keep them with their outputs; the tests execute them again.

    python docs/make/make_notebooks.py [NAME...]

Each runs in an empty folder. Their text is edited in docs/notebooks/, but for that of the port,
which is docs/porting.md's example (`make_porting.py`).
"""

import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import make_porting
import nbformat
from nbclient import NotebookClient
from pages import DOCS

FOLDER = DOCS / "notebooks"
NAMES = ("study", "own-data", "porting")
KERNEL = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}


def notebook(name: str) -> Any:
    """A notebook to be executed."""
    if name != "porting":
        return nbformat.read(path(name), 4)
    numbered = [cell | {"id": f"cell-{i}"} for i, cell in enumerate(make_porting.cells())]
    return nbformat.v4.new_notebook(cells=numbered, metadata=KERNEL)


def path(name: str) -> Path:
    """Where a notebook is kept."""
    return FOLDER / f"{name}.ipynb"


def executed(name: str) -> Any:
    """A notebook after it ran in an empty folder, with what its cells show."""
    os.environ["PYTHONPATH"] = str(DOCS.parent)
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        client = NotebookClient(notebook(name), timeout=3600, resources=resources)
        return without_times(client.execute())


def without_times(ran: Any) -> Any:
    """A notebook without when each cell ran and how long."""
    for cell in ran.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", ()):
            text = output.get("data", {}).get("text/plain")
            if text:
                output["data"]["text/plain"] = re.sub(r" \d:\d\d:\d\d [\d:-]+(?=\n)", "", text)
    ran.metadata.pop("language_info", None)
    return ran


if __name__ == "__main__":
    for name in sys.argv[1:] or NAMES:
        text = json.dumps(executed(name), indent=1, ensure_ascii=False)
        path(name).write_text(text + "\n")
