"""The page as one HTML file, which loads nothing."""

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from figures.report import documents, drawings, study
from figures.report.contents import Contents
from figures.report.view import Missing, RunView, dataset_title, view_of
from mnist_fn.shared.pictures.reading import CONFIDENT, UNSURE
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.study.report import QUICK_RUN
from mnist_fn.shared.wording import counted

SCRIPTS = ("picture.js", "network.js", "draw.js", "confusion.js", "views.js")
RUN_SECTIONS = (  # of the chosen run, each in sections/NAME.html, and its title
    ("draw", "Draw a digit"),
    ("curves", "Learning curves"),
    ("confusion", "Confusion matrix"),
    ("mistakes", "Most confident mistakes"),
    ("classes", "Accuracy by class"),
    ("templates", "Templates"),
    ("training", "How it was trained"),
)
SHARED_SECTIONS = (
    ("runs", "All runs"),
    ("study", "The study"),
    ("parity", "Parity of the backends"),
    ("speed", "Speed"),
    ("missing", "Not on this page"),
)
DOCUMENT_COMMANDS = {  # what makes the documents of each kind
    "study": "mnist-fn study --out FOLDER",
    "parity": "mnist-fn parity --level quick --out FOLDER",
    "bench": "mnist-fn bench --out FOLDER/bench.json",
}


def build(contents: Contents, command: str, data_dir: Path | None = None) -> str:
    """The page as HTML.

    Args:
        contents: runs and documents.
        command: that makes the page, to be named on it.
        data_dir: of the first run's dataset; None looks in the usual places, downloads nothing,
            and does without test digits if there are none.

    Raises:
        InputError: bad documents; no dataset in `data_dir`, or another than the run's.
    """
    tables = {kind: documents.tables(kind, of_kind) for kind, of_kind in contents.documents.items()}
    horizons = drawings.horizons(contents.documents["parity"])
    views = _views(contents, data_dir)
    study_shown = _study(contents)
    missing = [*study_shown["missing"], *_missing_documents(contents)]
    shared = {
        "runs": True,
        "study": contents.documents["study"],
        "parity": contents.documents["parity"],
        "speed": contents.documents["bench"],
        "missing": missing or contents.skipped or any(view.missing for view in views),
    }
    script = "\n".join(_text(name) for name in SCRIPTS)
    environment = Environment(
        loader=PackageLoader("figures.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["counted"] = counted
    environment.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    return environment.get_template("page.html").render(
        contents=contents,
        views=views,
        choice=_choice(contents.runs, views),
        run_sections={view.number: _sections_of(view) for view in views},
        shared_sections=[(name, title) for name, title in SHARED_SECTIONS if shared[name]],
        tables=tables,
        study=study_shown,
        horizons=horizons,
        missing=missing,
        command=command,
        style=_text("page.css"),
        script=script,
        script_hash=_csp_hash(script),
        shown={
            "unsure": CONFIDENT,
            "doubt": UNSURE,
            "views": [view.for_script() for view in views],
        },
    )


def _views(contents: Contents, data_dir: Path | None) -> list[RunView]:
    """The runs in full; `data_dir` holds the data of the first, and of others on the same set."""
    first = contents.in_full[0].config.dataset
    return [
        view_of(run, number, contents.linear, data_dir if run.config.dataset == first else None)
        for number, run in enumerate(contents.in_full)
    ]


def _sections_of(view: RunView) -> list[tuple[str, str]]:
    """The names and titles of the sections that a run has something for."""
    shown = {
        "draw": view.networks,
        "mistakes": view.digits,
        "templates": view.templates,
    }
    return [
        (name, title.replace("digit", view.thing))
        for name, title in RUN_SECTIONS
        if shown.get(name, True) is not None
    ]


def _choice(runs: Sequence[Run], views: Sequence[RunView]) -> str:
    """How the run that the page opens with was chosen, and which runs can't be chosen."""
    first = views[0]
    alike = sum(run.config.dataset == first.run.config.dataset for run in runs)
    sentences = []
    if alike > 1:
        sentences.append(
            f"The page opens with the run of the highest test accuracy of {alike} on "
            f"{first.dataset}; that is a choice made on the test set."
        )
    count = Counter(dataset_title(run) for run in runs)
    del count[first.dataset]
    if count:
        sentences.append(
            f"{counted(count.total(), 'run')} on {', '.join(sorted(count))}: an accuracy means "
            "another thing there."
        )
    left_out = len(runs) - len(views)
    if left_out:
        sentences.append(
            f"{counted(left_out, 'more run')} in the table only; mnist-fn report RUN shows one "
            "in full."
        )
    return " ".join(sentences)


def _study(contents: Contents) -> dict[str, Any]:
    """Its figures, its warnings, and which figures are missing; nothing without its document."""
    of_study = contents.documents["study"].values()
    if not of_study:
        return {"figures": {}, "missing": [], "warnings": []}
    warnings = [str(document["warning"]) for document in of_study if document.get("warning")]
    backends = [name for document in of_study for name in document["backends"]]
    drawn, reasons = study.figures(
        contents.folders, contents.in_full[0], backends, QUICK_RUN in warnings
    )
    missing = [Missing("a figure of the study", reason) for reason in reasons]
    return {"figures": drawn, "missing": missing, "warnings": warnings}


def _missing_documents(contents: Contents) -> list[Missing]:
    names = {"study": "the study", "parity": "parity of the backends", "bench": "speed"}
    return [
        Missing(names[kind], f"there is no {kind}.json in the folders given", command)
        for kind, command in DOCUMENT_COMMANDS.items()
        if not contents.documents[kind]
    ]


def _text(name: str) -> str:
    return files("figures.report").joinpath(name).read_text(encoding="utf-8")


def _csp_hash(script: str) -> str:
    """What a Content-Security-Policy calls the one script that may run."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
