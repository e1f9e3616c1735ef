"""Weights as a file has them, whatever kind of file it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Source:
    """What a reader found."""

    path: Path
    sha256: str  # of the file, hexadecimal
    tensors: Mapping[str, np.ndarray] = field(repr=False)  # by name
    ordered: bool = False  # whether the tensors come as the model defines them
    widened: frozenset[str] = frozenset()  # narrower types made float32, which holds them exactly
