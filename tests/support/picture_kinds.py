"""All kinds of made pictures, and what a run reads in them, as `mnist-fn predict` does."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.evaluation import log_probabilities
from mnist_fn.shared.pictures.preparation import SIDE
from mnist_fn.shared.pictures.reading import read_picture
from mnist_fn.shared.runs.trainer import predict
from tests.support.crops import CROPS
from tests.support.photos import PHOTOS, Digits

KINDS = PHOTOS | CROPS  # the order is part of each picture's seed
EMPTY = ("blank", "blank, shadow", "blank, ruled", "noise alone")


@dataclass(frozen=True)
class Reading:
    """What became of one photo."""

    kind: str
    labels: list[int]
    read: list[int]
    sureness: list[float]  # of each digit read
    said: str  # why nothing was read

    @property
    def right(self) -> bool:
        """All of its digits, in order, and no other."""
        return self.read == self.labels

    @property
    def share_right(self) -> float:
        """The share of its digits that are; 0 where they are counted wrongly."""
        if len(self.read) != len(self.labels) or not self.labels:
            return float(self.right)
        return float(np.mean(np.equal(self.read, self.labels)))


def read_photos(
    run: Path, digits: Digits, folder: Path, n: int, seed: int = 0, kinds: Sequence[str] = ()
) -> list[Reading]:
    """`n` photos of each kind, made, saved, and read by a run as `mnist-fn predict` does."""
    made: list[tuple[str, list[int], np.ndarray, str]] = []
    none = np.zeros((0, SIDE, SIDE), np.uint8)
    for number, (kind, make) in enumerate(KINDS.items()):
        for index in range(n if not kinds or kind in kinds else 0):
            photo = make(np.random.default_rng((seed, number, index)), digits)
            file = folder / f"photo{photo.suffix}"
            file.write_bytes(photo.content)
            try:
                made.append((kind, photo.labels, read_picture(file).pictures, ""))
            except InputError as error:
                made.append((kind, photo.labels, none, str(error)))
    pictures = np.concatenate([seen for _, _, seen, _ in made])
    shares = np.exp(log_probabilities(predict(run, pictures)[1])) if len(pictures) else none
    ends = np.cumsum([len(seen) for _, _, seen, _ in made])
    readings = []
    for (kind, labels, seen, said), end in zip(made, ends, strict=True):
        mine = shares[end - len(seen) : end]
        read = [int(one.argmax()) for one in mine]
        readings.append(Reading(kind, labels, read, [float(one.max()) for one in mine], said))
    return readings
