"""Figures by name: which records each needs, drawn and written so that equal records give
equal bytes.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from figures import fonts, style
from figures.vector import compact
from mnist_fn.shared.config import Config
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.parity.levels import SCHEMA
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.runs.store import RunStore, order, serves
from mnist_fn.shared.storage import MARK, made_folder, read_sealed, write_atomically
from mnist_fn.shared.study import experiments
from mnist_fn.shared.wording import counted

FORMATS = ("png", "svg", "pdf")
_METADATA = {  # what would tell when and by which version a file was made
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
_MARKED = {"png": {"Software": MARK}, "svg": {"Creator": MARK}, "pdf": {"Creator": MARK}}


@dataclass(frozen=True)
class Entry:
    """One figure: `figures/<module>.py`, drawn from the runs of one experiment or a document."""

    name: str
    experiment: str  # of the study; "" where it needs a document, or any runs
    what: str
    weights: bool = False  # it needs them, not the metrics and the evaluation alone
    level: str = ""  # of `mnist-fn parity`, whose document it draws

    @property
    def command(self) -> str:
        """What makes its records."""
        if self.level:
            return f"mnist-fn parity --level {self.level} --out runs"
        if not self.experiment:
            return "mnist-fn train"
        return f"mnist-fn study --only {self.experiment}"

    @property
    def module(self) -> Any:
        """Its module, imported when it is drawn."""
        return import_module("figures." + self.name.replace("-", "_"))


OF_STUDY = {
    entry.name: entry
    for entry in (
        Entry("widths", "width-depth", "figure 1: test loss for each width and depth"),
        Entry("depths", "width-depth", "figure 2: one hidden layer against two"),
        Entry("templates", "templates", "figure 3: the linear model's weights", weights=True),
        Entry("confusion", "chosen", "figure 4: the confusion matrix"),
        Entry("l2", "l2", "figure 5: L2 and overfitting"),
        Entry("per-class", "per-class", "figure 6: accuracy by class"),
        Entry("optimism", "honest", "what choosing on the test set seems to gain"),
        Entry("worst-mistakes", "chosen", "the most confidently wrong digits", weights=True),
    )
}
HORIZON = Entry("horizon", "", "how long two frameworks stay together", level="horizon")
CURVES = Entry("curves", "", "loss and accuracy of any runs by epoch")
ENTRIES = {**OF_STUDY, HORIZON.name: HORIZON, CURVES.name: CURVES}
MAX_EXPERIMENTS = 12  # in one figure: more curves can't be told apart


class Shelf:
    """The finished runs of one backend in some folders; each is loaded once, when it is needed."""

    def __init__(
        self,
        folders: Sequence[Path],
        backend: str | None = None,
        dataset: str = "mnist",
        quick: bool = False,
    ) -> None:
        """Read what runs there are.

        Args:
            folders: with runs.
            backend: whose runs. None: jax's for the study's figures, all for those of any runs.
            dataset: of the study's runs.
            quick: whether the study's figures are of a quick study.
        """
        lengths = experiments.QUICK if quick else experiments.FULL
        self.experiments = experiments.experiments(Config(dataset=dataset), lengths)
        self._study = "mnist-fn study" + (" --quick" if quick else "")
        if dataset != "mnist":
            self._study += f" --dataset {dataset}"
        self._where = ", ".join(map(str, folders))
        self._only, self._backend, self._folders = backend, backend or "jax", folders
        self._store = RunStore(*folders, must_exist=True)
        self._paths = self._store.finished(self._backend)
        self._slim: dict[Config, Run] = {}

    def records(self, entry: Entry) -> list[Any]:
        """What a figure is drawn from: runs, without weights if it needs none, or documents.

        Raises:
            InputError: it isn't there; the message names the command that makes it.
        """
        if entry.level:
            return self._documents(entry)
        if entry.experiment:
            return self._of_experiment(entry)
        return self._all_runs(entry)

    def _of_experiment(self, entry: Entry) -> list[Run]:
        """The runs of every seed that there is."""
        experiment = self.experiments[entry.experiment]
        run_of: dict[Config, Config] = {}  # of what is drawn, the run that has it
        for config in experiment.configs:
            serving = [run for run in self._paths if serves(run, config, experiment.at_end)]
            if not serving:
                backend = "" if self._backend == "jax" else f" --backend {self._backend}"
                held = f", validation {config.validation}" if config.validation else ""
                epochs = counted(config.epochs, "epoch")
                raise InputError(
                    f"{entry.name}: no finished {self._backend} run of {config.model}, "
                    f"λ = {config.l2:g}, {epochs}{held} ({config.dataset}) in {self._where}; "
                    f"make it with: {self._study} --only {experiment.name}{backend}"
                )
            for run in sorted(serving, key=lambda config: -config.epochs):  # the shortest stays
                run_of[run.replace(epochs=config.epochs)] = run
        runs: list[Run] = []
        for config in sorted(run_of, key=order):
            run = self._load(run_of[config], entry.weights)
            # a longer run stands for the shorter one that it began with, as far as its curves go
            header = replace(run.header, config=config)
            runs.append(replace(run, header=header, rows=run.rows[: config.epochs]))
        return runs

    def _all_runs(self, entry: Entry) -> list[Run]:
        """All finished runs, unless they are of too many experiments for one figure."""
        paths: dict[tuple[str, Config], Path] = {}
        experiments_drawn: set[tuple[str, Config]] = set()
        for path, header in self._store:
            if header.finished and self._only in (None, header.backend):
                paths[header.backend, header.config] = path
                experiments_drawn.add((header.backend, header.config.replace(seed=0)))
        if not paths:
            whose = f"{self._only} run" if self._only else "run"
            raise InputError(
                f"{entry.name}: no finished {whose} in {self._where}; make one with: "
                f"{entry.command}"
            )
        if len(experiments_drawn) > MAX_EXPERIMENTS:
            raise InputError(
                f"{entry.name}: runs of {len(experiments_drawn)} experiments in {self._where}, and "
                f"{MAX_EXPERIMENTS} can be told apart; name the runs to draw: "
                f"mnist-fn figures {entry.name} RUN RUN"
            )
        ordered = sorted(paths, key=lambda key: (key[0], order(key[1])))
        return [self._store.load(paths[key]).without_weights() for key in ordered]

    def _documents(self, entry: Entry) -> list[dict[str, Any]]:
        """What `mnist-fn parity` kept in one of the folders."""
        name = f"parity-{entry.level}.json"
        for folder in self._folders:
            if (folder / name).exists():
                return read_sealed(folder / name, SCHEMA)[entry.level]
        raise InputError(f"{entry.name}: no {name} in {self._where}; make it with: {entry.command}")

    def _load(self, config: Config, weights: bool) -> Run:
        if weights:
            return self._store.load(self._paths[config])
        if config not in self._slim:
            self._slim[config] = self._store.load(self._paths[config]).without_weights()
        return self._slim[config]


def draw(
    entry: Entry, records: Sequence[Any], *, note: str | None = None, data_dir: Path | None = None
) -> Any:
    """The figure; within `style.themed`. `note` is written above its title, loud."""
    plot: Callable[..., Any] = entry.module.plot
    if entry.name == "worst-mistakes":
        plot = partial(plot, data_dir=data_dir)
    drawn = plot(records)
    figure = getattr(drawn, "figure", None) or drawn
    if note is not None:
        figure.suptitle(
            f"{note}\n{figure.get_suptitle()}".strip(), color=style.alert(), fontsize=11
        )
    return figure


def save(figure: Any, path: Path, about: Mapping[str, str] | None = None) -> Path:
    """Write a figure in the format that the ending says.

    Args:
        figure: matplotlib's.
        path: ends in one of FORMATS; its folder is made.
        about: metadata to put in. Default: the mark of our files.

    Raises:
        InputError: it can't be written.
    """
    kind = path.suffix.removeprefix(".")
    data = io.BytesIO()
    with fonts.boxes_allowed():
        figure.savefig(data, format=kind, metadata={**_METADATA[kind], **(about or _MARKED[kind])})
    written = data.getvalue()
    if kind == "svg":
        written = compact(written.decode()).encode()
    with made_folder(path.parent):
        write_atomically(path, written)
    return path


def file_name(entry: Entry, theme: str, kind: str) -> str:
    """`l2.png`, or `l2-dark.png`."""
    return f"{entry.name}{'' if theme == 'light' else '-' + theme}.{kind}"
