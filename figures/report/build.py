"""The page as one HTML file, which loads nothing."""

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from figures.report import documents, drawings
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
DOCUMENT_COMMANDS = {  # what the documents of each kind are for, and what makes them
    "study": ("the study", "mnist-fn study --out FOLDER"),
    "parity": ("parity of the backends", "mnist-fn parity --level quick --out FOLDER"),
    "bench": ("speed", "mnist-fn bench --out FOLDER/bench.json"),
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
    tables: dict[str, list[documents.DocumentTable]] = {}
    missing: list[Missing] = []
    for kind, of_kind in contents.documents.items():
        tables[kind] = documents.tables(kind, of_kind)
        if not of_kind:
            part, made_by = DOCUMENT_COMMANDS[kind]
            missing.append(Missing(part, f"there is no {kind}.json in the folders given", made_by))
    horizons = drawings.horizons(contents.documents["parity"])
    first = contents.in_full[0]
    views: list[RunView] = []
    for number, run in enumerate(contents.in_full):
        folder = data_dir if run.config.dataset == first.config.dataset else None
        views.append(view_of(run, number, contents.linear, folder))
    studies = contents.documents["study"].values()
    warnings: list[str] = []
    backends: list[str] = []
    for document in studies:
        backends += document["backends"]
        if document.get("warning"):
            warnings.append(str(document["warning"]))
    drawn: dict[str, Markup] = {}
    if studies:
        is_quick = QUICK_RUN in warnings
        drawn, reasons = drawings.of_study(contents.folders, first, backends, is_quick)
        missing += [Missing("a figure of the study", reason) for reason in reasons]
    parts = {
        "runs": True,
        "study": studies,
        "parity": contents.documents["parity"],
        "speed": contents.documents["bench"],
        "missing": missing or contents.skipped or any(view.missing for view in views),
    }
    shared_sections: list[tuple[str, str]] = []
    for name, title in SHARED_SECTIONS:
        if parts[name]:
            shared_sections.append((name, title))
    script = "\n".join(map(_text, SCRIPTS))
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
        shared_sections=shared_sections,
        tables=tables,
        study={"figures": drawn, "warnings": warnings},
        horizons=horizons,
        missing=missing,
        command=command,
        style=_text("page.css"),
        script=script,
        # what a Content-Security-Policy calls the one script that may run
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        shown={
            "unsure": CONFIDENT,
            "doubt": UNSURE,
            "views": list(map(RunView.for_script, views)),
        },
    )


def _sections_of(view: RunView) -> list[tuple[str, str]]:
    """The names and titles of the sections that a run has something for."""
    parts = {"draw": view.networks, "mistakes": view.digits, "templates": view.templates}
    sections: list[tuple[str, str]] = []
    for name, title in RUN_SECTIONS:
        if parts.get(name, True) is not None:
            sections.append((name, title.replace("digit", view.run.data_spec.thing)))
    return sections


def _choice(runs: Sequence[Run], views: Sequence[RunView]) -> str:
    """How the run that the page opens with was chosen, and which runs can't be chosen."""
    first = views[0]
    count = Counter(map(dataset_title, runs))
    alike = count.pop(first.dataset)
    sentences = []
    if alike > 1:
        sentences.append(
            f"The page opens with the run of the highest test accuracy of {alike} on "
            f"{first.dataset}; that is a choice made on the test set."
        )
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


def _text(name: str) -> str:
    return files("figures.report").joinpath(name).read_text(encoding="utf-8")
