"""What a file's arrays mean: orientation, polarity, class names, and what a person has to know."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mnist_fn.shared.data.names import Names, find_names
from mnist_fn.shared.data.sets import FileSet
from mnist_fn.shared.data.spec import MNIST, DataSpec
from mnist_fn.shared.errors import Argument, InputError, Message, Text

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

# The classes' names as github.com/zalandoresearch/fashion-mnist and github.com/rois-codh/kmnist
# give them, the latter in Latin letters.
PUBLISHED = {
    "fashion-mnist": "T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, "
    "Ankle boot",
    "kmnist": "o, ki, su, tsu, na, ha, ma, ya, re, wo",
}


@dataclass(frozen=True)
class Hints:
    """What is known of a set beforehand."""

    orientation: str = "auto"  # as in Config
    ink: str = "auto"  # as in Config
    data_spec: DataSpec | None = None  # of the run that goes on with it, whose classes hold
    ten: bool = False  # its classes are the labels 0 to 9, its pictures stand as MNIST's


def form_of(
    files: FileSet,
    name: str,
    train: np.ndarray,
    labels: Sequence[np.ndarray],
    hints: Hints,
    names: Names | None = None,
) -> DataSpec:
    """The form of a set.

    Args:
        files: where it was found, names beside it.
        name: of the dataset.
        train: raw training pictures, uint8 [n, rows, columns].
        labels: raw labels of each split, uint8 [n].
        hints: what is known beforehand.
        names: of the classes; None: they are looked for beside the files.

    Raises:
        InputError: names that don't fit the labels; a single class.
    """
    if hints.data_spec is not None:
        return hints.data_spec
    stored = ships_transposed(files.name) or ships_transposed(name)
    turned = hints.orientation == "upright" or (stored and hints.orientation == "auto")
    used = np.flatnonzero(
        sum(np.bincount(split_labels, minlength=256) for split_labels in labels)
    ).tolist()
    known = MNIST.labels if hints.ten else LABELS.get(files.name, ())
    if known and (strange := sorted(set(used) - set(known))):
        raise InputError(f"{files.paths[1]}: label {strange[0]}, expected {_numbers(known)}")
    used = sorted({*used, *known})
    named = names or find_names(files.folder, (files.name, name), used)
    published = PUBLISHED[name].split(", ") if name in PUBLISHED else map(str, used)
    names = named or dict(zip(used, published, strict=True))
    if len(names) < 2:
        raise InputError(f"{files.paths[1]}: all labels are {used[0]}; there is nothing to tell")
    ordered = tuple(sorted(names))
    return DataSpec(
        ordered,
        tuple(names[label] for label in ordered),
        transposed_on_load=turned,
        transposed=stored and not turned,
        polarity="light" if hints.ten else hints.ink if hints.ink != "auto" else ink_of(train),
        max_pixel=255 if hints.ten else largest(train),
    )


def ships_transposed(name: str) -> bool:
    """Whether sets whose files' names begin so have their pictures transposed."""
    return name.startswith(TRANSPOSED)


def largest(images: np.ndarray) -> int:
    """1 where uint8 images hold 0 and 1 alone, else 255."""
    first_images = images[:100]
    return 1 if first_images.max() <= 1 and images.max() == 1 else 255


def light_border(images: np.ndarray) -> float:
    """The share of pixels on the borders of uint8 images [n, rows, columns] that are light."""
    sample = images[:_LOOKED_AT]
    middle = sample.max() / 2
    sides = (sample[:, 0], sample[:, -1], sample[:, 1:-1, 0], sample[:, 1:-1, -1])
    return float(np.concatenate([(side > middle).ravel() for side in sides]).mean())


def check_polarity(
    train_path: object, test_path: object, train: np.ndarray, test: np.ndarray
) -> None:
    """InputError where training and test pictures are clearly of another polarity."""
    inks = ink_of(train), ink_of(test)
    if set(inks) == {"light", "dark"}:
        raise InputError(
            f"{test_path}: its pictures are {words_of(inks[1])}, those of {train_path} "
            f"{words_of(inks[0])}; invert one of them (255 - pixels)"
        )


def words_of(ink: str) -> str:
    """`light on dark` or `dark on light`."""
    return "light on dark" if ink == "light" else "dark on light"


def ink_of(images: np.ndarray) -> str:
    """`light` on dark, `dark` on light, or `unknown` where the borders don't tell."""
    share = light_border(images)
    if share < UNCLEAR[0]:
        return "light"
    return "dark" if share > UNCLEAR[1] else "unknown"


def as_pictures(images: np.ndarray, turned: bool) -> np.ndarray:
    """Raw pictures as the network sees them: from 0 to 255, `turned` or not."""
    if largest(images) == 1:
        images = np.minimum(images, 1) * np.uint8(255)
    return np.ascontiguousarray(images.swapaxes(1, 2)) if turned else images


def as_classes(labels: np.ndarray, data_spec: DataSpec, source: object) -> np.ndarray:
    """Raw labels as indices of the form's classes, uint8 [n].

    Raises:
        InputError: a label is none of them; `source` is named.
    """
    if data_spec.labels == tuple(range(data_spec.classes)) and labels.max() < data_spec.classes:
        return labels
    table = np.full(256, 255, np.uint8)
    known = np.zeros(256, dtype=bool)
    table[list(data_spec.labels)], known[list(data_spec.labels)] = range(data_spec.classes), True
    if not known[labels].all():
        raise InputError(
            f"{source}: label {int(labels[~known[labels]][0])} is none of the {data_spec.classes} "
            f"classes, {_numbers(data_spec.labels)}"
        )
    return table[labels]


def notes(
    spec: DataSpec, name: str, train: np.ndarray, splits: dict[str, np.ndarray]
) -> list[Message | str]:
    """What a person has to know of a set, a line each.

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
            f"{spec.classes} classes, labels {_numbers(spec.labels)}; not used: {_numbers(unused)}"
        )
    for split, labels in splits.items():
        counts = np.bincount(labels, minlength=spec.classes)
        if without := [spec.names[i] for i in np.flatnonzero(counts == 0)]:
            messages.append(f"no {split} examples of {', '.join(without)}")
    if spec.transposed_on_load:
        messages.append(
            (
                "the files have the pictures transposed; they are turned upright (",
                Argument("orientation", "as-stored"),
                " leaves them)",
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
        messages.append(
            (
                f"light on dark or dark on light? {light_border(train):.0%} of the pictures' "
                "borders are light, which doesn't tell: add ",
                Argument("ink", "light"),
                " or ",
                Argument("ink", "dark"),
                ", or other pictures can't be predicted",
            )
        )
    return [
        f"{name}: {line}" if isinstance(line, str) else Message(f"{name}: ", line)
        for line in messages
    ]


def _numbers(labels: Sequence[int]) -> str:
    """`1 to 26`, or `0, 3, 5 to 9`."""
    runs: list[list[int]] = []
    for label in labels:
        if runs and label == runs[-1][1] + 1:
            runs[-1][1] = label
        else:
            runs.append([label, label])
    return ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in runs)
