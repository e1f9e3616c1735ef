"""What a run's folder is called, and that no two runs of a list are called the same."""

import contextlib
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from mnist_fn.shared.config import Config
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.runs.library import is_beginning
from mnist_fn.shared.runs.records import RunDirectory

# File systems take 255 bytes in a name; what is being made is called a little longer.
MAX_NAME = 240


def slug(config: Config, backend: str) -> str:
    """A folder name that tells runs apart: what differs from the study's recipe, seed, backend.

    Of one dataset and backend no two runs have the same. `a-64` with a hidden layer of 32 is
    called as `a` with layers of 64 and 32: see `own_folders`.
    """
    parts = [config.dataset, config.model]
    for field in fields(Config):
        value = getattr(config, field.name)
        if field.name not in ("dataset", "hidden", "seed") and value != field.default:
            parts.append(f"{field.name.replace('_', '-')}={_exact(value)}")
    return "-".join([*parts, f"seed={config.seed}", backend])


def folder_of(config: Config, backend: str, out: Path) -> Path:
    """Where a run lies in `out`: by its slug, and where the run of that name was taken further, by
    `resume`, under a name with its epochs. Nothing is made.
    """
    path = out / slug(config, backend)
    there = RunDirectory(path)
    with contextlib.suppress(InputError):  # a damaged one: whoever opens it says so
        if there.exists() and is_beginning(config, there.read_header().config):
            return path.with_name(f"{path.name}-{config.epochs}-epochs")
    return path


def own_folders(configs: Iterable[Config], backend: str, out: Path) -> dict[Config, Path]:
    """Each run's own folder in `out`; nothing is made.

    Raises:
        InputError: a run is given twice, two would share a folder, or a name is too long for one.
    """
    found: dict[Config, Path] = {}
    there: dict[Path, Config] = {}
    for config in configs:
        path = folder_of(config, backend, out)
        if config in found:
            raise InputError(f"{path}: this run is given twice")
        if path in there:
            unlike = [f"{k} {a} and {b}" for k, a, b in differing(there[path], config)]
            raise InputError(
                f"{path}: two runs would share this folder ({'; '.join(unlike)}); "
                "train them apart, each in a folder of its own"
            )
        if len(path.name.encode()) > MAX_NAME:
            raise InputError(
                f"{path.name[:60]}…: a run's folder would have a name of {len(path.name)} "
                f"characters, at most {MAX_NAME} fit; train it by itself, with `out`"
            )
        found[config], there[path] = path, config
    return found


def differing(one: Config, other: Config) -> list[tuple[str, Any, Any]]:
    """The fields in which two configs differ, each with both values."""
    left, right = one.to_dict(), other.to_dict()
    return [
        (name, left.get(name, "auto"), right.get(name, "auto"))
        for name in {**left, **right}
        if left.get(name) != right.get(name)
    ]


def _exact(value: Any) -> str:
    """A value in a name: `3e-05`; all digits where six would name another number."""
    short = f"{value:g}" if isinstance(value, float) else str(value)
    return repr(value) if isinstance(value, float) and float(short) != value else short
