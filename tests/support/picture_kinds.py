"""All kinds of made pictures, and what a run reads in them, as `mnist-fn predict` does."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnist_fn.shared.data.spec import MNIST
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.pictures.reading import DigitReading, read_picture, to_readings
from mnist_fn.shared.runs.trainer import load_run
from tests.support.crops import CROPS
from tests.support.photos import PHOTOS, Digits

KINDS = PHOTOS | CROPS  # the order is part of each picture's seed
EMPTY = ("blank", "blank, shadow", "blank, ruled", "noise alone")


@dataclass(frozen=True)
class Reading:
    """What became of one picture."""

    kind: str
    labels: list[int]
    digits: list[DigitReading]
    error: str  # why nothing was read

    @property
    def read(self) -> list[int]:
        """The labels read."""
        return [digit.class_index for digit in self.digits]

    @property
    def is_right(self) -> bool:
        """All of its digits, in order, and no other."""
        return self.read == self.labels

    @property
    def is_counted(self) -> bool:
        """As many digits as there are."""
        return len(self.read) == len(self.labels)

    @property
    def digits_right(self) -> int:
        """How many of its digits are read rightly; none where they are counted wrongly."""
        if not self.is_counted:
            return 0
        return sum(read == label for read, label in zip(self.read, self.labels, strict=True))

    @property
    def share_right(self) -> float:
        """The share of its digits that are read rightly."""
        return self.digits_right / len(self.labels) if self.labels else float(self.is_right)

    @property
    def is_unsure(self) -> bool:
        """Whether a wrong reading of it is marked: some digit of low confidence, or refused."""
        if not self.digits:
            return True
        if not self.is_counted:
            return any(digit.low_confidence for digit in self.digits)
        pairs = zip(self.digits, self.labels, strict=True)
        wrong = [digit for digit, label in pairs if digit.class_index != label]
        return all(digit.low_confidence for digit in wrong or self.digits)


def read_photos(
    run: Path, digits: Digits, folder: Path, n: int, seed: int = 0, kinds: Sequence[str] = ()
) -> list[Reading]:
    """`n` pictures of each kind, made, saved, and read by a run as `mnist-fn predict` does."""
    trained = load_run(run)
    readings: list[Reading] = []
    for number, (kind, make) in enumerate(KINDS.items()):
        for index in range(n if not kinds or kind in kinds else 0):
            photo = make(np.random.default_rng((seed, number, index)), digits)
            file = folder / f"photo{photo.suffix}"
            file.write_bytes(photo.content)
            found, error = [], ""
            try:
                prepared = read_picture(file)
                shares = trained.predict_proba(prepared.pictures)
                found = to_readings("", prepared, shares, MNIST.names)
            except InputError as refusal:
                error = str(refusal)
            readings.append(Reading(kind, photo.labels, found, error))
    return readings
