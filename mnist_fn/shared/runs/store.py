"""The runs in a folder: each header read once, runs found by their Config.

Whatever lists, finds, compares, extends or reports runs asks a `RunStore`. `Records` keeps runs in
memory, without weights, for what judges and tabulates them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from mnist_fn.shared.config import Config
from mnist_fn.shared.errors import Argument, InputError
from mnist_fn.shared.evaluation import template_summary
from mnist_fn.shared.runs import metrics
from mnist_fn.shared.runs.folder import HEADER, RunFolder, slug
from mnist_fn.shared.runs.header import Header
from mnist_fn.shared.runs.metrics import Row
from mnist_fn.shared.runs.run import Run, no_evaluation
from mnist_fn.shared.state import StateTree
from mnist_fn.shared.wording import counted

# File systems take 255 bytes in a name; a temporary name is a little longer.
MAX_NAME = 240
ANOTHER = ("choose another ", Argument("out"), ", or ", Argument("force", True))


def is_beginning(config: Config, longer: Config) -> bool:
    """Whether a run is the first epochs of another, longer one."""
    return config.epochs < longer.epochs and config.beginning == longer.beginning


def serves(available: Config, wanted: Config, at_end: bool) -> bool:
    """Whether a run is the one wanted, whatever its seed, or has its epochs as its beginning.

    A run's weights and evaluation at its end are had only from the run itself.
    """
    available = available.replace(seed=wanted.seed)
    return available == wanted or (not at_end and is_beginning(wanted, available))


def order(config: Config) -> tuple[Any, ...]:
    """The order of runs wherever they are listed: linear, shallow, deep, the widest first; λ,
    learning rate, seed and epochs ascending.
    """
    widths = [-width for width in config.hidden]
    numbers = config.l2, config.learning_rate, config.seed, config.epochs
    return config.dataset, len(widths), widths, *numbers


class RunStore:
    """The runs in some folders, each header read once, when the store is made; see `order`.

    A run whose `run.json` is damaged is passed over, since the folder may hold other things;
    asking for that very run raises the error.
    """

    def __init__(self, *folders: Path, must_exist: bool = False) -> None:
        """Read the headers.

        Args:
            folders: each a run's own folder, or one with runs in it. New runs go into the first.
            must_exist: raise InputError for a folder that does not exist.
        """
        self.folders = folders
        self._headers: dict[Path, Header] = {}
        self._errors: dict[Path, InputError] = {}
        for folder in folders:
            if must_exist and not folder.is_dir():
                raise InputError(f"{folder}: no such folder")
            paths = [folder]  # itself if it is a run's, else the runs' folders in it by name
            if not RunFolder(folder).exists():
                paths = [file.parent for file in sorted(folder.glob(f"[!.]*/{HEADER}"))]
            for path in paths:
                try:
                    self._headers[path] = RunFolder(path).read_header()
                except InputError as error:
                    self._errors[path] = error

    def __iter__(self) -> Iterator[tuple[Path, Header]]:
        return iter(sorted(self._headers.items(), key=lambda item: order(item[1].config)))

    @property
    def paths(self) -> list[Path]:
        """The folder of every run, at the end those of damaged ones by name."""
        return [path for path, _ in self] + sorted(self._errors)

    def header_at(self, path: Path) -> Header | None:
        """The header of the run in a folder, None if there is none; InputError if damaged."""
        if path in self._errors:
            raise self._errors[path]
        return self._headers.get(path)

    def add(self, path: Path, header: Header) -> None:
        """Keep the header of a run written since the store was made."""
        self._errors.pop(path, None)
        self._headers[path] = header

    def load(self, path: Path) -> Run:
        """A finished run; InputError if it is damaged or not finished."""
        return RunFolder(path).load_finished(self.header_at(path))

    def finished(self, backend: str) -> dict[Config, Path]:
        """The finished runs that a backend computed last, by Config."""
        paths = {}
        for path, header in self:
            if header.finished and header.backend == backend:
                paths[header.config] = path
        return paths

    def finished_here(self, backend: str) -> dict[Config, Path]:
        """The finished runs that lie in the first folder under the names that they get there."""
        paths = {}
        for path, header in self:
            if header.finished and path == self.folder_of(header.config, backend):
                paths[header.config] = path
        return paths

    def folder_of(self, config: Config, backend: str) -> Path:
        """The folder of a run in the first folder: its slug. Where the run of that name was taken
        further by `resume`, a name with the epochs. Nothing is made.
        """
        path = self.folders[0] / slug(config, backend)
        existing = self._headers.get(path)
        if existing is not None and is_beginning(config, existing.config):
            return path.with_name(f"{path.name}-{config.epochs}-epochs")
        return path

    def note_of(self, config: Config, backend: str) -> str:
        """What to say if the folder of a run's slug holds another than its name says, else ""."""
        path = self.folders[0] / slug(config, backend)
        existing = self._headers.get(path)
        if existing is None:
            return ""
        if is_beginning(config, existing.config):
            epochs = counted(existing.config.epochs, "epoch")
            return (
                f"{path}: holds this run taken further ({epochs}, {existing.backend}); the run "
                f"asked for ({counted(config.epochs, 'epoch')}, {backend}) is kept beside it, in "
                f"{self.folder_of(config, backend)}"
            )
        if existing.config == config and existing.backend != backend:
            return f"{path}: its last epochs were computed by {existing.backend}, not {backend}"
        return ""

    def assign_folders(self, configs: Iterable[Config], backend: str) -> dict[Config, Path]:
        """A folder for each run; nothing is made.

        Raises:
            InputError: a run is given twice, two would share a folder, or a name is too long.
        """
        paths: dict[Config, Path] = {}
        owners: dict[Path, Config] = {}
        for config in configs:
            path = self.folder_of(config, backend)
            if config in paths:
                raise InputError(f"{path}: this run is given twice")
            if path in owners:
                changes = differences(owners[path], config)
                text = "; ".join(f"{name} {first} and {second}" for name, first, second in changes)
                raise InputError(
                    f"{path}: two runs would share this folder ({text}); "
                    "train them apart, each in a folder of its own"
                )
            if len(path.name.encode()) > MAX_NAME:
                raise InputError(
                    f"{path.name[:60]}…: a run's folder would have a name of {len(path.name)} "
                    f"characters, at most {MAX_NAME} fit",
                    hint=("train it by itself, with ", Argument("out")),
                )
            paths[config], owners[path] = path, config
        return paths

    def choose(self, needs: Mapping[Config, bool], backend: str) -> list[Config]:
        """The runs to have in the first folder, the shortest first.

        A run of which only the curves are read is left to a longer one that exists already; its
        weights and evaluation can't be had from that.

        Args:
            needs: each run, and whether its end is read, as `study.needed` says.
            backend: that computes the runs.

        Raises:
            InputError: as `assign_folders`.
        """
        paths = self.assign_folders(needs, backend)
        finished = self.finished_here(backend)
        present = set(self.paths)
        existing = set(finished)
        for config in needs:
            if paths[config] in present:
                existing.add(config)
        chosen: dict[Config, None] = {}
        for config, at_end in needs.items():
            longer = [run for run in existing if is_beginning(config, run)]
            if longer and not at_end and config not in finished:
                config = min(longer, key=lambda run: run.epochs)
            chosen[config] = None
        return sorted(chosen, key=lambda config: config.epochs)

    def summaries(self) -> list[dict[str, Any]]:
        """A document for each run: what it is, how far, and its best figures, as
        `Run.best` has them, None before the first epoch. No weights are read.
        """
        return [_summary(path, header) for path, header in self]


def _summary(path: Path, header: Header) -> dict[str, Any]:
    folder = RunFolder(path)
    try:
        rows = metrics.read_at_most(folder.metrics_file, header.config.epochs)
    except InputError:  # none yet, or damaged: `evaluate` says which
        rows = []
    changed = datetime.fromtimestamp(folder.header_file.stat().st_mtime)  # local time
    return {
        "run": str(path),
        "backend": header.backend,
        "device": header.device,
        "status": header.status,
        "config": header.config.to_dict(),
        "epochs": len(rows),
        "best": metrics.bests(rows) if rows else None,
        "changed": changed.isoformat(timespec="seconds"),
    }


def differences(first: Config, second: Config) -> list[tuple[str, Any, Any]]:
    """The fields in which two configs differ, each with both values."""
    old, new = first.to_dict(), second.to_dict()
    changes = []
    for name in {**old, **new}:
        if old.get(name) != new.get(name):
            changes.append((name, old.get(name, "auto"), new.get(name, "auto")))
    return changes


def varying_fields(configs: Sequence[Config]) -> list[str]:
    """The fields of a Config that are not the same in all of them, in the Config's order."""
    varying: list[str] = []
    for field in fields(Config):
        if len({getattr(config, field.name) for config in configs}) > 1:
            varying.append(field.name)
    return varying


def open_run(
    config: Config, path: Path | None, *, overwrite: bool = False, longer: bool = False
) -> Run:
    """The run in a folder as far as it was saved, or one that has not begun.

    The caller holds `storage.locked`.

    Args:
        config: what is to be trained there.
        path: None keeps the run in memory.
        overwrite: an existing run is replaced, as soon as the new one can begin.
        longer: an existing run may differ in its number of epochs.

    Raises:
        InputError: another run is there, a damaged one, or one with more epochs than asked; or
            other runs lie in the folder.
    """
    new = Run(Header(config), [], StateTree({}, {}, 0), no_evaluation(0), path)
    if path is None:
        return new
    folder = RunFolder(path)
    if not folder.exists():
        _check_nothing_there(folder, overwrite)
        return new
    if overwrite:
        return new
    header = folder.read_header()
    if not longer:
        check_same_config(config, header, path)
    run = folder.read(header)
    if len(run.rows) > config.epochs:
        text = f"{path}: has {counted(len(run.rows), 'epoch')} already, not "
        raise InputError((text, Argument("epochs", config.epochs, given=True)))
    status = header.status if len(run.rows) == config.epochs else "unfinished"
    run = replace(run, header=replace(header, config=config, status=status))
    return folder.with_evaluation(run) if run.finished else run


def check_same_config(config: Config, header: Header, path: Path) -> None:
    """Raise InputError if the run in a folder is another than the one asked for."""
    changes = differences(header.config, config)
    if changes:
        text = "; ".join(f"{name} {old} there, {new} asked" for name, old, new in changes)
        raise InputError(
            f"{path}: holds another run ({text})", hint=(ANOTHER, " to train again there")
        )


def _check_nothing_there(folder: RunFolder, overwrite: bool) -> None:
    # a run beside the folders of others would hide them: a reader would find a single run
    for path, _ in RunStore(folder.path):
        raise InputError(
            f"{folder.path}: holds runs ({path.name})",
            hint=("name a folder in it as ", Argument("out"), f", such as {folder.path / 'mine'}"),
        )
    strays = folder.result_files()
    if strays and not overwrite:
        raise InputError(
            f"{strays[0]}: there is no run.json in its folder", hint=(ANOTHER, " to replace it")
        )


class Records:
    """Finished runs of one backend, without their weights: what is judged and tabulated.

    A run is the beginning of each longer one of its config, so a longer one's rows answer for
    a shorter one that is missing.
    """

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        self.runs: dict[Config, Run] = {}
        self._by_length: dict[Config, dict[int, Run]] = {}  # config.beginning -> epochs
        self.templates: dict[Config, dict[str, float]] = {}
        for run in runs:
            self.add(run)

    def add(self, run: Run, templates: Mapping[str, float] | None = None) -> None:
        """Keep a run. A linear one's templates are summed up while its weights are here."""
        if run.config.hidden == () and templates is None and run.weights:
            templates = template_summary(run.weights)
        if templates is not None:
            self.templates[run.config] = dict(templates)
        self.runs[run.config] = run = run.without_weights()
        self._by_length.setdefault(run.config.beginning, {})[run.config.epochs] = run

    @property
    def seeds(self) -> list[int]:
        """Of all runs, ascending."""
        return sorted({config.seed for config in self.runs})

    def rows(self, config: Config, columns: Sequence[str] = ()) -> list[Row] | None:
        """The rows of a run's epochs that have these columns, from it or the shortest longer run;
        None if there is neither.
        """
        candidates = []
        for epochs, run in self._by_length.get(config.beginning, {}).items():
            if epochs >= config.epochs and set(columns) <= set(run.rows[0]):
                candidates.append(run.rows)
        return min(candidates, key=len)[: config.epochs] if candidates else None
