"""Runs as committed evidence: of each only what the study reads, without weights."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from mnist_fn.shared.config import Config
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.evaluation import Evaluation
from mnist_fn.shared.runs.checkpoint import weights_digest
from mnist_fn.shared.runs.environment import UNKNOWN_HARDWARE, Hardware
from mnist_fn.shared.runs.header import Header
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.runs.store import Records, is_beginning, serves
from mnist_fn.shared.state import StateTree
from mnist_fn.shared.study.experiments import Experiment

# Whole numbers are shorter: losses in 1e-7 nats, six digits of any that is judged, shares in 1e-6.
_UNITS = {"loss": 10**7, "accuracy": 10**6}
NUMBERS = ("epochs", "confusion_matrix", "templates", "weights")  # of an entry
Entry = dict[str, Any]  # one run; a file maps `records.slug` to these
_NOT_KEPT = Evaluation(math.nan, np.zeros(0, np.uint8), np.zeros((10, 10), np.int64))


def compact(run: Run, header: Header, experiments: Iterable[Experiment]) -> Entry:
    """What some experiments read of a run: columns of its epochs, and its end where they do.

    Args:
        run: finished, with its weights.
        header: its own.
        experiments: of the first seed.
    """
    experiments, first = list(experiments), run.config.replace(seed=0)
    values = run.config.to_dict()
    entry: Entry = {
        "config": {
            f.name: values[f.name]
            for f in fields(Config)
            if getattr(run.config, f.name) != f.default
        },
        "where": {
            "machine": header.machine,
            "device": header.device,
            "versions": header.versions,
            "computed": header.hardware.to_dict(),
        },
        "epochs": {
            name: [round(row[name] * _unit(name)) for row in run.rows]
            for name in _columns(first, experiments)
        },
    }
    if any(first in experiment.configs and experiment.at_end for experiment in experiments):
        entry["confusion_matrix"] = run.confusion_matrix.tolist()
        entry["templates"] = Records([run]).templates.get(run.config)
        entry["weights"] = weights_digest(run.weights)
    return entry


def _unit(column: str) -> int:
    return next(unit for measure, unit in _UNITS.items() if measure in column)


def _columns(first: Config, experiments: Iterable[Experiment]) -> list[str]:
    """Those read of this config, or of the beginning of it."""
    columns: set[str] = set()
    for experiment in experiments:
        for config in experiment.configs:
            if config == first or is_beginning(config, first):
                columns.update(experiment.columns)
    return sorted(columns)


def config_of(entry: Entry) -> Config:
    """The config of an entry; InputError if it is none."""
    return Config.from_dict({**Config().to_dict(), **entry["config"]})


def restore(entry: Entry, backend: str) -> Run:
    """The run that an entry keeps: no weights, no predictions, of the metrics what was read."""
    config = config_of(entry)
    rows: list[dict[str, float]] = [{"epoch": epoch} for epoch in range(1, config.epochs + 1)]
    for name, column in entry["epochs"].items():
        for i, row in enumerate(rows):
            row[name] = column[i] / _unit(name)
    evaluation = _NOT_KEPT
    if "confusion_matrix" in entry:
        matrix = np.array(entry["confusion_matrix"], dtype=np.int64)
        evaluation = Evaluation(math.nan, np.zeros(0, np.uint8), matrix)
    nothing = StateTree({}, {}, 0)
    header = Header(config, backend=backend, device=entry["where"]["device"], status="finished")
    return Run(header, rows, nothing, evaluation)


def records(entries: Mapping[str, Entry], backend: str) -> Records:
    """The runs of a file, to be judged."""
    runs = Records()
    for entry in entries.values():
        runs.add(restore(entry, backend), entry.get("templates"))
    return runs


def merge(entries: Mapping[str, Entry], additions: Mapping[str, Entry]) -> dict[str, Entry]:
    """Both together, what is in both from `additions`; nothing twice.

    The epochs of a run whose longer one is there too are left out, and the run with them unless
    its end is kept.
    """
    for name in set(entries) & set(additions):
        ours, theirs = entries[name], additions[name]
        if ours["where"] != theirs["where"] and ours != {**theirs, "where": ours["where"]}:
            raise InputError(
                f"{name}: the evidence has this run already, of {place(ours)}; this one is of "
                f"{place(theirs)} and differs: take one of them"
            )
    merged = {**entries, **additions}
    configs = {name: config_of(entry) for name, entry in merged.items()}
    entries_left = {}
    for name in sorted(merged):
        if any(is_beginning(configs[name], longer) for longer in configs.values()):
            if "weights" in merged[name]:
                entries_left[name] = {**merged[name], "epochs": {}}
        else:
            entries_left[name] = merged[name]
    return entries_left


def replaced_by(entries: Mapping[str, Entry], additions: dict[str, Entry]) -> dict[str, Entry]:
    """Leave out the entries that additions replace, and note in these where the former were made.

    `replaced` of an addition has that place, and which numbers are the same as the former's.
    """
    kept = dict(entries)
    for name, new in additions.items():
        old = kept.get(name)
        if old is not None and old["where"] != new["where"]:
            del kept[name]
            versions = old["where"]["versions"]
            packages = [name for name in ("jaxlib", "torch") if name in versions]
            where = ", ".join([place(old), *(f"{name} {versions[name]}" for name in packages)])
            same = [key for key in NUMBERS if key in new and old.get(key) == new[key]]
            new["replaced"] = {"where": where, "same": same}
    return kept


def place(entry: Entry) -> str:
    """Where a run was made and by what; the machine's name has its vector level mostly."""
    origin = entry["where"]
    computed = Hardware.from_dict(origin.get("computed", UNKNOWN_HARDWARE.to_dict()))
    if computed.vectors in origin["machine"]:
        computed = replace(computed, vectors="")
    return f"{origin['machine']}, {computed}"


def read(path: Path) -> dict[str, Entry]:
    """The entries of a file, none if it is not there."""
    if not path.exists():
        return {}
    document = json.loads(path.read_text())
    origins = document["where"]
    return {name: {**run, "where": origins[run["where"]]} for name, run in document["runs"].items()}


def write(path: Path, entries: Mapping[str, Entry]) -> None:
    """A line for each run, so that a diff shows what was added; where they were made once."""
    origins: list[Any] = []
    lines = []
    for name, entry in entries.items():
        if entry["where"] not in origins:
            origins.append(entry["where"])
        short = {**entry, "where": origins.index(entry["where"])}
        lines.append(f"{json.dumps(name)}: {json.dumps(short, separators=(',', ':'))}")
    runs = ",\n".join(lines)
    path.write_text(f'{{"where": {json.dumps(origins)},\n"runs": {{\n{runs}\n}}}}\n')


def runs_for(entries: Mapping[str, Entry], experiment: Experiment) -> dict[str, Entry]:
    """The entries that an experiment reads, of every seed; none if one of its configs has none."""
    selected: dict[str, Entry] = {}
    for config in experiment.configs:
        serving = {
            name: entry
            for name, entry in entries.items()
            if serves(config_of(entry), config, experiment.at_end)
        }
        if not serving:
            return {}
        selected |= serving
    return selected
