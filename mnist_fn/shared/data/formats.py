"""File formats: an array in a file, and sets in other files than four: an archive, CSV, PNGs."""

import hashlib
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnist_fn.shared.data.idx import MAX_BYTES, header_of, read_idx
from mnist_fn.shared.data.npz import read_members, read_npz
from mnist_fn.shared.data.sets import PARTS
from mnist_fn.shared.data.values import as_images, as_labels
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.storage import open_plain, read_bounded

MAX_TABLE_BYTES = 2**28  # of a CSV file; Kaggle's train.csv has 77 MB
MAX_PICTURES = 200_000  # of a split, in folders
EVERY = 7  # where there are no labelled test examples, every seventh is one
IMAGES = ("images", "x", "data", "imgs")
LABELS = ("labels", "label", "y", "targets", "target")
_ZIP = b"PK\x03\x04"


def read_array(path: Path, dimensions: int) -> tuple[np.ndarray, str]:
    """Images or labels as uint8, and a SHA-256 of their content, from IDX or .npz as it begins.

    Arguments and errors as for `idx.read_idx` and `npz.read_npz`.
    """
    with open_plain(path) as file:
        zipped = file.read(len(_ZIP)) == _ZIP
    return (read_npz if zipped else read_idx)(path, dimensions)


@dataclass(frozen=True)
class WholeSet:
    """A set as it was found, in the order of PARTS."""

    folder: Path
    paths: tuple[Path, Path, Path, Path]  # for errors
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # uint8, as values has them
    note: str = ""  # what was decided for the reader
    names: tuple[str, ...] = ()  # of the classes, by label

    @property
    def digests(self) -> list[str]:
        """See `digests_of`."""
        return digests_of(self.arrays)


def digests_of(arrays: Sequence[np.ndarray]) -> list[str]:
    """SHA-256 of the IDX files that would hold arrays of uint8, hexadecimal."""
    return [hashlib.sha256(header_of(array) + array.tobytes()).hexdigest() for array in arrays]


def read_whole(folder: Path, name: str) -> WholeSet | None:
    """The set in a folder in one of these forms, None if it is in none.

    `mnist.npz` as Keras has it (`x_train`, `y_train`, `x_test`, `y_test`); `train.npz` and
    `test.npz` with images and labels; `train.csv` as Kaggle has it, a label and the pixels in a
    row; `train/CLASS/*.png` and `test/CLASS/*.png`, or `CLASS/*.png`.

    Raises:
        InputError: it is in one, and damaged.
    """
    for read in (_keras, _two_archives, _tables, _pictures):
        if (whole_set := read(folder, name)) is not None:
            return whole_set
    return None


def _keras(folder: Path, name: str) -> WholeSet | None:
    wanted = ("x_train", "y_train", "x_test", "y_test")
    for path in (folder / f"{name}.npz", folder / "mnist.npz"):
        if path.is_file():
            members = read_members(path, wanted)
            if len(members) == len(wanted):
                return _set(folder, (path, path, path, path), [members[key] for key in wanted])
    return None


def _two_archives(folder: Path, _: str) -> WholeSet | None:
    paths = [folder / f"{split}.npz" for split in ("train", "test")]
    if not paths[0].is_file():
        return None
    splits = [_images_and_labels(path) for path in paths if path.is_file()]
    if len(splits) == 2:
        return _set(folder, (paths[0], paths[0], paths[1], paths[1]), [*splits[0], *splits[1]])
    return _held_out(folder, paths[0], *splits[0], "there is no test.npz")


def _images_and_labels(path: Path) -> tuple[np.ndarray, np.ndarray]:
    members = read_members(path, (*IMAGES, *LABELS))
    images, labels = (
        [members[name] for name in names if name in members] for names in (IMAGES, LABELS)
    )
    if len(images) != 1 or len(labels) != 1:
        raise InputError(
            f"{path}: expected one array of images ({', '.join(IMAGES)}) and one of labels "
            f"({', '.join(LABELS)}); found {', '.join(members) or 'none'}"
        )
    return images[0], labels[0]


def _tables(folder: Path, _: str) -> WholeSet | None:
    train, test = folder / "train.csv", folder / "test.csv"
    if not train.is_file():
        return None
    images, labels = _table(train)
    if labels is None:
        raise InputError(f"{train}: its first column is not called label; name it so")
    if test.is_file():
        test_images, test_labels = _table(test)
        if test_labels is not None:
            return _set(
                folder, (train, train, test, test), [images, labels, test_images, test_labels]
            )
        return _held_out(folder, train, images, labels, "test.csv has no labels")
    return _held_out(folder, train, images, labels, "there is no test.csv")


def _table(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """The pixels [n, pixels] and the labels [n] of a CSV file with a line of names, or without."""
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


def _pictures(folder: Path, _: str) -> WholeSet | None:
    train, test = ((folder / split) for split in ("train", "test"))
    if classes := _classes(train):
        if not _classes(test):
            raise InputError(f"{test}: no folders of pictures by class, which {train} has")
        splits = [*_read_pictures(train, classes), *_read_pictures(test, classes)]
        return _set(folder, (train, train, test, test), splits, _names(classes))
    if classes := _classes(folder):
        images, labels = _read_pictures(folder, classes)
        why = "there are no folders train and test"
        return _held_out(folder, folder, images, labels, why, _names(classes))
    return None


def _classes(folder: Path) -> list[str]:
    """Names of the folders with PNG files in a folder: numbers by their size, others by letters."""
    try:
        names = [entry.name for entry in folder.iterdir() if next(entry.glob("*.png"), None)]
    except OSError:
        return []
    if len(names) < 2:
        return []
    return sorted(names, key=lambda name: (not name.isdecimal(), name.zfill(9), name))


def _names(classes: list[str]) -> tuple[str, ...]:
    """None where the folders are called as the labels are."""
    return () if all(name.isdecimal() for name in classes) else tuple(classes)


def _read_pictures(folder: Path, classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    numbers = [int(name) for name in classes] if not _names(classes) else range(len(classes))
    images, labels = [], []
    known = dict(zip(classes, numbers, strict=True))
    for name in _classes(folder):
        if name not in known:
            raise InputError(f"{folder / name}: a class that the training pictures don't have")
        for path in sorted((folder / name).glob("*.png")):
            images.append(_read_picture(path))
            labels.append(known[name])
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


def _held_out(
    folder: Path,
    path: Path,
    images: np.ndarray,
    labels: np.ndarray,
    why: str,
    names: tuple[str, ...] = (),
) -> WholeSet:
    if len(images) != len(labels):
        raise InputError(f"{path}: {len(labels)} labels for {len(images)} images")
    test = np.arange(len(labels)) % EVERY == 0
    note = (
        f"{why}: every {EVERY}th of its {len(labels):,} labelled examples is held out as the "
        "test set"
    )
    parts = [images[~test], labels[~test], images[test], labels[test]]
    return _set(folder, (path, path, path, path), parts, names, note)


def _set(
    folder: Path,
    paths: tuple[Path, Path, Path, Path],
    parts: list[np.ndarray],
    names: tuple[str, ...] = (),
    note: str = "",
) -> WholeSet:
    convert: list[Callable] = [as_images, as_labels] * 2
    train, train_labels, test, test_labels = (
        change(f"{path} ({part})", array)
        for change, path, part, array in zip(convert, paths, PARTS, parts, strict=True)
    )
    return WholeSet(folder, paths, (train, train_labels, test, test_labels), note, names)
