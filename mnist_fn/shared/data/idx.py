"""The IDX file format, read as hostile input: header first, memory bounded by the file.

Format: two zero bytes, a type byte (0x08 is uint8), a byte with the number of dimensions,
each dimension as a big-endian uint32, then the values.
"""

import gzip
import hashlib
import math
import zlib
from pathlib import Path

import numpy as np

from mnist_fn.shared.errors import InputError

MAX_BYTES = 2**29  # more than ten times MNIST's train images; no header makes us take more
_CHUNK = 2**20


def read_idx(path: Path, dimensions: int) -> tuple[np.ndarray, str]:
    """Read a uint8 IDX file, gzipped or not (told by its content, not its name).

    Args:
        path: the file.
        dimensions: 3 for images [n, rows, columns], 1 for labels [n].

    Returns:
        The array and the SHA-256 of the decompressed file, hexadecimal.

    Raises:
        InputError: missing, unreadable, truncated, too long, another magic, too large, or a
            broken gzip stream.
    """
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if zipped else path.open("rb") as stream:
            return _read(stream, path, dimensions)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise InputError(f"{path}: broken gzip data ({error}); fetch the file anew") from error
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror or error})") from error


def _read(stream, path: Path, dimensions: int) -> tuple[np.ndarray, str]:
    header = stream.read(4 + 4 * dimensions)
    magic = bytes([0, 0, 8, dimensions])
    if header[:4] != magic:
        raise InputError(
            f"{path}: expected IDX magic {magic.hex()} (uint8, {dimensions} dimensions), "
            f"found {header[:4].hex() or 'an empty file'}"
        )
    if len(header) < 4 + 4 * dimensions:
        raise InputError(f"{path}: truncated in its header, after {len(header)} bytes")
    shape = tuple(int(n) for n in np.frombuffer(header, ">u4", offset=4))
    size = math.prod(shape)
    if size == 0 or size > MAX_BYTES:
        raise InputError(
            f"{path}: its header claims {' x '.join(map(str, shape))} bytes; "
            f"between 1 and {MAX_BYTES} are read"
        )
    values = bytearray()
    while len(values) <= size and (chunk := stream.read(min(_CHUNK, size + 1 - len(values)))):
        values += chunk
    if len(values) != size:
        found = f"only {len(values)}" if len(values) < size else "more"
        raise InputError(f"{path}: its header claims {size} values, the file holds {found}")
    digest = hashlib.sha256(header)
    digest.update(values)
    return np.frombuffer(values, np.uint8).reshape(shape), digest.hexdigest()
