"""Datasets as uint8 arrays: found, read, checked against their known content, split."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass, field, replace
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from mnist_fn.shared.config import Config
from mnist_fn.shared.data.cache import read_through_cache
from mnist_fn.shared.data.download import fetch
from mnist_fn.shared.data.formats import digests_of, read_whole
from mnist_fn.shared.data.meaning import (
    Hints,
    as_classes,
    as_pictures,
    check_polarity,
    form_of,
    notes,
)
from mnist_fn.shared.data.names import Names
from mnist_fn.shared.data.sets import PARTS, FileSet
from mnist_fn.shared.data.sources import (
    SHA256,
    SHA256_GZ,
    TORCHVISION,
    files_in,
    find,
    find_set,
    not_found,
    search_path,
)
from mnist_fn.shared.data.spec import MNIST, DataSpec, check_class_name
from mnist_fn.shared.data.values import as_images, as_labels
from mnist_fn.shared.errors import Argument, InputError, Message
from mnist_fn.shared.streams import permutation

ARRAYS = "arrays"  # what a dataset of `Dataset.from_arrays` is called
_ARGUMENTS = ("train_images", "train_labels", "test_images", "test_labels")


@dataclass(frozen=True)
class Split:
    """Examples: `images` uint8 [n, rows, columns], `labels` uint8 [n]."""

    images: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> "Split":
        """These examples, in this order."""
        return Split(self.images[indices], self.labels[indices])

    def first(self, n: int) -> "Split":
        """The first n examples, or all if there are fewer."""
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
    notes: tuple[Message | str, ...] = ()  # what is to be said of the data, once

    @classmethod
    def from_arrays(
        cls,
        train_images: ArrayLike,
        train_labels: ArrayLike,
        test_images: ArrayLike,
        test_labels: ArrayLike,
        class_names: Sequence[str] | None = None,
    ) -> "Dataset":
        """A dataset of arrays in memory, for `data_dir` of `train`, `sweep` and the rest.

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
        inputs = (train_images, train_labels, test_images, test_labels)
        convert = (as_images, as_labels, as_images, as_labels)
        arrays = [
            change(f"`{part}`", np.asarray(array))
            for change, part, array in zip(convert, _ARGUMENTS, inputs, strict=True)
        ]
        used = set(np.unique(np.concatenate(arrays[1::2])).tolist())
        names = {label: str(label) for label in used}
        if class_names is not None:
            names = {label: check_class_name(str(name)) for label, name in enumerate(class_names)}
            if without := sorted(used - set(names)):
                raise InputError(f"`class_names`: has no name for label {without[0]}")
        paths: dict[str, Path] = {
            part: Path(f"`{argument}`") for part, argument in zip(PARTS, _ARGUMENTS, strict=True)
        }
        files = FileSet("", Path(), paths)
        return _as_dataset(ARRAYS, _Raw(files, arrays, digests_of(arrays), names=names), Hints())

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
    """A config and the source of its data, as a caller gives them.

    Args:
        config: of a dataset in memory it takes the name.
        data_dir: a folder, a dataset, or None for the usual places.
    """
    if isinstance(data_dir, Dataset):
        return config.replace(dataset=data_dir.name), data_dir
    return config, None if data_dir is None else Path(data_dir)


def load(
    name: str, data_dir: Source | None = None, download: bool = True, hints: Hints | None = None
) -> Dataset:
    """Load a dataset by name; see `find` for where its files are looked for.

    Args:
        name: one of DATASETS, or what the names of its files begin with.
        data_dir: a folder with the four files; then they are looked for nowhere else. A dataset
            is returned as it is.
        download: fetch what is not found.
        hints: what is known of its classes and pictures beforehand.

    Raises:
        InputError: not found, not fetched, or its content is not what it should be.
    """
    if isinstance(data_dir, Dataset):
        return data_dir
    if name == "digits":
        return _digits()
    return _as_dataset(name, _read_raw(name, data_dir, download), hints or Hints())


def _as_dataset(name: str, raw: "_Raw", hints: Hints) -> Dataset:
    """A set's raw arrays with their meaning."""
    files, arrays = raw.files, raw.arrays
    hints = replace(hints, ten=name in TORCHVISION)
    spec = form_of(files, name, arrays[0], arrays[1::2], hints, raw.names)
    if name not in TORCHVISION:
        check_polarity(files.paths[0], files.paths[2], arrays[0], arrays[2])
    train, test = (
        Split(as_pictures(images, spec.transposed_on_load), as_classes(labels, spec, path))
        for images, labels, path in zip(arrays[::2], arrays[1::2], files.paths[1::2], strict=True)
    )
    if name in TORCHVISION:
        return Dataset(name, train, test, raw.sha256, data_spec=spec)
    messages = notes(
        spec, files.name or name, train.images, {"training": train.labels, "test": test.labels}
    )
    return Dataset(name, train, test, raw.sha256, data_spec=spec, notes=(*raw.notes, *messages))


@dataclass(frozen=True)
class _Raw:
    """A set's arrays in the order of PARTS, checked against what is known of them."""

    files: FileSet
    arrays: Sequence[np.ndarray]
    digests: InitVar[Sequence[str]]
    sha256: str = field(init=False)
    notes: tuple[str, ...] = ()
    names: Names | None = None  # of the classes, where they don't lie in a file beside it

    def __post_init__(self, digests: Sequence[str]) -> None:
        sha256 = hashlib.sha256("".join(digests).encode()).hexdigest()
        object.__setattr__(self, "sha256", sha256)
        for index in (1, 3):
            check_counts(self.files.paths[index], self.arrays[index - 1], self.arrays[index])
        _check_shapes(self.files.paths[2], self.arrays[0], self.arrays[2])


def _read_raw(name: str, data_dir: Path | None, download: bool) -> _Raw:
    """A set from its four files, or else from one of the other forms that people have."""
    try:
        files = find_set(name, data_dir)
    except InputError:  # not found in `data_dir`
        if (raw := _whole_set(name, data_dir)) is not None:
            return raw
        raise
    if files is None and (raw := _whole_set(name, data_dir)) is not None:
        return raw
    if files is None and download and name in TORCHVISION:
        files = files_in(fetch(name), name)
    if files is None and name == ARRAYS and data_dir is None:
        hint = ("give the same `Dataset` as ", Argument("data_dir"))
        raise InputError(f"{ARRAYS}: the data were in memory only", hint=hint)
    if files is None:
        raise not_found(name, data_dir)
    return _Raw(files, *_read(name, files))


def _whole_set(name: str, data_dir: Path | None) -> _Raw | None:
    for folder in [data_dir] if data_dir is not None else search_path():
        if (whole_set := read_whole(folder, name)) is None:
            continue
        for index, (path, digest) in enumerate(
            zip(whole_set.paths, whole_set.digests, strict=True)
        ):
            if name in SHA256_GZ:
                raise InputError(
                    f"{path}: {name} publishes checksums of its .gz files only",
                    hint=("use ", Argument("dataset", "idx"), " to read it unchecked"),
                )
            _check_content(name, index, path, digest)
        files = FileSet("", folder, dict(zip(PARTS, whole_set.paths, strict=True)))
        notes = (f"{name}: {whole_set.note}",) if whole_set.note else ()
        names = dict(enumerate(whole_set.names)) or None
        return _Raw(files, whole_set.arrays, whole_set.digests, notes, names)
    return None


def load_for(
    config: Config,
    data_dir: Source | None = None,
    download: bool = True,
    data_spec: DataSpec | None = None,
) -> Dataset:
    """The dataset of a config, its validation split held out of train.

    Args:
        config: names the dataset and how its pictures are read.
        data_dir: as for `load`.
        download: as for `load`.
        data_spec: of the run that goes on with it: its classes are the run's, in its order.

    Raises:
        InputError: as `load`; a validation split or a batch that train can't give.
    """
    return hold_out(load_whole(config, data_dir, download, data_spec), config)


def load_whole(
    config: Config,
    data_dir: Source | None = None,
    download: bool = True,
    data_spec: DataSpec | None = None,
) -> Dataset:
    """The same with nothing held out of train: what runs of several splits share."""
    hints = Hints(config.orientation, config.ink, data_spec)
    return load(config.dataset, data_dir, download, hints)


def hold_out(dataset: Dataset, config: Config) -> Dataset:
    """A whole dataset as a config uses it: its validation split held out of train.

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


def scale_pixels(images: np.ndarray, dtype: str) -> np.ndarray:
    """uint8 images [n, rows, columns] to rows of pixels [n, pixels] in [0, 1].

    In float32 bit for bit what torchvision's ToTensor gives. Done here, once, for every backend:
    a compiler may divide by 255 otherwise (XLA multiplies by 1/255, which rounds differently
    for half of the 256 values).
    """
    flat = images.reshape(len(images), -1)
    return np.divide(flat, 255, dtype=dtype)


def resolve_auto(data_dir: Path | None, say: Callable[[Message | str], None]) -> str:
    """`mnist` if it is there or can be fetched, else `digits`, saying which and why."""
    if data_dir is not None or find("mnist") is not None:
        return "mnist"
    try:
        fetch("mnist")
    except InputError as error:
        say(Message("NOT MNIST: ", error))
        say("Using scikit-learn's embedded digits instead: 1,797 real handwritten 8x8 digits.")
        return "digits"
    return "mnist"


def _check_gz(name: str, index: int, path: Path) -> None:
    if name not in SHA256_GZ:
        return
    if path.suffix != ".gz":
        raise InputError(
            f"{path}: {name} publishes checksums of its .gz files only",
            hint=(
                f"put {path.name}.gz there, or use ",
                Argument("dataset", "idx"),
                " to read it unchecked",
            ),
        )
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    _compare(name, path, SHA256_GZ[name][index], digest.hexdigest())


def _check_content(name: str, index: int, path: Path, digest: str) -> None:
    if name in SHA256:
        _compare(name, path, SHA256[name][index], digest)


def _compare(name: str, path: Path, expected: str, digest: str) -> None:
    if expected != digest:
        raise InputError(
            f"{path}: not {name}'s: SHA-256 should begin {expected[:16]}, begins {digest[:16]}",
            hint=("fetch the file again, or read other files with ", Argument("dataset", "idx")),
        )


def _read(name: str, files: FileSet) -> tuple[list[np.ndarray], list[str]]:
    """The raw arrays in the order of PARTS, and the digests of their contents."""
    arrays, digests = [], []
    for index, path in enumerate(files.paths):
        _check_gz(name, index, path)
        file = read_through_cache(path, dimensions=1 if index % 2 else 3)
        _check_content(name, index, path, file.digest)
        arrays.append(file.array)
        digests.append(file.digest)
    return arrays, digests


def check_counts(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """InputError unless there are as many labels, those of `path`, as images."""
    if len(images) != len(labels):
        raise InputError(f"{path}: {len(labels)} labels for {len(images)} images")


def _check_shapes(path: Path, train: np.ndarray, test: np.ndarray) -> None:
    if train.shape[1:] != test.shape[1:]:
        raise InputError(
            f"{path}: images of {'x'.join(map(str, test.shape[1:]))}, "
            f"those of train are {'x'.join(map(str, train.shape[1:]))}"
        )


def _digits() -> Dataset:
    """scikit-learn's 1,797 handwritten 8x8 digits; every fifth is a test example."""
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
