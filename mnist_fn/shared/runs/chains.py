"""Training a study's runs, each distinct one once: a shorter run is the beginning of a longer."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mnist_fn.shared.config import Config
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.runs.folders import folder_of, own_folders
from mnist_fn.shared.runs.library import headers, is_beginning
from mnist_fn.shared.runs.records import RunDirectory
from mnist_fn.shared.runs.sweep import Result, sweep
from mnist_fn.shared.storage import flush_folder, locked


def targets(needs: Mapping[Config, bool], out: Path, backend: str) -> list[Config]:
    """The runs to have in `out`, the shortest first.

    A run of which only the curves are read is left to a longer one that stands there already;
    what it was at its end can't be had from that.

    Args:
        needs: each run, and whether its end is read, as `study.needed` says.
        out: folder of the runs, named by `folders.folder_of`.
        backend: that computes them.

    Raises:
        InputError: as `folders.own_folders`.
    """
    own_folders(needs, backend, out)
    finished = _finished(out, backend)
    chosen: dict[Config, None] = {}
    for config, at_end in needs.items():
        longer = [
            other
            for other in {**finished, **dict.fromkeys(needs)}
            if is_beginning(config, other) and RunDirectory(folder_of(other, backend, out)).exists()
        ]
        stands_in = longer and not at_end and config not in finished
        chosen[min(longer, key=lambda c: c.epochs) if stands_in else config] = None
    return sorted(chosen, key=lambda config: config.epochs)


def epochs_left(configs: list[Config], out: Path, backend: str) -> dict[Config, int]:
    """How many epochs each run takes, were those that stand unfinished still to be begun."""
    finished = _finished(out, backend)
    left = {}
    for config in configs:
        there = (
            c.epochs for c in {**finished, **dict.fromkeys(configs)} if is_beginning(c, config)
        )
        left[config] = 0 if config in finished else config.epochs - max(there, default=0)
    return left


def train(configs: list[Config], backend: str, out: Path, **how: Any) -> Iterator[Result]:
    """Train what is not there yet and yield every run, the shortest first.

    Args:
        configs: what `targets` chose.
        backend: its name.
        out: folder of the runs.
        how: as for `sweep`, whose errors these are.
    """
    for epochs in dict.fromkeys(config.epochs for config in configs):
        stage = [config for config in configs if config.epochs == epochs]
        finished = _finished(out, backend)
        for config in stage:
            shorter = [c for c in finished if is_beginning(c, config)]
            folder = folder_of(config, backend, out)
            if shorter and not RunDirectory(folder).exists():
                longest = max(shorter, key=lambda c: c.epochs)
                extend(folder_of(longest, backend, out), config, folder)
        yield from sweep(stage, backend, out=out, **how)


def extend(short: Path, config: Config, long: Path) -> None:
    """Make a longer run's folder out of a finished shorter one's, unfinished where that ended.

    After a kill at any moment the longer one is there whole or not at all.

    Args:
        short: the shorter run's folder.
        config: the longer run's.
        long: its folder, not there yet.

    Raises:
        InputError: the shorter run is damaged, or the longer one can't be written.
    """
    directory = RunDirectory(short)
    header = directory.read_header()
    state, rows = directory.read_progress(header)
    header = replace(header, config=config, status="unfinished")
    temporary = long.with_name(f".extending-{long.name}")
    with locked(temporary):
        copy = RunDirectory(temporary)
        copy.write_progress(header, state, rows)
        copy.write_header(header)
        try:
            temporary.rename(long)
            flush_folder(long.parent)
        except OSError as error:
            raise InputError(f"{long}: can't be written ({error.strerror})") from error


def _finished(out: Path, backend: str) -> dict[Config, None]:
    """Finished runs in `out` under their own names."""
    if not out.is_dir():
        return {}
    return {
        header.config: None
        for path, header in headers([out])
        if header.status == "finished" and path == folder_of(header.config, backend, out)
    }
