"""The IDX file format, read as hostile input: header first, memory bounded by the file.

Format: two zero bytes, a type byte (0x08 is uint8), a byte with the number of dimensions,
each dimension as a big-endian uint32, then the values, big-endian.
"""

import gzip
import hashlib
import math
import os
import zlib
from pathlib import Path

import numpy as np

from mnist_fn.shared.data.values import as_labels
from mnist_fn.shared.errors import InputError

MAX_BYTES = 600_000_000  # of one file's values: EMNIST byclass has 547,178,688
MAX_RATIO = 200  # of values to compressed bytes; of pictures of digits gzip makes a fifth
_SMALL = 2**24  # bytes of values that a compressed file of any size may hold
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
            most = bytes_within(os.fstat(file.fileno()).st_size) if zipped else MAX_BYTES
        with gzip.open(path) if zipped else path.open("rb") as stream:
            return _read(stream, path, dimensions, most)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise InputError(f"{path}: broken gzip data ({error}); fetch the file again") from error
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror or error})") from error


def bytes_within(compressed: int) -> int:
    """Bytes of values that are read of so many compressed ones: more would be a bomb."""
    return min(MAX_BYTES, max(_SMALL, MAX_RATIO * compressed))


def _read(stream, path: Path, dimensions: int, most: int) -> tuple[np.ndarray, str]:
    header = stream.read(4)
    magic = bytes([0, 0, 8, dimensions])
    plain = header == magic
    if not (plain or (dimensions == 1 and _are_labels(header))):
        raise InputError(
            f"{path}: expected IDX magic {magic.hex()} (uint8, {dimensions} dimensions), "
            f"found {_kind_of(header + stream.read(60))}"
        )
    header += stream.read(4 * header[3])
    if len(header) < 4 + 4 * header[3]:
        raise InputError(f"{path}: truncated in its header, after {len(header)} bytes")
    shape = tuple(int(n) for n in np.frombuffer(header, ">u4", offset=4))
    dtype = np.dtype(_LABELS[header[2]])
    size = math.prod(shape) * dtype.itemsize
    if size == 0 or size > most:
        swapped = [int.from_bytes(n.to_bytes(4, "little"), "big") for n in shape]
        if 0 < math.prod(swapped) * dtype.itemsize <= most:
            raise InputError(
                f"{path}: its header is in the other byte order ({' x '.join(map(str, swapped))} "
                "values); write it big-endian"
            )
        raise InputError(
            f"{path}: its header claims {' x '.join(map(str, shape))} values; "
            f"between 1 and {most} bytes are read of a file of its size"
        )
    values = bytearray()
    while len(values) <= size and (chunk := stream.read(min(_CHUNK, size + 1 - len(values)))):
        values += chunk
    if len(values) != size:
        count = f"only {len(values) // dtype.itemsize}" if len(values) < size else "more"
        claimed = size // dtype.itemsize
        raise InputError(f"{path}: its header claims {claimed} values, the file holds {count}")
    digest = hashlib.sha256(header)
    digest.update(values)
    array = np.frombuffer(values, dtype).reshape(shape)
    if not plain or dimensions == 1:
        array = as_labels(path, array, qmnist=dtype.itemsize == 4)
    return array, digest.hexdigest()


def _kind_of(start: bytes) -> str:
    """What a file is that begins so, in words."""
    if not start:
        return "an empty file"
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "a web page: the download gave an error or a login; fetch the file itself"
    if start[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "a zip archive; unpack it"
    if start.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS; fetch the file itself with git lfs pull"
    if start[2:4] == b"\0\0" and 1 <= start[0] <= 4 and start[1] in _LABELS:
        return f"{start[:4].hex()}, which is in the other byte order; write the header big-endian"
    return start[:4].hex()


def _are_labels(magic: bytes) -> bool:
    return len(magic) == 4 and magic[:2] == b"\0\0" and magic[2] in _LABELS and magic[3] in (1, 2)


def header_of(array: np.ndarray) -> bytes:
    """What the IDX file of a uint8 array begins with."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
