"""Tensors out of a safetensors file, which holds nothing else."""

import hashlib
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.storage import read_bounded

MAX_BYTES = 2**30


def read_tensors(path: Path) -> tuple[dict[str, np.ndarray], str]:
    """Arrays by name, and the file's SHA-256.

    Raises:
        InputError: missing, longer than MAX_BYTES, not safetensors, or of a type that NumPy lacks.
    """
    data = read_bounded(path, MAX_BYTES)
    try:
        return load(data), hashlib.sha256(data).hexdigest()
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: not readable as safetensors of float16, float32 or float64 "
            f"({str(error)[:80]})"
        ) from error
