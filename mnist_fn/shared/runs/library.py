"""Finished runs to be read: found in folders by their headers, asked for by config."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mnist_fn.shared.config import Config
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.evaluation import template_summary
from mnist_fn.shared.runs.header import Header
from mnist_fn.shared.runs.metrics import Row
from mnist_fn.shared.runs.records import RunDirectory
from mnist_fn.shared.runs.run import Run


def headers(folders: Iterable[Path]) -> Iterator[tuple[Path, Header]]:
    """The runs in some folders, each a run's own or one of runs, by name; none is loaded.

    A folder whose `run.json` is no good is passed over: it may have nothing to do with us.

    Raises:
        InputError: no such folder.
    """
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder")
        own = RunDirectory(folder).exists()
        for path in [folder] if own else sorted(folder.glob("[!.]*/run.json")):
            directory = RunDirectory(path if own else path.parent)
            try:
                yield directory.path, directory.read_header()
            except InputError:
                continue


def without_epochs(config: Config) -> Config:
    """What runs that are beginnings of one another have in common."""
    return config.replace(epochs=1)


def is_beginning(config: Config, of: Config) -> bool:
    """Whether the one run is the first epochs of the other."""
    return config.epochs < of.epochs and without_epochs(config) == without_epochs(of)


def serves(there: Config, asked: Config, at_end: bool) -> bool:
    """Whether a run is the one asked for, whatever its seed, or has its epochs as its beginning.

    What a run is at its end, weights and evaluation, only the run itself has.
    """
    there = there.replace(seed=asked.seed)
    return there == asked or (not at_end and is_beginning(asked, there))


class Records:
    """Finished runs of one backend, without their weights: what is judged and tabulated.

    A run is the beginning of each longer one of its config, so a longer one's rows answer for
    a shorter one that is not there.
    """

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        self.runs: dict[Config, Run] = {}
        self._alike: dict[Config, dict[int, Run]] = {}  # by what beginnings share, by epochs
        self.templates: dict[Config, dict[str, float]] = {}
        for run in runs:
            self.add(run)

    def add(self, run: Run, templates: dict[str, float] | None = None) -> None:
        """Keep a run. A linear one's templates are summed up while its weights are here."""
        if run.config.hidden == () and templates is None and run.weights:
            templates = template_summary(run.weights)
        if templates is not None:
            self.templates[run.config] = templates
        self.runs[run.config] = run = run.without_weights()
        self._alike.setdefault(without_epochs(run.config), {})[run.config.epochs] = run

    @property
    def seeds(self) -> list[int]:
        """Of all runs, ascending."""
        return sorted({config.seed for config in self.runs})

    def rows(self, config: Config, columns: Sequence[str] = ()) -> list[Row] | None:
        """The rows of a run's epochs that have these columns, if it or a longer one is there."""
        found = [
            run.rows
            for epochs, run in self._alike.get(without_epochs(config), {}).items()
            if epochs >= config.epochs and set(columns) <= set(run.rows[0])
        ]
        return min(found, key=len)[: config.epochs] if found else None
