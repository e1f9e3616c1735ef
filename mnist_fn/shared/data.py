"""Datasets as uint8 arrays: found, read, checked against their known content, split."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mnist_fn.shared.config import DATASETS, Config
from mnist_fn.shared.data_cache import read_through_cache
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.streams import permutation

CLASSES = 10
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
TORCHVISION = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "kmnist": "KMNIST"}

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
    classes: int = CLASSES

    @property
    def pixels(self) -> int:
        """Inputs of the network: rows times columns."""
        return int(np.prod(self.train.images.shape[1:]))


def load(name: str, data_dir: Path | None = None, download: bool = True) -> Dataset:
    """Load a dataset by name; see `find` for where its files are looked for.

    Args:
        name: one of DATASETS.
        data_dir: a folder with the four files; then they are looked for nowhere else.
        download: fetch through torchvision what is not found.

    Raises:
        InputError: not found, not fetched, or its content is not what it should be.
    """
    if name == "digits":
        return _digits()
    paths = find(name, data_dir)
    if paths is None and download:
        from mnist_fn.shared.download import fetch

        paths = _files_in(fetch(name), name)
    if paths is None:
        raise InputError(not_found(name, data_dir))
    arrays, digests = [], []
    for index, path in enumerate(paths):
        _check_gz(name, index, path)
        file = read_through_cache(path, dimensions=1 if index % 2 else 3)
        _check_content(name, index, path, file.digest)
        arrays.append(file.array)
        digests.append(file.digest)
    train, test = Split(arrays[0], arrays[1]), Split(arrays[2], arrays[3])
    _check_sizes(paths, train, test)
    return Dataset(name, train, test, hashlib.sha256("".join(digests).encode()).hexdigest())


def load_for(config: Config, data_dir: Path | None = None, download: bool = True) -> Dataset:
    """The dataset of a config, its validation split held out of train.

    Raises:
        InputError: as `load`; a validation split or a batch that train can't give.
    """
    dataset = load(config.dataset, data_dir, download)
    total = len(dataset.train)
    if config.validation >= total:
        raise InputError(
            f"--validation {config.validation}: {config.dataset} has {total} training examples; "
            "hold out fewer"
        )
    if config.batch_size > total - config.validation:
        raise InputError(
            f"--batch-size {config.batch_size}: larger than the {total - config.validation} "
            f"training examples of {config.dataset}"
        )
    if not config.validation:
        return dataset
    order = permutation(config.seed, "validation", 0, total)
    held, kept = np.sort(order[: config.validation]), np.sort(order[config.validation :])
    return Dataset(
        dataset.name,
        dataset.train.take(kept),
        dataset.test,
        dataset.sha256,
        validation=dataset.train.take(held),
    )


def scale_pixels(images: np.ndarray, dtype: str) -> np.ndarray:
    """uint8 images [n, rows, columns] to rows of pixels [n, pixels] in [0, 1].

    In float32 bit for bit what torchvision's ToTensor gives. Done here, once, for every backend:
    a compiler may divide by 255 otherwise (XLA multiplies by 1/255, which rounds differently
    for half of the 256 values).
    """
    flat = images.reshape(len(images), -1)
    return np.divide(flat, 255, dtype=dtype)


def find(name: str, data_dir: Path | None = None) -> list[Path] | None:
    """The four files of a dataset, or None: in `data_dir` alone if given, else in the folder
    that MNIST_FN_DATA names, then in the user's cache.

    Each may lie flat or in torchvision's layout (`MNIST/raw/`), gzipped or not.

    Raises:
        InputError: `data_dir` is given and the files are not there.
    """
    if data_dir is not None:
        found = _files_in(data_dir, name)
        if found is None:
            raise InputError(not_found(name, data_dir))
        return found
    if name == "idx":
        raise InputError("--dataset idx needs --data-dir with the four IDX files")
    for folder in search_path():
        if found := _files_in(folder, name):
            return found
    return None


def search_path() -> list[Path]:
    """Folders that are searched when no --data-dir is given."""
    from_environment = os.environ.get("MNIST_FN_DATA")
    return [*([Path(from_environment)] if from_environment else []), cache_dir() / "data"]


def cache_dir() -> Path:
    """The user's cache folder for this project; it need not exist."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("mnist-fn", appauthor=False))


def resolve_auto(data_dir: Path | None, say: Callable[[str], None]) -> str:
    """`mnist` if it is there or can be fetched, else `digits`, saying which and why."""
    if data_dir is not None or find("mnist") is not None:
        return "mnist"
    try:
        from mnist_fn.shared.download import fetch

        fetch("mnist")
    except InputError as error:
        say(f"NOT MNIST: {error}")
        say("Using scikit-learn's embedded digits instead: 1,797 real handwritten 8x8 digits.")
        return "digits"
    return "mnist"


def _files_in(folder: Path, name: str) -> list[Path] | None:
    places = [folder]
    if name in TORCHVISION:
        places += [folder / TORCHVISION[name] / "raw", folder / name]
    # Where only the .gz digest is known, the .gz is the file to read.
    endings = (".gz", "") if name in SHA256_GZ else ("", ".gz")
    for place in places:
        found = [
            next((path for end in endings if (path := place / (file + end)).is_file()), None)
            for file in FILES
        ]
        if all(found):
            return [path for path in found if path is not None]
    return None


def not_found(name: str, data_dir: Path | None) -> str:
    """What to say of files that are not there."""
    where = data_dir if data_dir is not None else " or ".join(map(str, search_path()))
    return (
        f"{name}: not found in {where}; put {', '.join(FILES)} there (.gz or not), "
        "or run with --dataset digits, which needs no files"
    )


def _check_gz(name: str, index: int, path: Path) -> None:
    if name not in SHA256_GZ:
        return
    if path.suffix != ".gz":
        raise InputError(
            f"{path}: {name} publishes checksums of its .gz files only; put {path.name}.gz there, "
            "or use --dataset idx to read it unchecked"
        )
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    _compare(name, path, SHA256_GZ[name][index], digest.hexdigest())


def _check_content(name: str, index: int, path: Path, digest: str) -> None:
    if name in SHA256:
        _compare(name, path, SHA256[name][index], digest)


def _compare(name: str, path: Path, expected: str, found: str) -> None:
    if expected != found:
        raise InputError(
            f"{path}: not {name}'s: SHA-256 should begin {expected[:16]}, begins {found[:16]}; "
            "fetch the file anew, or read other files with --dataset idx"
        )


def _check_sizes(paths: list[Path], train: Split, test: Split) -> None:
    for path, split in ((paths[1], train), (paths[3], test)):
        if len(split.images) != len(split.labels):
            raise InputError(f"{path}: {len(split.labels)} labels for {len(split.images)} images")
        if (largest := int(split.labels.max())) >= CLASSES:
            raise InputError(f"{path}: label {largest}, expected 0 to {CLASSES - 1}")
    if train.images.shape[1:] != test.images.shape[1:]:
        raise InputError(
            f"{paths[2]}: images of {'x'.join(map(str, test.images.shape[1:]))}, "
            f"those of train are {'x'.join(map(str, train.images.shape[1:]))}"
        )


def _digits() -> Dataset:
    """scikit-learn's 1,797 handwritten 8x8 digits; every fifth is a test example."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    # 17 grey levels, spread over a byte so that /255 gives [0, 1] as for the others
    images = np.rint(images.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    labels = labels.astype(np.uint8)
    test = np.arange(len(labels)) % 5 == 0
    digest = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    return Dataset(
        "digits", Split(images[~test], labels[~test]), Split(images[test], labels[test]), digest
    )


def check_name(name: str) -> str:
    """`name` if it is a dataset's.

    Raises:
        InputError: it is not.
    """
    if name not in DATASETS:
        raise InputError(f"--dataset {name[:40]!r}: must be one of {', '.join(DATASETS)}, auto")
    return name
