"""Where a dataset's files may lie, what they are called, and what is known of their content."""

import os
from pathlib import Path

from mnist_fn.shared.config import DATASETS, Config
from mnist_fn.shared.data.sets import FileSet, listed, sets_in
from mnist_fn.shared.errors import Argument, InputError, NotFoundError

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_ARCHIVES = {"emnist": "EMNIST", "qmnist": "QMNIST"}  # torchvision's folders of others
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


def find(name: str, data_dir: Path | None = None) -> list[Path] | None:
    """The paths of `find_set`, images and labels of train, then of test."""
    file_set = find_set(name, data_dir)
    return None if file_set is None else file_set.paths


def find_set(name: str, data_dir: Path | None = None) -> FileSet | None:
    """The four files of a dataset, or None: in `data_dir` alone if given, else in the folder
    that MNIST_FN_DATA names, then in the user's cache.

    Each may lie flat, in torchvision's layout (`MNIST/raw/`) or in a folder of its own name, under
    any of the names that people have (see `sets`), gzipped or not.

    Raises:
        InputError: `data_dir` is given and the files are not there, or hold several sets of which
            `idx` is none.
    """
    if data_dir is not None:
        file_set = files_in(data_dir, name)
        if file_set is None:
            raise not_found(name, data_dir)
        return file_set
    if name == "idx":
        raise InputError(
            (
                Argument("dataset", "idx"),
                " needs ",
                Argument("data_dir"),
                " with the four IDX files",
            )
        )
    for folder in search_path():
        if file_set := files_in(folder, name):
            return file_set
    return None


def search_path() -> list[Path]:
    """Folders that are searched when no `data_dir` is given.

    Raises:
        InputError: MNIST_FN_DATA names no folder.
    """
    from_environment = os.environ.get("MNIST_FN_DATA")
    if from_environment and not Path(from_environment).is_dir():
        raise InputError(f"MNIST_FN_DATA={from_environment}: no such folder; correct or unset it")
    return [*([Path(from_environment)] if from_environment else []), cache_dir() / "data"]


def cache_dir() -> Path:
    """The user's cache folder for this project; it need not exist."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("mnist-fn", appauthor=False))


def cache_folder(name: str) -> Path | None:
    """A folder in the user's cache, made if need be; None if switched off or not writable.

    MNIST_FN_CACHE=off switches it off.
    """
    if os.environ.get("MNIST_FN_CACHE", "").lower() in ("off", "0", "no", "false"):
        return None
    folder = cache_dir() / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def files_in(folder: Path, name: str) -> FileSet | None:
    """The four files of a dataset in a folder, None if one is missing.

    `idx` is the set whose files' names begin with nothing, else the only one that there is.

    Raises:
        InputError: `idx`, and the folder holds several others.
    """
    return next((file_set for file_set in candidates(folder, name) if not file_set.missing), None)


def candidates(folder: Path, name: str) -> list[FileSet]:
    """The sets of a folder that a dataset's name may mean, the likeliest first."""
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
        matching += [inside[set_name] for set_name in (name, "") if set_name in inside]
    return matching


def not_found(name: str, data_dir: Path | None) -> InputError:
    """The error for files that are not in their place; raise it."""
    kind = NotFoundError if data_dir is None else InputError
    folders = [data_dir] if data_dir is not None else search_path()
    places = " or ".join(map(str, folders))
    prefix = "" if name in DATASETS else name + "-"
    files = ", ".join(prefix + file for file in FILES)
    other_sets = [
        file_set
        for folder in folders
        for file_set in sets_in(folder).values()
        if file_set.name != name
    ]
    for broken in (broken for folder in folders for broken in candidates(folder, name)):
        return kind(
            f"{name}: not found whole in {broken.folder}: "
            f"its {', '.join(broken.missing)} are missing",
            hint="put them there",
        )
    if other_sets and data_dir is not None and name != "idx":
        chosen = other_sets[0].name or "idx"
        return kind(
            f"{name}: not found in {places}, which holds {listed(other_sets)}",
            hint=("choose one with ", Argument("dataset", chosen)),
        )
    if name not in DATASETS and data_dir is None:
        hint = (
            "or what the names of the files in ",
            Argument("data_dir"),
            f" begin with; {files} are not in {places}",
        )
        return kind("dataset", name, DATASETS, hint)
    return kind(
        f"{name}: not found in {places}",
        hint=(
            f"put {files} there (.gz or not), or run with ",
            Argument("dataset", "digits"),
            ", which needs no files",
        ),
    )


def check_name(name: str) -> str:
    """`name` if a dataset may be called so; InputError if not."""
    return Config(dataset=name).dataset
