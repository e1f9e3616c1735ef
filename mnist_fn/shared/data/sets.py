"""Which sets a folder holds, whatever people's files are called."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PARTS = ("train images", "train labels", "test images", "test labels")
# train-images-idx3-ubyte.gz, t10k-images.idx3-ubyte, emnist-letters-test-labels-idx1-ubyte,
# qmnist-train-labels-idx2-int.gz, k49-train-imgs.npz
_NAME = re.compile(
    r"(?:(?P<set>[a-z0-9][a-z0-9._-]*?)[-_])?(?P<split>train|test|t10k)[-_]"
    r"(?P<kind>images|imgs|labels)(?:(?P<dot>[-_.])idx[1-4][-_.](?:ubyte|int)(?: ?\(\d+\))?"
    r"(?:\.gz)?(?: \(\d+\))?|\.npz)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class FileSet:
    """The files of one set in a folder."""

    name: str  # what their names begin with, "" where with nothing
    folder: Path
    files: dict[str, Path]  # of each in PARTS that is there

    @property
    def missing(self) -> list[str]:
        """Which of PARTS are not there."""
        return [part for part in PARTS if part not in self.files]

    @property
    def paths(self) -> list[Path]:
        """All four files, in the order of PARTS; KeyError if one is missing."""
        return [self.files[part] for part in PARTS]


def sets_in(folder: Path, zipped_first: bool = False) -> dict[str, FileSet]:
    """The sets in a folder by name, whole or not, each file in it or in a folder of its own name.

    Args:
        folder: it need not exist.
        zipped_first: of a file that is there twice, take the .gz.
    """
    files_by_set: dict[str, dict[str, list[tuple[tuple, Path]]]] = {}
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return {}
    for entry in entries:
        if (match := _NAME.fullmatch(entry.name)) is None:
            continue
        if (file := _plain(entry)) is None:
            continue
        zipped = file.suffix == ".gz"
        rank = (
            " (" in entry.name,
            zipped != zipped_first,
            file != entry,
            match["dot"] != "-",
            entry.name,
        )
        parts = files_by_set.setdefault((match["set"] or "").lower(), {})
        parts.setdefault(_part(match), []).append((rank, file))
    return {
        name: FileSet(name, folder, {part: min(ranked)[1] for part, ranked in parts.items()})
        for name, parts in files_by_set.items()
    }


def listed(sets: Sequence[FileSet]) -> str:
    """Their names in words."""
    return ", ".join(
        file_set.name or "one whose files' names begin with nothing" for file_set in sets
    )


def _part(match: re.Match) -> str:
    split = "train" if match["split"].lower() == "train" else "test"
    return f"{split} {'labels' if match['kind'].lower() == 'labels' else 'images'}"


def _plain(entry: Path) -> Path | None:
    """The file itself, or the one in a folder of its name, as Kaggle's archive unpacks."""
    if entry.is_file():
        return entry
    inside = entry / entry.name
    return inside if inside.is_file() else None
