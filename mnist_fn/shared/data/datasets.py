"""Datasets as uint8 arrays: found, read, checked against their known content, split."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from mnist_fn.shared.config import Config
from mnist_fn.shared.data.arrays import as_images, as_labels, idx_digest
from mnist_fn.shared.data.cache import read_through_cache
from mnist_fn.shared.data.download import fetch
from mnist_fn.shared.data.files import (
    PARTS,
    SHA256,
    SHA256_GZ,
    TORCHVISION,
    FileSet,
    candidates,
    find,
    listed,
    not_found,
    search_path,
    sets_in,
)
from mnist_fn.shared.data.formats import RawSet, check_counts, read_whole
from mnist_fn.shared.data.meaning import (
    as_classes,
    as_pictures,
    check_polarity,
    notes,
    polarity_of,
    ships_transposed,
    spec_of,
)
from mnist_fn.shared.data.spec import MNIST, DataSpec, check_class_name
from mnist_fn.shared.errors import Argument, InputError, Message
from mnist_fn.shared.streams import permutation

ARRAYS = "arrays"  # what a dataset of `Dataset.from_arrays` is called
_ARGUMENTS = ("train_images", "train_labels", "test_images", "test_labels")
_TEST = set(PARTS[2:])
_SAME_FORM = "give a test set of the same form"


@dataclass(frozen=True)
class Split:
    """Examples: `images` uint8 [n, rows, columns], `labels` uint8 [n]."""

    images: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> "Split":
        """Return these examples, in this order."""
        return Split(self.images[indices], self.labels[indices])

    def first(self, n: int) -> "Split":
        """Return the first n examples, or all if there are fewer."""
        return Split(self.images[:n], self.labels[:n])


@dataclass(frozen=True)
class Dataset:
    """A dataset in memory; `sha256` is that of its four files' digests, before any split."""

    name: str
    train: Split
    test: Split
    sha256: str
    validation: Split | None = None
    data_spec: DataSpec = MNIST  # `labels` of the splits are indices of its classes
    notes: tuple[Message | str, ...] = ()  # what its user has to know

    @classmethod
    def from_arrays(
        cls,
        train_images: ArrayLike,
        train_labels: ArrayLike,
        test_images: ArrayLike,
        test_labels: ArrayLike,
        class_names: Sequence[str] | None = None,
    ) -> "Dataset":
        """Make a dataset from arrays in memory, for `data_dir` of `train`, `sweep` and the others.

        Args:
            train_images: [n, rows, columns], a square's pixels in a row [n, pixels], or with one
                channel, first or last; 0 to 255, or floating-point numbers from 0 to 1.
            train_labels: [n], whole numbers 0 to 255; or one-hot, [n, classes].
            test_images: as the training images.
            test_labels: as the training labels.
            class_names: of labels 0, 1, 2 and so on. None: the labels themselves.

        Raises:
            InputError: another shape or kind, values out of range, splits that don't fit each
                other, or names that don't fit the labels.
        """
        sources = [f"`{argument}`" for argument in _ARGUMENTS]
        arrays = [
            as_images(sources[0], np.asarray(train_images)),
            as_labels(sources[1], np.asarray(train_labels)),
            as_images(sources[2], np.asarray(test_images)),
            as_labels(sources[3], np.asarray(test_labels)),
        ]
        used = set(np.unique(np.concatenate(arrays[1::2])).tolist())
        names = {label: str(label) for label in used}
        if class_names is not None:
            names = {label: check_class_name(str(name)) for label, name in enumerate(class_names)}
            if without := sorted(used - set(names)):
                raise InputError(f"`class_names`: has no name for label {without[0]}")
        files = FileSet("", Path(), dict(zip(PARTS, map(Path, sources), strict=True)))
        return _as_dataset(ARRAYS, RawSet(files, arrays, list(map(idx_digest, arrays)), names))

    @property
    def classes(self) -> int:
        """Outputs of the network."""
        return self.data_spec.classes

    @property
    def pixels(self) -> int:
        """Inputs of the network: rows times columns."""
        return int(np.prod(self.train.images.shape[1:]))


Source = Path | Dataset  # where a dataset is: the folder of its files, or it is in memory itself


def source_of(config: Config, data_dir: Source | str | None) -> tuple[Config, Source | None]:
    """Return a config and the source of its data, as a caller gives them.

    Args:
        config: of a dataset in memory it takes the name.
        data_dir: a folder, a dataset, or None for the usual places.
    """
    if isinstance(data_dir, Dataset):
        return config.replace(dataset=data_dir.name), data_dir
    if not isinstance(data_dir, str | os.PathLike | None):
        raise InputError(
            (Argument("data_dir"), f": a folder or a `Dataset`, not {type(data_dir).__name__}"),
            hint="make one of arrays with Dataset.from_arrays",
        )
    return config, None if data_dir is None else Path(data_dir)


def load(
    name: str,
    data_dir: Source | None = None,
    download: bool = True,
    *,
    orientation: str = "auto",
    ink: str = "auto",
    data_spec: DataSpec | None = None,
) -> Dataset:
    """Load a dataset by name, with nothing held out; see `files.find` for where it is looked for.

    Args:
        name: one of DATASETS, or what the names of its files begin with.
        data_dir: a folder with the four files; then they are looked for nowhere else. A dataset
            is returned as it is.
        download: fetch what is not found.
        orientation: see `Config`.
        ink: see `Config`.
        data_spec: of the run that goes on with it: its classes are the run's, in its order.

    Raises:
        InputError: not found, not fetched, or its content is not what it should be.
    """
    if isinstance(data_dir, Dataset):
        return data_dir
    if name == "digits":
        return _digits()
    raw = _read_raw(name, data_dir, download)
    return _as_dataset(name, raw, orientation, ink, data_spec)


def load_for(
    config: Config,
    data_dir: Source | None = None,
    download: bool = True,
    data_spec: DataSpec | None = None,
) -> Dataset:
    """Load the dataset of a config, its validation split held out of train.

    Arguments as for `load`.

    Raises:
        InputError: see `load` and `hold_out`.
    """
    dataset = load(
        config.dataset,
        data_dir,
        download,
        orientation=config.orientation,
        ink=config.ink,
        data_spec=data_spec,
    )
    return hold_out(dataset, config)


def hold_out(dataset: Dataset, config: Config) -> Dataset:
    """Hold a config's validation split out of a dataset's train.

    Raises:
        InputError: a validation split or a batch that train can't give.
    """
    total = len(dataset.train)
    if config.validation >= total:
        allowed = f"fewer than the {total} training examples of {config.dataset}"
        raise InputError("validation", config.validation, allowed)
    if config.batch_size > total - config.validation:
        allowed = f"at most the {total - config.validation} training examples of {config.dataset}"
        raise InputError("batch_size", config.batch_size, allowed)
    if not config.validation:
        return dataset
    order = permutation(config.seed, "validation", 0, total)
    held_out = dataset.train.take(np.sort(order[: config.validation]))
    training = dataset.train.take(np.sort(order[config.validation :]))
    return replace(dataset, train=training, validation=held_out)


def load_test(source: Source, name: str, spec: DataSpec) -> Dataset:
    """Load another test set for a run, in the run's classes and as its network sees them.

    Args:
        source: a folder, whose train files may be missing, or a dataset. In a folder the set of
            the run's own name is taken, else the only one.
        name: of the run's dataset.
        spec: of the run.

    Returns:
        A dataset named after the source; its training set is one test example. Its SHA-256 is of
        the files that the folder has.

    Raises:
        InputError: none there, or several; labels, or a polarity, that the run does not know.
    """
    if isinstance(source, Dataset):
        own_spec = source.data_spec
        if (own_spec.labels, own_spec.transposed) != (spec.labels, spec.transposed):
            raise InputError(
                f"{source.name}: its classes or pictures are not those of the run; {_SAME_FORM}"
            )
        check_polarity(source.name, own_spec.polarity, spec.polarity, "the run", _SAME_FORM)
        return replace(source, train=source.test.first(1), validation=None, data_spec=spec)
    files = _choose_test(source, name)
    raw = _read_files(files)
    *_, images, labels = raw.arrays
    *_, images_path, labels_path = files.files.values()
    check_counts(labels_path, images, labels)
    check_polarity(images_path, polarity_of(images), spec.polarity, "the run", _SAME_FORM)
    is_transposed = ships_transposed(files.name)
    if files.name in (name, ""):
        is_transposed = spec.transposed_on_load or spec.transposed
    pictures = as_pictures(images, turned=is_transposed != spec.transposed)
    test = Split(pictures, as_classes(labels, spec, labels_path))
    return Dataset(str(source), test.first(1), test, raw.sha256, data_spec=spec)


def _choose_test(folder: Path, name: str) -> FileSet:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    complete = [files for files in sets_in(folder).values() if files.files.keys() >= _TEST]
    known = [] if name == "idx" else candidates(folder, name)
    matching = [files for files in known if files.files.keys() >= _TEST]
    if matching or len(complete) == 1:
        return (matching or complete)[0]
    if not complete:
        raise InputError(f"{folder}: no test set in it (test images and test labels)")
    raise InputError(f"{folder}: several test sets, {listed(complete)}; give a folder with one")


def _as_dataset(
    name: str,
    raw: RawSet,
    orientation: str = "auto",
    ink: str = "auto",
    spec: DataSpec | None = None,
) -> Dataset:
    """Make a dataset of a set's raw arrays.

    Raises:
        InputError: arrays that don't fit each other.
    """
    train_path, train_labels_path, test_path, test_labels_path = raw.files.paths
    train_images, train_labels, test_images, test_labels = raw.arrays
    check_counts(train_labels_path, train_images, train_labels)
    check_counts(test_labels_path, test_images, test_labels)
    if train_images.shape[1:] != test_images.shape[1:]:
        raise InputError(
            f"{test_path}: images of {'x'.join(map(str, test_images.shape[1:]))}, "
            f"those of train are {'x'.join(map(str, train_images.shape[1:]))}"
        )
    spec = spec or spec_of(
        raw.files,
        name,
        train_images,
        (train_labels, test_labels),
        orientation=orientation,
        ink=ink,
        names=raw.names,
    )
    train_labels = as_classes(train_labels, spec, train_labels_path)
    test_labels = as_classes(test_labels, spec, test_labels_path)
    train = Split(as_pictures(train_images, spec.transposed_on_load), train_labels)
    test = Split(as_pictures(test_images, spec.transposed_on_load), test_labels)
    dataset = Dataset(name, train, test, raw.sha256, data_spec=spec)
    if name in TORCHVISION:
        return dataset
    polarities = polarity_of(test_images), polarity_of(train_images)
    check_polarity(test_path, *polarities, train_path, "invert one of them (255 - pixels)")
    splits = {"training": train.labels, "test": test.labels}
    messages = notes(spec, raw.files.name or name, train.images, splits)
    own_note = (f"{name}: {raw.note}",) if raw.note else ()
    return replace(dataset, notes=(*own_note, *messages))


def _read_raw(name: str, data_dir: Path | None, download: bool) -> RawSet:
    """Read a set from its four files, or else from one of the other forms that people have."""
    files = find(name, data_dir)
    if files is None:
        for folder in search_path() if data_dir is None else [data_dir]:
            if (raw := read_whole(folder, name)) is not None:
                _check_published(name, raw)
                return raw
    if files is None and data_dir is None and download and name in TORCHVISION:
        fetch(name)
        files = find(name)
    if files is None and data_dir is None and name == ARRAYS:
        hint = ("give the same `Dataset` as ", Argument("data_dir"))
        raise InputError(f"{ARRAYS}: the data were in memory only", hint=hint)
    if files is None:
        raise not_found(name, data_dir)
    raw = _read_files(files)
    _check_published(name, raw)
    return raw


def _read_files(files: FileSet) -> RawSet:
    """Read the files of a set, all four or as many as it has."""
    arrays, digests = [], []
    for part, path in files.files.items():
        array, digest = read_through_cache(path, dimensions=1 if part.endswith("labels") else 3)
        arrays.append(array)
        digests.append(digest)
    return RawSet(files, arrays, digests)


def _check_published(name: str, raw: RawSet) -> None:
    """Raise InputError if a file's SHA-256, or its .gz file's, is not the published one."""
    idx = Argument("dataset", "idx")
    published = {**SHA256, **SHA256_GZ}.get(name, ())
    for path, digest, expected in zip(raw.files.paths, raw.digests, published, strict=False):
        if name in SHA256_GZ:
            if path.suffix != ".gz":
                four = len(set(raw.files.paths)) == len(raw.files.paths)
                place = f"put {path.name}.gz there, or " if four else ""
                raise InputError(
                    f"{path}: {name} publishes checksums of its .gz files only",
                    hint=(f"{place}use ", idx, " to read it unchecked"),
                )
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != expected:
            raise InputError(
                f"{path}: not {name}'s: SHA-256 should begin {expected[:16]}, begins {digest[:16]}",
                hint=("fetch the file again, or read other files with ", idx),
            )


def scale_pixels(images: np.ndarray, dtype: str) -> np.ndarray:
    """Scale uint8 images [n, rows, columns] to rows of pixels [n, pixels] in [0, 1].

    In float32 it is bit for bit what torchvision's ToTensor gives. It is done here for every
    backend because a compiler may not divide: XLA multiplies by 1/255, which rounds differently
    for half of the 256 values.
    """
    flat = images.reshape(len(images), -1)
    return np.divide(flat, 255, dtype=dtype)


def resolve_auto(data_dir: Path | None, say: Callable[[Message | str], None]) -> str:
    """Return `mnist` if it is found or can be fetched, else `digits`; `say` is told why."""
    if data_dir is not None or find("mnist") is not None:
        return "mnist"
    try:
        fetch("mnist")
    except InputError as error:
        say(Message("NOT MNIST: ", error))
        say("Using scikit-learn's embedded digits instead: 1,797 real handwritten 8x8 digits.")
        return "digits"
    return "mnist"


def _digits() -> Dataset:
    """Load scikit-learn's 1,797 handwritten 8x8 digits; every fifth is a test example."""
    # its file, not its `load_digits`: importing scikit-learn takes longer than a short run
    file = distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")
    table = np.loadtxt(str(file), delimiter=",")
    # 17 grey levels, spread over a byte so that /255 gives [0, 1] as for the others
    images = np.rint(table[:, :-1].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    labels = table[:, -1].astype(np.uint8)
    test = np.arange(len(labels)) % 5 == 0
    digest = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    return Dataset(
        "digits", Split(images[~test], labels[~test]), Split(images[test], labels[test]), digest
    )
