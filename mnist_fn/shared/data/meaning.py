"""What a set's arrays mean: class names, orientation, polarity, and what a person has to know."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mnist_fn.shared.data.files import TORCHVISION, FileSet
from mnist_fn.shared.data.formats import Names
from mnist_fn.shared.data.spec import MAX_CLASSES, MNIST, DataSpec, check_class_name
from mnist_fn.shared.errors import InputError, Message, Text, template
from mnist_fn.shared.storage import read_bounded

TRANSPOSED = "emnist"  # sets by this name ship their pictures transposed
LABELS = {  # of sets that are known by name, used in these files or not
    "qmnist": range(10),
    "emnist-mnist": range(10),
    "emnist-digits": range(10),
    "emnist-letters": range(1, 27),
    "emnist-balanced": range(47),
    "emnist-bymerge": range(47),
    "emnist-byclass": range(62),
    "k49": range(49),
}
UNCLEAR = (1 / 3, 2 / 3)  # share of light border pixels that tells nothing of the ink
_LOOKED_AT = 5000  # pictures, for their borders
_MAX_NAMES_BYTES = 2**16  # of a file of names
_WORDS = {"light": "light on dark", "dark": "dark on light"}

# The classes' names as github.com/zalandoresearch/fashion-mnist and github.com/rois-codh/kmnist
# give them, the latter in Latin letters.
PUBLISHED = {
    "fashion-mnist": "T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, "
    "Ankle boot",
    "kmnist": "o, ki, su, tsu, na, ha, ma, ya, re, wo",
}


def spec_of(
    files: FileSet,
    name: str,
    train: np.ndarray,
    labels: Sequence[np.ndarray],
    *,
    orientation: str = "auto",
    ink: str = "auto",
    names: Names | None = None,
) -> DataSpec:
    """Return the classes of a set, and how its pictures stand.

    Args:
        files: where it was found; the names of its classes may lie in a file in its folder.
        name: of the dataset. Torchvision's three have ten classes and stand as MNIST does.
        train: raw training pictures, uint8 [n, rows, columns].
        labels: raw labels of each split, uint8 [n].
        orientation: see `Config`.
        ink: see `Config`.
        names: of the classes; None looks for them in the folder.

    Raises:
        InputError: names that don't fit the labels; a single class.
    """
    as_mnist = name in TORCHVISION
    stored = ships_transposed(files.name) or ships_transposed(name)
    turned = orientation == "upright" or (stored and orientation == "auto")
    used = set(np.unique(np.concatenate(labels)).tolist())
    known = MNIST.labels if as_mnist else LABELS.get(files.name, ())
    if known and (strange := sorted(used - set(known))):
        raise InputError(f"{files.paths[1]}: label {strange[0]}, expected {_ranges(known)}")
    ordered = sorted(used | set(known))
    names = names or _find_names(files.folder, (files.name, name), ordered)
    if not names:
        published = PUBLISHED[name].split(", ") if name in PUBLISHED else map(str, ordered)
        names = dict(zip(ordered, published, strict=True))
    if len(names) < 2:
        raise InputError(f"{files.paths[1]}: all labels are {ordered[0]}; there is nothing to tell")
    if as_mnist:
        ink = "light"
    return DataSpec(
        labels=tuple(sorted(names)),
        names=tuple(names[label] for label in sorted(names)),
        transposed_on_load=turned,
        transposed=stored and not turned,
        polarity=polarity_of(train) if ink == "auto" else ink,
        max_pixel=255 if as_mnist else _largest(train),
    )


def ships_transposed(name: str) -> bool:
    """Return whether the pictures of sets by this name are transposed in their files."""
    return name.startswith(TRANSPOSED)


def _largest(images: np.ndarray) -> int:
    """Return 1 where uint8 images hold only 0 and 1, else 255."""
    first_images = images[:100]
    return 1 if first_images.max() <= 1 and images.max() == 1 else 255


def _light_border(images: np.ndarray) -> float:
    """Return the share of light pixels on the borders of uint8 images [n, rows, columns]."""
    sample = images[:_LOOKED_AT]
    is_light = sample > sample.max() / 2
    sides = (is_light[:, 0], is_light[:, -1], is_light[:, 1:-1, 0], is_light[:, 1:-1, -1])
    return float(np.concatenate(sides, axis=None).mean())


def polarity_of(images: np.ndarray) -> str:
    """Return `light` on dark, `dark` on light, or `unknown` where the borders don't tell."""
    share = _light_border(images)
    if share < UNCLEAR[0]:
        return "light"
    return "dark" if share > UNCLEAR[1] else "unknown"


def check_polarity(
    source: object, polarity: str, expected: str, owner: object, remedy: str
) -> None:
    """Raise InputError if pictures clearly have another polarity than those of `owner`."""
    if {polarity, expected} == {"light", "dark"}:
        raise InputError(
            f"{source}: its pictures are {_WORDS[polarity]}, those of {owner} "
            f"{_WORDS[expected]}; {remedy}"
        )


def as_pictures(images: np.ndarray, turned: bool) -> np.ndarray:
    """Return raw pictures as the network sees them: 0 to 255, transposed if `turned`."""
    if _largest(images) == 1:
        images = np.minimum(images, 1) * np.uint8(255)
    return np.ascontiguousarray(images.swapaxes(1, 2)) if turned else images


def as_classes(labels: np.ndarray, spec: DataSpec, source: object) -> np.ndarray:
    """Convert raw labels to indices of the set's classes, uint8 [n].

    Raises:
        InputError: a label is none of them; `source` is named.
    """
    known = np.array(spec.labels)
    indices = np.searchsorted(known, labels).clip(max=len(known) - 1)
    strange = labels[known[indices] != labels]
    if len(strange):
        raise InputError(
            f"{source}: label {strange[0]} is none of the {spec.classes} "
            f"classes, {_ranges(spec.labels)}"
        )
    return indices.astype(np.uint8)


def notes(
    spec: DataSpec, name: str, train: np.ndarray, splits: dict[str, np.ndarray]
) -> list[Message | str]:
    """Return what a user has to know of a set, a message each.

    Args:
        spec: of the set.
        name: of the set.
        train: training pictures as the network sees them.
        splits: class indices by the name of their split.
    """
    messages: list[Text] = []
    if spec.labels != tuple(range(spec.classes)):
        unused = sorted(set(range(spec.labels[-1])) - set(spec.labels))
        messages.append(
            f"{spec.classes} classes, labels {_ranges(spec.labels)}; not used: {_ranges(unused)}"
        )
    for split, labels in splits.items():
        counts = np.bincount(labels, minlength=spec.classes)
        if without := [spec.names[i] for i in np.flatnonzero(counts == 0)]:
            messages.append(f"no {split} examples of {', '.join(without)}")
    if spec.transposed_on_load:
        messages.append(
            template(
                "the files have the pictures transposed; they are turned upright "
                "({orientation=as-stored} leaves them)"
            )
        )
    if spec.transposed:
        messages.append("the pictures are left transposed, as the files have them")
    if spec.max_pixel == 1:
        messages.append("the pixels are only 0 and 1; they are scaled up to 0 and 255")
    if (train[0] == train[0, 0, 0]).all() and (train == train[0, 0, 0]).all():
        messages.append(f"all pixels of the training pictures are {train[0, 0, 0]}")
    elif spec.polarity == "dark":
        messages.append("the pictures are dark on light")
    elif spec.polarity == "unknown":
        share = f"{_light_border(train):.0%} of the pictures' borders are light"
        advice = template("add {ink=light} or {ink=dark}, or other pictures can't be predicted")
        messages.append((f"light on dark or dark on light? {share}, which doesn't tell: ", *advice))
    return [
        f"{name}: {message}" if isinstance(message, str) else Message(f"{name}: ", message)
        for message in messages
    ]


def _ranges(labels: Sequence[int]) -> str:
    """Return numbers as text: `1 to 26`, or `0, 3, 5 to 9`."""
    runs: list[list[int]] = []
    for label in labels:
        if runs and label == runs[-1][1] + 1:
            runs[-1][1] = label
        else:
            runs.append([label, label])
    return ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in runs)


def _find_names(folder: Path, prefixes: Sequence[str], used: Sequence[int]) -> Names | None:
    """Read names from EMNIST's `<set>-mapping.txt`, `<set>-classes.txt` or `classes.txt`.

    The file has to name each label that is used; `used` is ascending.
    """
    starts = [f"{prefix}-" for prefix in prefixes if prefix]
    for ending, beginnings in (("mapping.txt", starts), ("classes.txt", [*starts, ""])):
        for beginning in beginnings:
            path = folder / (beginning + ending)
            if not path.exists():
                continue
            names = read_mapping(path) if ending == "mapping.txt" else read_classes(path, used)
            if without := sorted(set(used) - set(names)):
                raise InputError(f"{path}: has no name for label {without[0]}, which the data use")
            return names
    return None


def read_mapping(path: Path) -> Names:
    """Read EMNIST's mapping file: a line for each label, with the codes of its characters.

    The first character is the name: in EMNIST letters `1 65 97` is A, in both cases.

    Raises:
        InputError: a line is something else.
    """
    names: Names = {}
    for number, line in enumerate(_lines(path), start=1):
        words = line.split()
        if not words:
            continue
        try:
            label, code, *_ = map(int, words)
            name = check_class_name(chr(code))
        except (ValueError, OverflowError, InputError) as error:
            raise InputError(
                f"{path}: line {number}: expected a label and a character's code, such as 1 65"
            ) from error
        if not 0 <= label < MAX_CLASSES or label in names:
            raise InputError(f"{path}: line {number}: label {str(label)[:20]} twice or above 255")
        names[label] = name
    _check_different(path, names)
    return names


def read_classes(path: Path, used: Sequence[int]) -> Names:
    """Read a name in each line: for labels 0, 1, 2 and so on, or for the labels in use, in order.

    Raises:
        InputError: it fits neither, or a line is no name.
    """
    lines = list(map(str.strip, _lines(path)))
    while lines and not lines[-1]:
        lines.pop()
    try:
        listed = list(map(check_class_name, lines))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if len(listed) > MAX_CLASSES:
        raise InputError(f"{path}: {len(listed)} names; at most {MAX_CLASSES} are read")
    if len(listed) == len(used):
        names = dict(zip(used, listed, strict=True))
    elif used[-1] < len(listed):
        names = dict(enumerate(listed))
    else:
        raise InputError(
            f"{path}: {len(listed)} names for {len(used)} labels, {used[0]} to {used[-1]}; give a "
            f"name a line for each of these, or for all of 0 to {used[-1]}"
        )
    _check_different(path, names)
    return names


def _lines(path: Path) -> list[str]:
    try:
        return read_bounded(path, _MAX_NAMES_BYTES).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not text in UTF-8; save it so") from error


def _check_different(path: Path, names: Names) -> None:
    for name, count in Counter(names.values()).items():
        if count > 1:
            raise InputError(f"{path}: two labels are named {name}; give each its own name")
