"""A set in the form of EMNIST's letters, its content real: MNIST's digits, turned by quarters where
that makes another sign. A to J are the digits 0 to 9 upright.
"""

import gzip
from pathlib import Path

import numpy as np

from mnist_fn.shared.data.datasets import Dataset, Split
from tests.support.idx_files import idx_bytes

SIGNS = [  # (digit, quarter turns) of each letter from A to Z
    *((digit, 0) for digit in range(10)),
    *((digit, 1) for digit in (2, 3, 4, 5, 6, 7, 9)),
    *((digit, 2) for digit in (3, 4, 7)),
    *((digit, 3) for digit in (2, 3, 4, 5, 6, 7)),
]
REVERSED = ((0, 0), (1, 0), (1, 1), (0, 1))  # rows and columns, by quarter turns


def letters(split: Split, each: int) -> tuple[np.ndarray, np.ndarray]:
    """`each` upright pictures of each letter, uint8 [n, rows, columns], and labels 1 to 26."""
    pictures, labels = [], []
    for letter, (digit, quarters) in enumerate(SIGNS, start=1):
        start = each * quarters  # no picture twice
        those = split.images[split.labels == digit][start : start + each]
        turned = np.rot90(those, quarters, axes=(1, 2))
        # the centre of mass lies in pixel 14 both ways, and in 13 of a side that was reversed
        pictures.append(np.roll(turned, REVERSED[quarters], axis=(1, 2)))
        labels.append(np.full(len(those), letter, np.uint8))
    return np.concatenate(pictures), np.concatenate(labels)


def write_letters(folder: Path, digits: Dataset, train: int, test: int) -> None:
    """EMNIST's five files: four of gzipped IDX, pictures transposed, and the mapping."""
    for name, split, each in (("train", digits.train, train), ("test", digits.test, test)):
        pictures, labels = letters(split, each)
        for kind, array in (
            ("images-idx3", pictures.swapaxes(1, 2)),
            ("labels-idx1", labels),
        ):
            file = folder / f"emnist-letters-{name}-{kind}-ubyte.gz"
            file.write_bytes(gzip.compress(idx_bytes(array), mtime=0))
    lines = [f"{label} {64 + label} {96 + label}\n" for label in range(1, 27)]
    (folder / "emnist-letters-mapping.txt").write_text("".join(lines))
