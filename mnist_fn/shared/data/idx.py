"""The IDX file format, read as hostile input: header first, memory bounded by the file.

Format: two zero bytes, a type byte (0x08 is uint8), a byte with the number of dimensions,
each dimension as a big-endian uint32, then the values, big-endian.
"""

import gzip
import hashlib
import math
import zlib
from pathlib import Path

import numpy as np

from mnist_fn.shared.errors import InputError

MAX_BYTES = 2**30  # EMNIST byclass has half of it; no header makes us take more
_LABELS = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4"}  # QMNIST's are int32 [n, 8]
_CHUNK = 2**20


def read_idx(path: Path, dimensions: int) -> tuple[np.ndarray, str]:
    """Read an IDX file, gzipped or not (told by its content, not its name).

    Images are uint8. Labels are whole numbers of any size, 0 to 255; of several columns the first
    is the class, as in QMNIST.

    Args:
        path: the file.
        dimensions: 3 for images [n, rows, columns], 1 for labels [n].

    Returns:
        The array, uint8, and the SHA-256 of the decompressed file, hexadecimal.

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
    header = stream.read(4)
    magic = bytes([0, 0, 8, dimensions])
    plain = header == magic
    if not (plain or (dimensions == 1 and _are_labels(header))):
        raise InputError(
            f"{path}: expected IDX magic {magic.hex()} (uint8, {dimensions} dimensions), "
            f"found {header.hex() or 'an empty file'}"
        )
    header += stream.read(4 * header[3])
    if len(header) < 4 + 4 * header[3]:
        raise InputError(f"{path}: truncated in its header, after {len(header)} bytes")
    shape = tuple(int(n) for n in np.frombuffer(header, ">u4", offset=4))
    dtype = np.dtype(_LABELS[header[2]])
    size = math.prod(shape) * dtype.itemsize
    if size == 0 or size > MAX_BYTES:
        raise InputError(
            f"{path}: its header claims {' x '.join(map(str, shape))} values; "
            f"between 1 and {MAX_BYTES} bytes are read"
        )
    values = bytearray()
    while len(values) <= size and (chunk := stream.read(min(_CHUNK, size + 1 - len(values)))):
        values += chunk
    if len(values) != size:
        found = f"only {len(values) // dtype.itemsize}" if len(values) < size else "more"
        claimed = size // dtype.itemsize
        raise InputError(f"{path}: its header claims {claimed} values, the file holds {found}")
    digest = hashlib.sha256(header)
    digest.update(values)
    array = np.frombuffer(values, dtype).reshape(shape)
    return (array if plain else as_labels(path, array)), digest.hexdigest()


def _are_labels(magic: bytes) -> bool:
    return len(magic) == 4 and magic[:2] == b"\0\0" and magic[2] in _LABELS and magic[3] in (1, 2)


def as_labels(path: Path, array: np.ndarray) -> np.ndarray:
    """Labels [n] as uint8 from whole numbers [n] or [n, columns], of which the first is the class.

    Raises:
        InputError: one is no label.
    """
    labels = array.reshape(len(array), -1)[:, 0]
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high > 255:
        raise InputError(f"{path}: labels from {low} to {high}; 0 to 255 are read")
    return labels.astype(np.uint8)


def header_of(array: np.ndarray) -> bytes:
    """What the IDX file of a uint8 array begins with."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
