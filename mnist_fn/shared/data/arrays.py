"""A set's file as an array, whichever format it is in, told by its content."""

from pathlib import Path

import numpy as np

from mnist_fn.shared.data.idx import read_idx
from mnist_fn.shared.data.npz import read_npz
from mnist_fn.shared.storage import open_plain

_ZIP = b"PK\x03\x04"


def read_array(path: Path, dimensions: int) -> tuple[np.ndarray, str]:
    """Images or labels as uint8, and a SHA-256 of their content, from IDX or .npz.

    Arguments and errors as for `idx.read_idx` and `npz.read_npz`.
    """
    with open_plain(path) as file:
        zipped = file.read(4) == _ZIP
    return (read_npz if zipped else read_idx)(path, dimensions)
