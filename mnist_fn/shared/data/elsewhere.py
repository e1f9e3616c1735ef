"""Another test set for a run: any whose classes and pictures are the run's."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from mnist_fn.shared.data.cache import read_through_cache
from mnist_fn.shared.data.datasets import Dataset, Source, Split, check_counts
from mnist_fn.shared.data.meaning import (
    as_classes,
    as_pictures,
    ink_of,
    ships_transposed,
    words_of,
)
from mnist_fn.shared.data.sets import PARTS, FileSet, listed, sets_in
from mnist_fn.shared.data.sources import candidates
from mnist_fn.shared.data.spec import DataSpec
from mnist_fn.shared.errors import InputError

_TEST = PARTS[2:]


@dataclass(frozen=True)
class TestSet:
    """Test examples from elsewhere, in a run's classes and as its network sees them."""

    __test__ = False  # no test of pytest's

    split: Split
    where: str  # they are: the folder, or the dataset's name
    sha256: str  # of its four files, or of the two where there is no train


def load_test(source: Source, name: str, data_spec: DataSpec) -> TestSet:
    """The test set of a dataset, or in a folder: that of the run's own name, else the only one.

    Args:
        source: a folder, whose train files may be missing, or a dataset.
        name: of the run's dataset.
        data_spec: of the run; labels become its classes, pictures stand as its own.

    Raises:
        InputError: none there, or several; labels, or ink, that the run does not know.
    """
    if isinstance(source, Dataset):
        given = source.data_spec
        if (given.labels, given.transposed) != (data_spec.labels, data_spec.transposed):
            raise InputError(
                f"{source.name}: its classes or pictures are not those of the run; give a test set "
                "of the same form"
            )
        _check_ink(source.name, given.polarity, data_spec)
        return TestSet(source.test, source.name, source.sha256)
    files = _choose(source, name)
    arrays, digests = {}, []
    for part in (part for part in PARTS if part in files.files):
        file = read_through_cache(files.files[part], dimensions=1 if part.endswith("labels") else 3)
        arrays[part] = file.array
        digests.append(file.digest)
    images, labels = (arrays[part] for part in _TEST)
    path = files.files[_TEST[1]]
    check_counts(path, images, labels)
    _check_ink(files.files[_TEST[0]], ink_of(images), data_spec)
    same_name = files.name == name or not files.name
    as_run = data_spec.transposed_on_load or data_spec.transposed
    stored = as_run if same_name else ships_transposed(files.name)
    pictures = as_pictures(images, turned=stored != data_spec.transposed)
    sha256 = hashlib.sha256("".join(digests).encode()).hexdigest()
    return TestSet(Split(pictures, as_classes(labels, data_spec, path)), str(source), sha256)


def _check_ink(source: Path | str, ink: str, data_spec: DataSpec) -> None:
    """Raise InputError if the pictures of a file or dataset have the other ink than the run's."""
    if "unknown" not in (ink, data_spec.polarity) and ink != data_spec.polarity:
        raise InputError(
            f"{source}: its pictures are {words_of(ink)}, those of the run "
            f"{words_of(data_spec.polarity)}; give a test set of the same form"
        )


def _choose(folder: Path, name: str) -> FileSet:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    complete = [files for files in sets_in(folder).values() if set(_TEST) <= set(files.files)]
    known = [] if name == "idx" else candidates(folder, name)
    matching = [files for files in known if set(_TEST) <= set(files.files)]
    if matching or len(complete) == 1:
        return (matching or complete)[0]
    if not complete:
        raise InputError(f"{folder}: no test set in it (test images and test labels)")
    raise InputError(f"{folder}: several test sets, {listed(complete)}; give a folder with one")
