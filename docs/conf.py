"""The docs site, made by `make docs` into build/docs."""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import mnist_fn  # noqa: E402 - of the checkout, whatever is installed

for name in mnist_fn.__all__:  # each is fetched when it is asked for; autodoc reads what is there
    setattr(mnist_fn, name, getattr(mnist_fn, name))

project = "mnist-fn"
author = "The mnist-fn developers"
release = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["make", "evidence"]
nb_execution_mode = "off"  # as they were run; tests run them anew
myst_heading_anchors = 4  # as GitHub has them, so links serve both
default_role = "code"  # in docstrings, as in Markdown
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 80
copybutton_exclude = ".linenos, .gp"

html_theme = "furo"
html_static_path = ["static"]
html_js_files = ["accessible.js"]
html_title = f"mnist-fn {release}"
html_show_sphinx = False


def _inside(app, docname, source):
    """Links to the pages that stand beside docs/ become those to the pages that include them."""
    source[0] = re.sub(r"\]\(\.\./([A-Z]+)\.md", lambda m: f"]({m[1].lower()}.md", source[0])


def _code(app, what, name, obj, options, lines):
    """A module's indented lines are code, as in Markdown."""
    if what != "module":
        return
    for at in range(len(lines) - 1, 0, -1):
        above = next((line for line in reversed(lines[:at]) if line), "")
        if lines[at].startswith("    ") and not lines[at - 1] and not above.startswith(" "):
            lines[at:at] = [".. code-block:: python", ""]


def setup(app):
    app.connect("autodoc-process-docstring", _code)
    app.connect("source-read", _inside)
