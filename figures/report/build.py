"""The page, from what was found: one file that needs nothing but itself."""

import base64
import hashlib
from collections import Counter
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from figures.report import documents, drawings, network, study, templates
from figures.report.digits import Digits
from figures.report.found import Found
from mnist_fn.shared.data.datasets import load_for, scale_pixels
from mnist_fn.shared.errors import InputError, NotFoundError
from mnist_fn.shared.evaluation import forward
from mnist_fn.shared.pictures.preparation import DOUBT, SIDE, UNSURE
from mnist_fn.shared.runs.opening import check_same_data
from mnist_fn.shared.runs.records import RunDirectory
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.state import count_parameters, layer_sizes
from mnist_fn.shared.study.report import QUICK_RUN
from mnist_fn.shared.wording import in_shell

SCRIPTS = ("picture.js", "network.js", "draw.js", "confusion.js")
MANY = 20  # classes: their bars go in columns, and the matrix scrolls
TITLES = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST", "kmnist": "Kuzushiji-MNIST"}
SECTIONS = (  # each in sections/NAME.html, and its title
    ("draw", "Draw a digit"),
    ("runs", "What was run, and where"),
    ("curves", "Learning curves"),
    ("study", "The study"),
    ("confusion", "Confusion matrix"),
    ("classes", "Accuracy by class"),
    ("mistakes", "Most confident mistakes"),
    ("templates", "Templates"),
    ("parity", "Parity of the backends"),
    ("speed", "Speed"),
)


@dataclass(frozen=True)
class Missing:
    """A part of the page that can't be made, and what would make it."""

    why: str
    command: str = ""


def build(found: Found, command: str, data_dir: Path | None = None) -> str:
    """The page as HTML.

    Args:
        found: runs and documents.
        command: that makes the page, to be named on it.
        data_dir: of the main run's dataset; None looks in the usual places, downloads nothing,
            and does without test digits if there are none.

    Raises:
        InputError: bad documents; no dataset in `data_dir`, or another than the run's.
    """
    tables = {kind: documents.tables(kind, those) for kind, those in found.documents.items()}
    digits = _test_digits(found.main, data_dir)
    networks = _networks(found)
    script = "\n".join(_text(name) for name in SCRIPTS)
    titles, dataset = Counter(map(_title, found.runs)), _title(found.main)
    form = found.main.form
    thing = form.thing
    shown: dict[str, Any] = {
        "networks": networks if isinstance(networks, list) else [],
        "names": form.names,
        "thing": thing,
        "unsure": UNSURE,
        "doubt": DOUBT,
        "form": {"transposed": form.transposed, "dark": form.ink == "dark",
                 "two": form.largest == 1},
    }  # fmt: skip
    if isinstance(digits, Digits):
        shown["digits"] = digits.in_cells(len(found.main.confusion_matrix))
    environment = Environment(
        loader=PackageLoader("figures.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["in_shell"] = in_shell  # a page is made, and read, beside the command
    return environment.get_template("page.html").render(
        found=found,
        run=found.main,
        header=_header(found.main),
        dataset=dataset,
        alike=titles[dataset],
        others=", ".join(sorted(titles.keys() - {dataset})),
        layers=" → ".join(map(str, layer_sizes(found.main.weights))),
        parameters=count_parameters(found.main.weights),
        networks=networks,
        names=form.names,
        thing=thing,
        kind=form.kind,
        kinds="classes" if form.kind == "class" else f"{form.kind}s",
        many=form.classes > MANY,
        digits=digits,
        curves=drawings.curves(found.main),
        by_class=drawings.by_class(found.main),
        templates=_templates(found.linear),
        tables=tables,
        study=_study(found),
        horizons=drawings.horizons(found.documents["parity"]),
        command=command,
        sections=[(name, title.replace("digit", thing)) for name, title in SECTIONS],
        is_missing=lambda part: isinstance(part, Missing),
        good=documents.GOOD,
        bad=documents.BAD,
        style=_text("page.css"),
        script=script,
        script_hash=_csp_hash(script),
        shown=shown,
    )


def _title(run: Run) -> str:
    return TITLES.get(run.config.dataset, run.config.dataset)


def _study(found: Found) -> dict[str, Any]:
    """Its figures, why others are missing, and warnings; nothing without its document."""
    if not found.documents["study"]:
        return {"figures": {}, "missing": [], "warnings": []}
    said = [one.get("warning") for one in found.documents["study"].values()]
    warnings = [str(one) for one in said if one]
    backends = [name for one in found.documents["study"].values() for name in one["backends"]]
    drawn, missing = study.figures(found.paths, found.main, backends, QUICK_RUN in warnings)
    return {"figures": drawn, "missing": missing, "warnings": warnings}


def _header(run: Run) -> Any:
    assert run.path is not None  # noqa: S101 - it was read from there
    return RunDirectory(run.path).read_header()


def _test_digits(run: Run, data_dir: Path | None) -> Digits | Missing:
    command = f"mnist-fn report {run.path} --data-dir FOLDER"
    try:
        dataset = load_for(run.config, data_dir, download=False, form=run.form)
        check_same_data(_header(run), dataset)
    except NotFoundError:
        return Missing(f"the pictures of {run.config.dataset} were not found", command)
    except InputError as error:
        if data_dir is not None:
            raise
        return Missing(str(error), command)
    logits = forward(run.weights, scale_pixels(dataset.test.images, "float64"))
    return Digits.of(dataset.test, run.evaluation, logits, run.form)


def _networks(found: Found) -> list[dict[str, Any]] | Missing:
    """The main run's network, and the linear one if that is another."""
    if found.main.form.ink == "unknown":
        return Missing("whether this run's pictures are light on dark is not known",
                       "mnist-fn train --ink light")  # fmt: skip
    runs = [found.main]
    other = found.linear is not None and found.linear.path != found.main.path
    if found.linear is not None and other and found.linear.form == found.main.form:
        runs.append(found.linear)
    try:
        packed = [network.packed(run) for run in runs]
    except InputError as error:
        return Missing(str(error))
    if packed[0]["sizes"][0] != SIDE**2:
        return Missing(
            f"the run is on images of {packed[0]['sizes'][0]} pixels, a drawing has {SIDE**2}",
            "mnist-fn train",
        )
    return [one for one in packed if one["sizes"][0] == SIDE**2]


def _templates(linear: Run | None) -> list[dict[str, Any]] | Missing:
    if linear is None:
        return Missing(
            "only a linear model has templates, and none was given",
            "mnist-fn train --model linear",
        )
    return templates.pictures(linear)


def _text(name: str) -> str:
    return files("figures.report").joinpath(name).read_text(encoding="utf-8")


def _csp_hash(script: str) -> str:
    """What a Content-Security-Policy calls the one script that may run."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
