"""Tensors out of a safetensors file, which holds nothing else."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, deserialize

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.exchange.layers import Source
from mnist_fn.shared.storage import read_bounded

MAX_BYTES = 2**30
READ = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}  # NumPy's types of the bytes
NARROW = {"F16": "float16", "BF16": "bfloat16"}


def read_tensors(path: Path) -> Source:
    """Read the arrays in a file, float16 and bfloat16 as float32.

    Raises:
        InputError: missing, longer than MAX_BYTES, not safetensors, or of a type that is not in
            READ.
    """
    data = read_bounded(path, MAX_BYTES)
    try:
        named_tensors = deserialize(data)
    except (SafetensorError, ValueError, TypeError) as error:
        raise InputError(f"{path}: not readable as safetensors ({str(error)[:80]})") from error
    tensors, widened = {}, set()
    for name, tensor in named_tensors:
        kind = tensor["dtype"]
        if kind not in READ:
            raise InputError(
                f"{path}: {name[:60]} holds no floating-point numbers that are read "
                f"({str(kind)[:20]}); give an MLP's state dict"
            )
        if kind in NARROW:
            widened.add(NARROW[kind])
        tensors[name] = _array(tensor)
    digest = hashlib.sha256(data).hexdigest()
    return Source(path, digest, tensors, widened=frozenset(widened))


def _array(tensor: Mapping[str, Any]) -> np.ndarray:
    """Return a tensor's numbers; a bfloat16 is the upper half of a float32."""
    kind = tensor["dtype"]
    values = np.frombuffer(tensor["data"], READ[kind]).reshape(tensor["shape"])
    if kind == "BF16":
        return (values.astype("<u4") << 16).view("<f4")
    return values.astype(np.float32) if kind in NARROW else values
