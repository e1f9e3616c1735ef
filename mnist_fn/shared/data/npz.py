"""One array of a NumPy archive, read as hostile input: no pickle, memory bounded by its header.

Format: a zip whose members are .npy files: magic, a header of Python literals, then the values.
"""

import hashlib
import io
import math
import struct
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from mnist_fn.shared.data.idx import MAX_BYTES, as_labels, header_of
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.storage import open_plain

ARRAY = "arr_0"  # as Kuzushiji-49 has it, and whatever else np.savez gives no name
_HEADER = 2**14  # more than any header of plain numbers
_CHUNK = 2**20
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError,
           struct.error, OverflowError, IndexError, KeyError)  # fmt: skip


def read_npz(path: Path, dimensions: int) -> tuple[np.ndarray, str]:
    """Read whole numbers 0 to 255 from `arr_0`, or from the only array that there is.

    Args:
        path: the file.
        dimensions: 3 for images [n, rows, columns], 1 for labels [n].

    Returns:
        uint8 values, and the SHA-256 of the IDX file that would hold them, hexadecimal.

    Raises:
        InputError: as `idx.read_idx`; an array of another kind, shape or size.
    """
    with open_plain(path) as file:
        try:
            with zipfile.ZipFile(cast(BinaryIO, _Bounded(file))) as archive:
                member = _member(path, archive)
                with archive.open(member) as stream:
                    array = _read(path, stream, dimensions)
        except InputError:
            raise
        except _BROKEN as error:
            raise InputError(
                f"{path}: a broken .npz file ({str(error)[:80] or type(error).__name__}); "
                "fetch it anew"
            ) from error
    digest = hashlib.sha256(header_of(array))
    digest.update(array.data)
    return array, digest.hexdigest()


class _Bounded:
    """A file of which no read takes more than _CHUNK: zipfile reads a directory in one, whatever
    its length claims to be, and makes an object of each entry.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, n: int = -1) -> bytes:
        if n > _CHUNK:
            raise zipfile.BadZipFile("its list of members is too long")
        return self._file.read(_CHUNK if n < 0 else n)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _member(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
    named = [info for info in members if info.filename == ARRAY + ".npy"]
    chosen = named if len(named) == 1 else members
    if len(chosen) != 1:
        names = ", ".join(info.filename.removesuffix(".npy")[:40] for info in members[:8])
        raise InputError(f"{path}: expected one array, {ARRAY}; it holds {names or 'none'}")
    if chosen[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise NotImplementedError("compressed in another way than NumPy does")
    return chosen[0]


def _read(path: Path, stream: Any, dimensions: int) -> np.ndarray:
    head = io.BytesIO(stream.read(_HEADER))
    shape, by_columns, dtype = _header(head)
    if dtype.kind not in "bui":
        raise InputError(f"{path}: an array of {str(dtype)[:40]}; whole numbers are read")
    fits = len(shape) == dimensions or (dimensions == 1 and len(shape) == 2)
    size = math.prod(shape) * dtype.itemsize
    if not fits or not 0 < size <= MAX_BYTES:
        raise InputError(
            f"{path}: an array of shape {str(shape)[:60]}, {size} bytes; {dimensions} dimensions "
            f"and between 1 and {MAX_BYTES} bytes are read"
        )
    values = bytearray(head.read())
    while len(values) <= size and (chunk := stream.read(min(_CHUNK, size + 1 - len(values)))):
        values += chunk
    if len(values) != size:
        found = f"only {len(values)}" if len(values) < size else "more"
        raise InputError(f"{path}: its header claims {size} bytes of values, it holds {found}")
    array = np.frombuffer(values, dtype).reshape(shape, order="F" if by_columns else "C")
    if dimensions == 1:
        return as_labels(path, array)
    if array.dtype.kind != "b" and (array.min() < 0 or array.max() > 255):
        raise InputError(f"{path}: pixels from {array.min()} to {array.max()}; 0 to 255 are read")
    return np.ascontiguousarray(array.astype(np.uint8, copy=False))


def _header(head: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether the first index runs fastest, and kind of the values."""
    version = np.lib.format.read_magic(head)
    read = {(1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0}.get(version)  # fmt: skip
    if read is None:
        raise ValueError(f"version {version} of the format")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shape, by_columns, dtype = read(head)
    except Exception as error:  # NumPy's parser and tokenizer raise whatever it leads to
        raise ValueError("no header that NumPy writes") from error
    if not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("no shape")
    return shape, by_columns, dtype
