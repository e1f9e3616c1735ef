"""Which files a dataset has, where they are looked for, and what is known of their content."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mnist_fn.shared.config import DATASETS
from mnist_fn.shared.data.cache import cache_dir
from mnist_fn.shared.errors import Argument, InputError, NotFoundError, template

PARTS = ("train images", "train labels", "test images", "test labels")
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
TORCHVISION = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "kmnist": "KMNIST"}
_ARCHIVES = {"emnist": "EMNIST", "qmnist": "QMNIST"}  # torchvision's folders of other sets
# train-images-idx3-ubyte.gz, t10k-images.idx3-ubyte, emnist-letters-test-labels-idx1-ubyte,
# qmnist-train-labels-idx2-int.gz, k49-train-imgs.npz
_NAME = re.compile(
    r"(?:(?P<set>[a-z0-9][a-z0-9._-]*?)[-_])?(?P<split>train|test|t10k)[-_]"
    r"(?P<kind>images|imgs|labels)(?:(?P<dot>[-_.])idx[1-4][-_.](?:ubyte|int)(?: ?\(\d+\))?"
    r"(?:\.gz)?(?: \(\d+\))?|\.npz)",
    re.IGNORECASE,
)

# MNIST: of the decompressed files. The two others publish their .gz files' digests only.
SHA256 = {
    "mnist": (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    )
}
SHA256_GZ = {
    "fashion-mnist": (
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
    "kmnist": (
        "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
        "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
        "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
        "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
    ),
}


@dataclass(frozen=True)
class FileSet:
    """The files of one set in a folder."""

    name: str  # what their names begin with, "" if with nothing
    folder: Path
    files: dict[str, Path]  # by part, in the order of PARTS, as far as they exist

    @property
    def missing(self) -> list[str]:
        """The PARTS without a file."""
        return [part for part in PARTS if part not in self.files]

    @property
    def paths(self) -> list[Path]:
        """All four files, in the order of PARTS; KeyError if one is missing."""
        return [self.files[part] for part in PARTS]


def find(name: str, data_dir: Path | None = None) -> FileSet | None:
    """Find the four files of a dataset; None if there are none.

    They are looked for in `data_dir` only if it is given, else in the folder that MNIST_FN_DATA
    names, then in the user's cache. Each may lie flat, in torchvision's layout (`MNIST/raw/`) or in
    a folder of its own name, under any of the names that people have, gzipped or not.

    Raises:
        InputError: `idx` without `data_dir`, or where that holds several sets of other names.
    """
    if name == "idx" and data_dir is None:
        raise InputError(template("{dataset=idx} needs {data_dir} with the four IDX files"))
    for folder in search_path() if data_dir is None else [data_dir]:
        for file_set in candidates(folder, name):
            if not file_set.missing:
                return file_set
    return None


def search_path() -> list[Path]:
    """Return the folders that are searched when no `data_dir` is given.

    Raises:
        InputError: MNIST_FN_DATA names no folder.
    """
    folder = os.environ.get("MNIST_FN_DATA")
    cached = cache_dir() / "data"
    if not folder:
        return [cached]
    if not Path(folder).is_dir():
        raise InputError(f"MNIST_FN_DATA={folder}: no such folder; correct or unset it")
    return [Path(folder), cached]


def candidates(folder: Path, name: str) -> list[FileSet]:
    """Return the sets of a folder that a dataset's name may mean, the likeliest first.

    `idx` is the set whose files' names begin with nothing, else the only one in the folder.

    Raises:
        InputError: `idx`, and the folder holds several others.
    """
    # Where only the .gz digest is known, the .gz is the file to read.
    sets = sets_in(folder, zipped_first=name in SHA256_GZ)
    if name == "idx":
        if "" in sets:
            return [sets[""]]
        complete = [file_set for file_set in sets.values() if not file_set.missing]
        if len(complete) > 1:
            raise InputError(
                f"{folder}: holds several sets ({listed(complete)})",
                hint=("choose one with ", Argument("dataset", complete[0].name)),
            )
        return complete or list(sets.values())
    matching = [sets[name]] if name in sets else []
    if name in TORCHVISION and "" in sets:
        matching.insert(0, sets[""])
    archive = TORCHVISION.get(name) or _ARCHIVES.get(name.split("-")[0], name)
    for place in (folder / archive / "raw", folder / name):
        inside = sets_in(place, zipped_first=name in SHA256_GZ)
        for set_name in (name, ""):
            if set_name in inside:
                matching.append(inside[set_name])
    return matching


def sets_in(folder: Path, zipped_first: bool = False) -> dict[str, FileSet]:
    """Find the sets in a folder, by name, whether they are whole or not.

    The folder may not exist. Of a file that is there twice, `zipped_first` takes the .gz.
    """
    files_by_set: dict[str, dict[str, list[tuple[tuple, Path]]]] = {}
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return {}
    for entry in entries:
        match = _NAME.fullmatch(entry.name)
        file = entry / entry.name if entry.is_dir() else entry  # as Kaggle's archive unpacks
        if match is None or not file.is_file():
            continue
        zipped = file.suffix == ".gz"
        rank = (
            " (" in entry.name,
            zipped != zipped_first,
            file != entry,
            match["dot"] != "-",
            entry.name,
        )
        split = "train" if match["split"].lower() == "train" else "test"
        kind = "labels" if match["kind"].lower() == "labels" else "images"
        parts = files_by_set.setdefault((match["set"] or "").lower(), {})
        parts.setdefault(f"{split} {kind}", []).append((rank, file))
    sets = {}
    for name, parts in files_by_set.items():
        files: dict[str, Path] = {}
        for part in PARTS:
            if part in parts:
                _, files[part] = min(parts[part])
        sets[name] = FileSet(name, folder, files)
    return sets


def listed(sets: Sequence[FileSet]) -> str:
    """Return the names of sets, for a message."""
    names = [file_set.name or "one whose files' names begin with nothing" for file_set in sets]
    return ", ".join(names)


def not_found(name: str, data_dir: Path | None) -> InputError:
    """Return the error for a dataset that was not found, for the caller to raise."""
    kind = NotFoundError if data_dir is None else InputError
    folders = search_path() if data_dir is None else [data_dir]
    places = " or ".join(map(str, folders))
    for folder in folders:
        for broken in candidates(folder, name):
            return kind(
                f"{name}: not found whole in {broken.folder}: "
                f"its {', '.join(broken.missing)} are missing",
                hint="put them there",
            )
    if data_dir is not None and name != "idx":
        different = [entry for entry in sets_in(data_dir).values() if entry.name != name]
        if different:
            return kind(
                f"{name}: not found in {places}, which holds {listed(different)}",
                hint=("choose one with ", Argument("dataset", different[0].name or "idx")),
            )
    prefix = "" if name in DATASETS else name + "-"
    files = ", ".join(prefix + file for file in FILES)
    if name not in DATASETS and data_dir is None:
        begin = f" begin with; {files} are not in {places}"
        hint = ("or what the names of the files in ", Argument("data_dir"), begin)
        return kind("dataset", name, DATASETS, hint)
    run_digits = template("run with {dataset=digits}, which needs no files")
    hint = (f"put {files} there (.gz or not), or ", *run_digits)
    return kind(f"{name}: not found in {places}", hint=hint)
