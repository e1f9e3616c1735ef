"""What a dataset's numbers mean: its classes, and how its pictures stand. A run keeps it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mnist_fn.shared.config import INKS
from mnist_fn.shared.errors import InputError, template

MAX_CLASSES = 256  # a label is a byte
MAX_NAME = 40  # characters of a class's name
TEN = tuple(range(10))
# As runs written before have them.
_OLD_KEYS = {"turned": "transposed_on_load", "ink": "polarity", "largest": "max_pixel"}


@dataclass(frozen=True)
class DataSpec:
    """The classes, in the order of the logits, and the pictures as the network sees them.

    The defaults are MNIST's, and those of every run written before this was recorded.

    Raises:
        InputError: nothing that a dataset could be.
    """

    labels: tuple[int, ...] = TEN  # of each class in the files, 0 to 255, ascending
    names: tuple[str, ...] = tuple(map(str, TEN))  # of each class
    transposed_on_load: bool = False  # the files have them transposed, and reading undid it
    transposed: bool = False  # the network sees them transposed
    polarity: str = "light"  # "light" on dark, "dark" on light, or "unknown"
    max_pixel: int = 255  # the largest in the files; 1 was scaled up to 255

    def __post_init__(self) -> None:
        _check_types(self)
        if not 1 <= len(self.labels) <= MAX_CLASSES or len(self.names) != len(self.labels):
            raise InputError(f"{len(self.names)} names for {len(self.labels)} classes")
        if list(self.labels) != sorted(set(self.labels) & set(range(MAX_CLASSES))):
            raise InputError("labels are not ascending from 0 to 255")
        for name in self.names:
            check_class_name(name)
        for name, count in Counter(self.names).items():
            if count > 1:
                raise InputError(f"two classes are named {name}")
        if self.polarity not in (*INKS[1:], "unknown") or self.max_pixel not in (1, 255):
            raise InputError("its pictures are of no kind that is known")

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.labels)

    @property
    def thing(self) -> str:
        """What a picture shows, in a word: digit, letter, character or picture."""
        if self.names == tuple(map(str, TEN)):
            return "digit"
        if any(len(name) > 1 for name in self.names) or all(map(str.isdecimal, self.names)):
            return "picture"
        return "letter" if all(map(str.isalpha, self.names)) else "character"

    @property
    def kind(self) -> str:
        """What a class is called: the thing itself, or a class of pictures."""
        return "class" if self.thing == "picture" else self.thing

    def pose(self, pictures: np.ndarray) -> np.ndarray:
        """Make prepared pictures stand as those that the network was trained on.

        Args:
            pictures: uint8 [..., rows, columns], upright, light on black, 0 to 255.

        Raises:
            InputError: it isn't known whether the network's own are light on dark.
        """
        if self.polarity == "unknown":
            raise InputError(
                "whether this run's pictures are light on dark is not clear from its data",
                hint=template("train it with {ink=light} or {ink=dark}"),
            )
        if self.max_pixel == 1:
            pictures = np.where(pictures > 127, 255, 0).astype(np.uint8)
        if self.polarity == "dark":
            pictures = 255 - pictures
        return pictures.swapaxes(-1, -2) if self.transposed else pictures

    def as_mnist(self, pictures: np.ndarray) -> np.ndarray:
        """Return the network's pictures, uint8 [..., rows, columns], upright and light on dark."""
        pictures = 255 - pictures if self.polarity == "dark" else pictures
        return pictures.swapaxes(-1, -2) if self.transposed else pictures

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; `from_dict` reads them back to an equal DataSpec."""
        return {**asdict(self), "labels": list(self.labels), "names": list(self.names)}

    @classmethod
    def from_dict(cls, values: object) -> "DataSpec":
        """Read what `to_dict` wrote, from a file that may hold anything.

        Raises:
            InputError: it is not what `to_dict` writes.
        """
        if not isinstance(values, Mapping):
            raise InputError("data_spec: expected an object")
        values = {_OLD_KEYS.get(name, name): value for name, value in values.items()}
        if set(values) != set(cls.__dataclass_fields__):
            raise InputError("data_spec: a field is missing or unknown")
        if type(values["labels"]) is not list or type(values["names"]) is not list:
            raise InputError("data_spec: labels and names must be lists")
        return cls(**{**values, "labels": tuple(values["labels"]), "names": tuple(values["names"])})


def check_class_name(name: str) -> str:
    """Return `name` if it can be the name of a class.

    Raises:
        InputError: it is empty, too long, or would not print on a line.
    """
    if not 0 < len(name) <= MAX_NAME or not name.isprintable() or name != name.strip():
        raise InputError(
            f"a class named {name[:MAX_NAME]!r}: 1 to {MAX_NAME} printable characters are read"
        )
    return name


def _check_types(spec: DataSpec) -> None:
    types = list(map(type, vars(spec).values()))
    good = types == [tuple, tuple, bool, bool, str, int]
    if not good or {*map(type, spec.labels)} - {int} or {*map(type, spec.names)} - {str}:
        raise InputError("data_spec: a field is of another kind than it should be")


MNIST = DataSpec()
