"""The runs in a folder at a glance: what tells them apart, how far each is, how good it was."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from mnist_fn.shared.config import Config
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.runs import metrics
from mnist_fn.shared.runs.header import Header
from mnist_fn.shared.runs.library import headers
from mnist_fn.shared.runs.records import RunDirectory

BEST = ("test_loss", "test_accuracy")


@dataclass(frozen=True)
class Listed:
    """A run as a folder's table shows it; its weights are not read."""

    path: Path
    header: Header
    epochs: int  # done
    best: dict[str, dict[str, float | int]] | None  # as Run.best; None before the first epoch
    changed: datetime  # local time

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "run": str(self.path),
            "backend": self.header.backend,
            "device": self.header.device,
            "status": self.header.status,
            "config": self.header.config.to_dict(),
            "epochs": self.epochs,
            "best": self.best,
            "changed": self.changed.isoformat(timespec="seconds"),
        }


def listed(folder: Path) -> list[Listed]:
    """Every run in a folder, or the folder's own, by name.

    Raises:
        InputError: no such folder.
    """
    return [_one(path, header) for path, header in headers([folder])]


def _one(path: Path, header: Header) -> Listed:
    directory = RunDirectory(path)
    try:
        rows = metrics.read_at_most(directory.metrics_file, header.config.epochs)
    except InputError:  # none yet, or damaged: `evaluate` says which
        rows = []
    best = {name: metrics.best(rows, name) for name in BEST} if rows else None
    changed = datetime.fromtimestamp(directory.header_file.stat().st_mtime)
    return Listed(path, header, len(rows), best, changed)


def differing(configs: Sequence[Config]) -> list[str]:
    """The fields of a Config that are not the same in all of them, in its own order."""
    names = [field.name for field in fields(Config)]
    return [name for name in names if len({getattr(config, name) for config in configs}) > 1]
