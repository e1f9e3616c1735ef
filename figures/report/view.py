"""One run in full: its numbers, network, test digits, curves and templates as the page has them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isqrt
from pathlib import Path
from typing import Any

from markupsafe import Markup

from figures.report import drawings, network
from figures.report.digits import Digits
from mnist_fn.shared.data.datasets import load_for, scale_pixels
from mnist_fn.shared.errors import InputError, NotFoundError, in_shell
from mnist_fn.shared.evaluation import forward
from mnist_fn.shared.runs.header import Header
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.state import count_parameters, layer_sizes
from mnist_fn.shared.wording import counted

MANY = 20  # classes: their bars go in columns, and the matrix scrolls
MAX_SIDE = 64  # pixels of a picture that can be drawn
TITLES = {
    "mnist": "MNIST",
    "fashion-mnist": "Fashion-MNIST",
    "kmnist": "Kuzushiji-MNIST",
    "digits": "scikit-learn's digits",
}


@dataclass(frozen=True)
class Missing:
    """A part that can't be shown, why not, and the command that makes it."""

    part: str
    reason: str
    command: str = ""


@dataclass(frozen=True)
class RunView:
    """What the page shows of one run; a part that is None stands in `missing`, with its reason."""

    number: int  # of the views: the page opens with 0
    run: Run
    header: Header
    title: str
    networks: list[dict[str, Any]] | None  # its own, and the linear one of its dataset
    digits: Digits | None
    curves: list[Markup]
    by_class: list[Markup]
    templates: list[dict[str, Any]] | None
    missing: list[Missing]

    @property
    def suffix(self) -> str:
        """What makes an id of this view unique: nothing in the first."""
        return f"-{self.number + 1}" if self.number else ""

    @property
    def dataset(self) -> str:
        """The dataset's name as it is written."""
        return dataset_title(self.run)

    @property
    def kinds(self) -> str:
        """What classes are called."""
        kind = self.run.data_spec.kind
        return "classes" if kind == "class" else f"{kind}s"

    @property
    def many(self) -> bool:
        """Whether there are more classes than a table has room for."""
        return len(self.run.data_spec.names) > MANY

    @property
    def layers(self) -> str:
        """The widths of the layers: `784 → 512 → 10`."""
        return " → ".join(map(str, layer_sizes(self.run.weights)))

    @property
    def parameters(self) -> int:
        """How many the network has."""
        return count_parameters(self.run.weights)

    @property
    def epochs(self) -> int:
        """How many were trained here: an imported run begins with a row of its import."""
        return len(self.run.rows) - (1 if self.header.imported else 0)

    @cached_property
    def confusion_scale(self) -> float:
        """The largest share of a row that is wrong, which has the strongest colour."""
        worst = self.run.evaluation.worst_confusions(1)
        return worst[0].share if worst else 1.0

    def for_script(self) -> dict[str, Any]:
        """What the page's script needs of it."""
        data_spec = self.run.data_spec
        shown: dict[str, Any] = {
            "networks": self.networks or [],
            "side": isqrt(layer_sizes(self.run.weights)[0]),
            "names": data_spec.names,
            "thing": data_spec.thing,
            "title": self.title,
            "form": {
                "transposed": data_spec.transposed,
                "dark": data_spec.polarity == "dark",
                "two": data_spec.max_pixel == 1,
            },
        }
        if self.digits is not None:
            shown["digits"] = self.digits.in_cells(len(data_spec.names))
        return shown


def dataset_title(run: Run) -> str:
    """The name of a run's dataset as it is written."""
    return TITLES.get(run.config.dataset, run.config.dataset)


def view_of(
    run: Run, number: int, linear_runs: Mapping[str, Run], data_dir: Path | None
) -> RunView:
    """Everything that the page shows of a run, which was read with its weights.

    `linear_runs` has the linear run of each dataset, for its templates. Without `data_dir` the
    run's dataset is looked for in the usual places and not downloaded.

    Raises:
        InputError: no dataset in `data_dir`, or another than the run's.
    """
    header = run.header
    name = run.config.dataset
    linear = run if run.config.hidden == () else linear_runs.get(name)
    missing: list[Missing] = []
    networks, problem = _networks(run, linear)
    if problem:
        missing.append(problem)
    digits, problem = _test_digits(run, header, data_dir)
    if problem:
        missing.append(problem)
    if linear is None:
        command = "mnist-fn train --model linear"
        command += "" if name == "mnist" else f" --dataset {name}"
        missing.append(Missing("templates", "only a linear model has them", command))
    # what tells it from the others in a list: `512 on MNIST, λ = 3e-05, 100 epochs, seed 0`
    title = [
        f"{run.config.model} on {dataset_title(run)}",
        f"imported from {header.imported['file']}" if header.imported else f"λ = {run.config.l2:g}",
        counted(len(run.rows), "epoch"),
        f"seed {run.config.seed}",
        run.backend,
        f"{100 * run.final['test_accuracy']:.2f} % right",
    ]
    return RunView(
        number=number,
        run=run,
        header=header,
        title=", ".join(title),
        networks=networks,
        digits=digits,
        curves=drawings.curves(run),
        by_class=drawings.by_class(run, len(run.data_spec.names) > MANY),
        templates=None if linear is None else network.template_pictures(linear),
        missing=missing,
    )


def _test_digits(
    run: Run, header: Header, data_dir: Path | None
) -> tuple[Digits | None, Missing | None]:
    """The test set's digits as the run reads them, or why they can't be shown."""
    part = f"the {run.data_spec.thing}s behind the numbers, and the mistakes"
    command = f"mnist-fn report {run.path} --data-dir FOLDER"
    try:
        dataset = load_for(run.config, data_dir, download=False, data_spec=run.data_spec)
        header.check_dataset(dataset)
    except NotFoundError:
        reason = f"the pictures of {run.config.dataset} are not here"
        return None, Missing(part, reason, command)
    except InputError as error:
        if data_dir is not None:
            raise
        return None, Missing(part, in_shell(error), command)
    logits = forward(run.weights, scale_pixels(dataset.test.images, "float64"))
    return Digits(dataset.test, run.evaluation, logits, run.data_spec), None


def _networks(run: Run, linear: Run | None) -> tuple[list[dict[str, Any]] | None, Missing | None]:
    """The run's network, and the linear one if that is another; or why it can't be drawn on."""
    part = f"a {run.data_spec.thing} to draw"
    pixels = layer_sizes(run.weights)[0]
    side = isqrt(pixels)
    if run.data_spec.polarity == "unknown":
        reason = "whether this run's pictures are light on dark is not known"
        return None, Missing(part, reason, "mnist-fn train --ink light")
    if side**2 != pixels or side > MAX_SIDE:
        reason = (
            f"the run is on pictures of {pixels:,} pixels, and only square ones of at most "
            f"{MAX_SIDE} × {MAX_SIDE} can be drawn"
        )
        return None, Missing(part, reason)
    runs = [run]
    if linear is not None and linear.path != run.path and linear.data_spec == run.data_spec:
        runs.append(linear)
    try:
        packed = [network.packed(run_shown) for run_shown in runs]
    except InputError as error:
        return None, Missing(part, in_shell(error))
    return [layers for layers in packed if layers["sizes"][0] == pixels], None
