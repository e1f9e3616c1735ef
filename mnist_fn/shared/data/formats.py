"""Sets in other files than four: an archive as Keras has it, two archives, CSV, folders of PNGs."""

import hashlib
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnist_fn.shared.data.arrays import (
    MAX_BYTES,
    as_images,
    as_labels,
    idx_digest,
    read_members,
)
from mnist_fn.shared.data.files import PARTS, FileSet
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.storage import read_bounded

MAX_TABLE_BYTES = 2**28  # of a CSV file; Kaggle's train.csv has 77 MB
MAX_PICTURES = 200_000  # of a split, in folders
EVERY = 7  # where there are no labelled test examples, every seventh is one
IMAGES = ("images", "x", "data", "imgs")
LABELS = ("labels", "label", "y", "targets", "target")
_KERAS = ("x_train", "y_train", "x_test", "y_test")
Names = dict[int, str]  # of classes, by label
Examples = tuple[np.ndarray, np.ndarray | None]  # images and labels, None if there are none


@dataclass(frozen=True)
class RawSet:
    """A set's arrays, uint8, in the order of PARTS, before their meaning is known."""

    files: FileSet
    arrays: Sequence[np.ndarray]
    digests: Sequence[str]  # of each array, see `idx_digest`
    names: Names | None = None  # of the classes; None: they may lie in a file in its folder
    note: str = ""  # what was decided for the reader

    @property
    def sha256(self) -> str:
        """SHA-256 of the digests together, hexadecimal."""
        return hashlib.sha256("".join(self.digests).encode()).hexdigest()


def read_whole(folder: Path, name: str) -> RawSet | None:
    """Read the set in a folder that has one of these forms; None if there is none.

    `mnist.npz` as Keras has it (`x_train`, `y_train`, `x_test`, `y_test`); `train.npz` and
    `test.npz` with images and labels; `train.csv` as Kaggle has it, a label and the pixels in a
    row; `train/CLASS/*.png` and `test/CLASS/*.png`, or `CLASS/*.png`.

    Raises:
        InputError: there is one, and it is damaged.
    """
    for path in (folder / f"{name}.npz", folder / "mnist.npz"):
        if path.is_file():
            members = read_members(path, _KERAS)
            if len(members) == len(_KERAS):
                return raw_set(folder, [path] * 4, [members[key] for key in _KERAS])
    for ending, read in ((".npz", _read_archive), (".csv", _read_table)):
        path = folder / f"train{ending}"
        if path.is_file():
            return _read_two_files(path, path.with_stem("test"), read)
    return _read_class_folders(folder)


def raw_set(
    folder: Path,
    paths: Sequence[Path],
    arrays: Sequence[np.ndarray],
    names: Names | None = None,
    note: str = "",
) -> RawSet:
    """Make a set of arrays of any shape and type, in the order of PARTS; errors name the `paths`.

    Raises:
        InputError: they are no images or labels.
    """
    convert: list[Callable] = [as_images, as_labels] * 2
    converted = []
    for change, path, part, array in zip(convert, paths, PARTS, arrays, strict=True):
        converted.append(change(f"{path} ({part})", array))
    files = FileSet("", folder, dict(zip(PARTS, paths, strict=True)))
    return RawSet(files, converted, list(map(idx_digest, converted)), names, note)


def check_counts(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Raise InputError unless there are as many labels, those of `path`, as images."""
    if len(images) != len(labels):
        raise InputError(f"{path}: {len(labels)} labels for {len(images)} images")


def _held_out(
    folder: Path, path: Path, examples: Examples, why: str, names: Names | None = None
) -> RawSet:
    """Make a set without labelled test examples: every seventh of its examples becomes one."""
    images, labels = examples
    if labels is None:
        raise InputError(f"{path}: its first column is not called label; name it so")
    check_counts(path, images, labels)
    test = np.arange(len(labels)) % EVERY == 0
    note = (
        f"{why}: every {EVERY}th of its {len(labels):,} labelled examples is held out as the "
        "test set"
    )
    arrays = [images[~test], labels[~test], images[test], labels[test]]
    return raw_set(folder, [path] * 4, arrays, names, note)


def _read_two_files(train: Path, test: Path, read: Callable[[Path], Examples]) -> RawSet:
    images, labels = read(train)
    if not test.is_file():
        return _held_out(train.parent, train, (images, labels), f"there is no {test.name}")
    test_images, test_labels = read(test)
    if labels is None or test_labels is None:
        return _held_out(train.parent, train, (images, labels), f"{test.name} has no labels")
    arrays = [images, labels, test_images, test_labels]
    return raw_set(train.parent, [train, train, test, test], arrays)


def _read_archive(path: Path) -> Examples:
    members = read_members(path, (*IMAGES, *LABELS))
    images = [members[name] for name in IMAGES if name in members]
    labels = [members[name] for name in LABELS if name in members]
    if len(images) != 1 or len(labels) != 1:
        raise InputError(
            f"{path}: expected one array of images ({', '.join(IMAGES)}) and one of labels "
            f"({', '.join(LABELS)}); found {', '.join(members) or 'none'}"
        )
    return images[0], labels[0]


def _read_table(path: Path) -> Examples:
    """Read a CSV file, with a line of names or without: pixels [n, pixels] and labels [n]."""
    data = read_bounded(path, MAX_TABLE_BYTES)
    head = data[: data.find(b"\n") + 1 or None][: 2**16].decode("utf-8-sig", "replace").strip()
    first = head.split(",")[0].strip().strip('"').lower()
    named = not first.replace(".", "", 1).isdigit()
    try:
        table = np.loadtxt(
            io.BytesIO(data), np.float32, delimiter=",", skiprows=int(named), ndmin=2
        )
    except ValueError as error:
        reason = str(error).splitlines()[0][:80]
        raise InputError(f"{path}: no table of numbers with commas ({reason})") from error
    if not table.size:
        raise InputError(f"{path}: a table without rows")
    if named and first not in (*LABELS, "class"):
        return table, None
    return table[:, 1:], table[:, 0]


def _read_class_folders(folder: Path) -> RawSet | None:
    train, test = folder / "train", folder / "test"
    if not _classes(train):
        if not (classes := _classes(folder)):
            return None
        labels, names = _labels_of(classes)
        examples = _read_pictures(folder, labels)
        return _held_out(folder, folder, examples, "there are no folders train and test", names)
    if not _classes(test):
        raise InputError(f"{test}: no folders of pictures by class, which {train} has")
    labels, names = _labels_of(_classes(train))
    arrays = [*_read_pictures(train, labels), *_read_pictures(test, labels)]
    return raw_set(folder, [train, train, test, test], arrays, names)


def _classes(folder: Path) -> list[str]:
    """Return the names of folders with PNG files: numbers by their size, others by letters."""
    try:
        names = [entry.name for entry in folder.iterdir() if next(entry.glob("*.png"), None)]
    except OSError:
        return []
    if len(names) < 2:
        return []
    return sorted(names, key=lambda name: (not name.isdecimal(), name.zfill(9), name))


def _labels_of(classes: list[str]) -> tuple[dict[str, int], Names | None]:
    """Return each folder's label, and the classes' names unless these are the labels."""
    if all(map(str.isdecimal, classes)):
        return {name: int(name) for name in classes}, None
    return {name: label for label, name in enumerate(classes)}, dict(enumerate(classes))


def _read_pictures(folder: Path, labels_of: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    images, labels = [], []
    for name in _classes(folder):
        if name not in labels_of:
            raise InputError(f"{folder / name}: a class that the training pictures don't have")
        for path in sorted((folder / name).glob("*.png")):
            images.append(_read_picture(path))
            labels.append(labels_of[name])
            if images[-1].shape != images[0].shape:
                raise InputError(f"{path}: its size is another than the others'; give all one size")
            if len(images) > MAX_PICTURES or len(images) * images[0].size > MAX_BYTES:
                raise InputError(f"{folder}: more pictures than are read, {MAX_PICTURES:,}")
    return np.stack(images), np.array(labels)


def _read_picture(path: Path) -> np.ndarray:
    from PIL import Image

    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=("PNG",)) as image:
            if max(image.size) > 256:
                raise InputError(
                    f"{path}: {image.width} x {image.height}; at most 256 x 256 is read"
                )
            return np.asarray(image.convert("L"))
    except InputError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever a damaged file leads to
        raise InputError(f"{path}: a damaged image ({str(error)[:80]})") from error
