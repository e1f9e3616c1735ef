"""The docs site, made by `make docs` into build/docs."""

import importlib
import inspect
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
smartquotes = False  # what is quoted is often to be typed
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


def _field(app, what, name, obj, options, lines):
    """A dataclass's field is described by the comment behind it, as its readers have it."""
    if what != "attribute" or any(lines):
        return
    owner, _, field = name.rpartition(".")
    comment = _field_comments(owner).get(field)
    if comment is not None:
        lines[:] = [comment[:1].upper() + comment[1:] + "."]


def _field_comments(name):
    """The comments behind the fields of a class, by field."""
    module, _, cls = name.rpartition(".")
    try:
        source = inspect.getsource(getattr(importlib.import_module(module), cls))
    except (ImportError, AttributeError, OSError, TypeError):
        return {}
    return dict(re.findall(r"^    (\w+): [^#\n]*?  # (.+)$", source, re.MULTILINE))


def setup(app):
    app.connect("autodoc-process-docstring", _code)
    app.connect("autodoc-process-docstring", _field)
    app.connect("source-read", _inside)
