"""Images and labels as uint8, from an IDX file, a NumPy archive or memory.

Files are read as hostile input: the header first, no pickle, memory bounded by the file's size.

IDX: two zero bytes, a type byte (0x08 is uint8), a byte with the number of dimensions, each
dimension as a big-endian uint32, then the values, big-endian. NumPy's `.npz`: a zip whose members
are .npy files: magic, a header of Python literals, then the values.
"""

import contextlib
import gzip
import hashlib
import io
import math
import os
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.storage import open_plain

MAX_BYTES = 600_000_000  # of one file's values: EMNIST byclass has 547,178,688
MAX_RATIO = 200  # of values to compressed bytes; of pictures of digits gzip makes a fifth
QMNIST_COLUMNS = 8  # of its labels, of which the first is the class
_SMALL = 2**24  # bytes of values that a compressed file of any size may hold
_CHUNK = 2**20
_ZIP = b"PK\x03\x04"
_LABELS = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4"}  # types of IDX; QMNIST's are int32 [n, 8]
_ARRAY = "arr_0"  # as Kuzushiji-49 has it, and whatever else np.savez gives no name
_NPY_HEADER = 2**14  # bytes, more than any header of plain numbers


def read_array(path: Path, dimensions: int) -> tuple[np.ndarray, str]:
    """Read images or labels from an IDX file, gzipped or not, or a NumPy archive.

    The content decides, not the name.

    Args:
        path: the file.
        dimensions: 3 for images [n, rows, columns], 1 for labels [n].

    Returns:
        The array, uint8, and the SHA-256 of the IDX file that holds or would hold it, decompressed,
        hexadecimal.

    Raises:
        InputError: missing, unreadable, truncated, too long, too large, broken, or not of images
            or labels.
    """
    with open_plain(path) as file:
        is_zip = file.read(len(_ZIP)) == _ZIP
    return (read_npz if is_zip else read_idx)(path, dimensions)


def idx_digest(array: np.ndarray) -> str:
    """Return the SHA-256 of the IDX file that would hold an array of uint8, hexadecimal."""
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    digest = hashlib.sha256(header)
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def read_idx(path: Path, dimensions: int) -> tuple[np.ndarray, str]:
    """Read an IDX file; see `read_array`. Of QMNIST's columns of labels the first is the class."""
    with open_plain(path) as file:
        zipped = file.read(2) == b"\x1f\x8b"
        most = _most_bytes(os.fstat(file.fileno()).st_size) if zipped else MAX_BYTES
        file.seek(0)
        stream = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if zipped else file
        try:
            return _read_idx(stream, path, dimensions, most)
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise InputError(f"{path}: broken gzip data ({error}); fetch the file again") from error


def _most_bytes(compressed: int) -> int:
    """Return how many bytes of values are read of so many compressed ones; more would be a bomb."""
    return min(MAX_BYTES, max(_SMALL, MAX_RATIO * compressed))


def _read_values(stream: BinaryIO, size: int, start: bytes = b"") -> bytearray:
    """Read `size` bytes in all, after `start`, or one more if there are more; a chunk at a time."""
    values = bytearray(start)
    while len(values) <= size and (chunk := stream.read(min(_CHUNK, size + 1 - len(values)))):
        values += chunk
    return values


def _read_idx(stream: BinaryIO, path: Path, dimensions: int, most: int) -> tuple[np.ndarray, str]:
    header = stream.read(4)
    magic = bytes([0, 0, 8, dimensions])
    are_labels = dimensions == 1 and header[:2] == b"\0\0" and header[3:] in (b"\1", b"\2")
    if header != magic and not (are_labels and header[2] in _LABELS):
        raise InputError(
            f"{path}: expected IDX magic {magic.hex()} (uint8, {dimensions} dimensions), "
            f"found {_kind_of(header + stream.read(60))}"
        )
    header += stream.read(4 * header[3])
    if len(header) < 4 + 4 * header[3]:
        raise InputError(f"{path}: truncated in its header, after {len(header)} bytes")
    shape = tuple(np.frombuffer(header, ">u4", offset=4).tolist())
    dtype = np.dtype(_LABELS[header[2]])
    size = math.prod(shape) * dtype.itemsize
    if not 0 < size <= most:
        swapped = np.array(shape, ">u4").view("<u4").tolist()
        if 0 < math.prod(swapped) * dtype.itemsize <= most:
            raise InputError(
                f"{path}: its header is in the other byte order ({' x '.join(map(str, swapped))} "
                "values); write it big-endian"
            )
        raise InputError(
            f"{path}: its header claims {' x '.join(map(str, shape))} values; "
            f"between 1 and {most} bytes are read of a file of its size"
        )
    values = _read_values(stream, size)
    if len(values) != size:
        count = f"only {len(values) // dtype.itemsize}" if len(values) < size else "more"
        claimed = size // dtype.itemsize
        raise InputError(f"{path}: its header claims {claimed} values, the file holds {count}")
    digest = hashlib.sha256(header)
    digest.update(values)
    array = np.frombuffer(values, dtype).reshape(shape)
    if dimensions == 1:
        array = as_labels(path, array, qmnist=dtype.itemsize == 4)
    return array, digest.hexdigest()


def _kind_of(start: bytes) -> str:
    """Return what a file is that begins so, in words."""
    text = start.lstrip().lower()
    if not start:
        return "an empty file"
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "a web page: the download gave an error or a login; fetch the file itself"
    if start.startswith((_ZIP, b"PK\x05\x06")):
        return "a zip archive; unpack it"
    if start.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS; fetch the file itself with git lfs pull"
    if start[2:4] == b"\0\0" and 1 <= start[0] <= 4 and start[1] in _LABELS:
        return f"{start[:4].hex()}, which is in the other byte order; write the header big-endian"
    return start[:4].hex()


def read_npz(path: Path, dimensions: int) -> tuple[np.ndarray, str]:
    """Read `arr_0` of a NumPy archive, or the only array in it; see `read_array`."""
    with _opened(path) as archive:
        members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        named = [info for info in members if info.filename == f"{_ARRAY}.npy"]
        chosen = named if len(named) == 1 else members
        if len(chosen) != 1:
            names = ", ".join(info.filename.removesuffix(".npy")[:40] for info in members[:8])
            raise InputError(f"{path}: expected one array, {_ARRAY}; it holds {names or 'none'}")
        raw = _read_member(path, archive, chosen[0])
    array = as_images(path, raw) if dimensions == 3 else as_labels(path, raw)
    return array, idx_digest(array)


def read_members(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Read the arrays of a NumPy archive that have these names, as they are.

    Raises:
        InputError: see `read_array`.
    """
    arrays = {}
    with _opened(path) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name in names:
                arrays[name] = _read_member(path, archive, info)
    return arrays


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    with open_plain(path) as file:
        try:
            with zipfile.ZipFile(cast(BinaryIO, _Bounded(file))) as archive:
                yield archive
        except InputError:
            raise
        except Exception as error:  # zipfile and NumPy raise whatever a damaged file leads to
            raise InputError(
                f"{path}: a broken .npz file ({str(error)[:80] or type(error).__name__}); "
                "fetch it again"
            ) from error


class _Bounded:
    """A file that is read in pieces of at most _CHUNK bytes.

    Otherwise zipfile would read a directory of any claimed length at once.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, n: int = -1) -> bytes:
        if n > _CHUNK:
            raise zipfile.BadZipFile("its list of members is too long")
        return self._file.read(_CHUNK if n < 0 else n)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _read_member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise NotImplementedError("compressed in another way than NumPy does")
    most = _most_bytes(member.compress_size)
    with archive.open(member) as stream:
        start = io.BytesIO(stream.read(_NPY_HEADER))
        shape, by_columns, dtype = _npy_header(start)
        if dtype.kind not in "buif":
            raise InputError(f"{path}: an array of {str(dtype)[:40]}; numbers are read")
        size = math.prod(shape) * dtype.itemsize
        if not 0 < size <= most:
            raise InputError(
                f"{path}: an array of shape {str(shape)[:60]}, {size} bytes; between 1 and {most} "
                "bytes are read of a member of its size"
            )
        values = _read_values(cast(BinaryIO, stream), size, start.read())
    if len(values) != size:
        count = f"only {len(values)}" if len(values) < size else "more"
        raise InputError(f"{path}: its header claims {size} bytes of values, it holds {count}")
    return np.frombuffer(values, dtype).reshape(shape, order="F" if by_columns else "C")


def _npy_header(start: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return an array's shape, whether its first index runs fastest, and its type."""
    version = np.lib.format.read_magic(start)
    with warnings.catch_warnings(action="ignore"):
        if version == (1, 0):
            return np.lib.format.read_array_header_1_0(start)
        if version == (2, 0):
            return np.lib.format.read_array_header_2_0(start)
    raise ValueError(f"version {version} of the format")


def as_images(source: object, array: np.ndarray) -> np.ndarray:
    """Convert grey pictures to uint8 [n, rows, columns].

    Args:
        source: the file or argument, for errors.
        array: [n, rows, columns], a square's pixels in a row [n, pixels], or with one channel,
            first or last; pixels from 0 to 255, or floating-point numbers from 0 to 1.

    Raises:
        InputError: another shape or kind, or pixels out of that range.
    """
    pixels = _with_rows(source, array)
    if pixels.dtype.kind == "b":
        return np.ascontiguousarray(pixels.astype(np.uint8))
    if pixels.dtype.kind not in "uif":
        raise InputError(f"{source}: an array of {str(array.dtype)[:40]}; numbers are read")
    low, high = pixels.min(), pixels.max()
    if not (low >= 0 and high <= 255):  # NaN is neither
        raise InputError(
            f"{source}: pixels from {low:.6g} to {high:.6g}; 0 to 255 are read, or 0 to 1: undo "
            "what they were scaled by"
        )
    if pixels.dtype.kind == "f" and high <= 1 and (pixels != np.rint(pixels)).any():
        pixels = pixels * 255
    return np.ascontiguousarray(np.rint(pixels).astype(np.uint8, copy=False))


def _with_rows(source: object, array: np.ndarray) -> np.ndarray:
    """Return pictures in any shape as [n, rows, columns]."""
    shape = array.shape
    if 0 in shape:
        raise InputError(f"{source}: an array of shape {shape}, without pixels")
    if array.ndim == 3:
        return array
    if array.ndim == 4 and 1 in (shape[1], shape[3]):
        return array[:, 0] if shape[1] == 1 else array[..., 0]
    side = math.isqrt(shape[1]) if array.ndim == 2 else 0
    if side > 1 and side * side == shape[1]:
        return array.reshape(-1, side, side)
    raise InputError(
        f"{source}: an array of shape {str(shape)[:60]}; grey pictures [n, rows, columns] are "
        "read, [n, pixels] of squares, and with one channel first or last"
    )


def as_labels(source: object, array: np.ndarray, *, qmnist: bool = False) -> np.ndarray:
    """Convert labels to uint8 [n].

    Args:
        source: the file or argument, for errors.
        array: whole numbers 0 to 255, [n] or [n, 1]; or one-hot, [n, classes].
        qmnist: whether several columns may be QMNIST's, the class and seven others.

    Raises:
        InputError: another shape, or one is no label.
    """
    if 0 in array.shape or array.ndim not in (1, 2) or array.dtype.kind not in "buif":
        kind = f"{str(array.dtype)[:40]} of shape {str(array.shape)[:40]}"
        raise InputError(
            f"{source}: an array of {kind}; labels [n] or one-hot [n, classes] are read"
        )
    if array.ndim == 2 and array.shape[1] > 1:
        one_hot = ((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all()
        if one_hot:
            array = array.argmax(axis=1)
        elif qmnist and array.shape[1] == QMNIST_COLUMNS:
            array = array[:, 0]
        else:
            raise InputError(
                f"{source}: {array.shape[1]} columns that are no one-hot labels; "
                "give one label each"
            )
    labels = array.reshape(-1)
    low, high = labels.min(), labels.max()
    if not (low >= 0 and high <= 255):
        raise InputError(f"{source}: labels from {low:.6g} to {high:.6g}; 0 to 255 are read")
    if (labels != np.rint(labels)).any():
        raise InputError(f"{source}: labels that are no whole numbers; 0 to 255 are read")
    return labels.astype(np.uint8)
