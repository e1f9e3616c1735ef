"""One array of a NumPy archive, read as hostile input: no pickle, memory bounded by its header.

Format: a zip whose members are .npy files: magic, a header of Python literals, then the values.
"""

import contextlib
import hashlib
import io
import math
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from mnist_fn.shared.data.idx import bytes_within, header_of
from mnist_fn.shared.data.values import as_images, as_labels
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.storage import open_plain

ARRAY = "arr_0"  # as Kuzushiji-49 has it, and whatever else np.savez gives no name
_HEADER = 2**14  # more than any header of plain numbers
_CHUNK = 2**20
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    OverflowError,
    IndexError,
    KeyError,
)


def read_npz(path: Path, dimensions: int) -> tuple[np.ndarray, str]:
    """Read `arr_0`, or the only array that there is.

    Args:
        path: the file.
        dimensions: 3 for images, 1 for labels; see `values.as_images` and `values.as_labels`.

    Returns:
        uint8 values, and the SHA-256 of the IDX file that would hold them, hexadecimal.

    Raises:
        InputError: as `idx.read_idx`; an array of another kind, shape or size.
    """
    with _opened(path) as archive:
        raw = _read(path, archive, _member(path, archive))
    array = as_images(path, raw) if dimensions == 3 else as_labels(path, raw)
    digest = hashlib.sha256(header_of(array))
    digest.update(array.data)
    return array, digest.hexdigest()


def read_members(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Those of the arrays with these names that an archive holds, as they are.

    Raises:
        InputError: as `read_npz`.
    """
    with _opened(path) as archive:
        members = {
            info.filename.removesuffix(".npy"): info
            for info in archive.infolist()
            if info.filename.removesuffix(".npy") in names
        }
        return {name: _read(path, archive, info) for name, info in members.items()}


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    with open_plain(path) as file:
        try:
            with zipfile.ZipFile(cast(BinaryIO, _Bounded(file))) as archive:
                yield archive
        except InputError:
            raise
        except _BROKEN as error:
            raise InputError(
                f"{path}: a broken .npz file ({str(error)[:80] or type(error).__name__}); "
                "fetch it again"
            ) from error


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
    return chosen[0]


def _read(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise NotImplementedError("compressed in another way than NumPy does")
    most = bytes_within(member.compress_size)
    with archive.open(member) as stream:
        head = io.BytesIO(stream.read(_HEADER))
        shape, by_columns, dtype = _header(head)
        if dtype.kind not in "buif":
            raise InputError(f"{path}: an array of {str(dtype)[:40]}; numbers are read")
        size = math.prod(shape) * dtype.itemsize
        if not 1 <= len(shape) <= 4 or not 0 < size <= most:
            raise InputError(
                f"{path}: an array of shape {str(shape)[:60]}, {size} bytes; 1 to 4 dimensions "
                f"and between 1 and {most} bytes are read of a member of its size"
            )
        values = bytearray(head.read())
        while len(values) <= size and (chunk := stream.read(min(_CHUNK, size + 1 - len(values)))):
            values += chunk
    if len(values) != size:
        count = f"only {len(values)}" if len(values) < size else "more"
        raise InputError(f"{path}: its header claims {size} bytes of values, it holds {count}")
    return np.frombuffer(values, dtype).reshape(shape, order="F" if by_columns else "C")


def _header(head: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether the first index runs fastest, and kind of the values."""
    version = np.lib.format.read_magic(head)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
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
