"""Large IDX files, kept decompressed in the user's cache, so that reading one takes milliseconds.

A file is read, and its content verified, once; again when its size or time of change differs.
The cache only ever saves time: where it can't be written or read, everything works without it.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnist_fn.shared.data.arrays import read_array
from mnist_fn.shared.data.sources import cache_folder

MIN_BYTES = 2**20  # smaller files are read as quickly as found in the cache


@dataclass(frozen=True)
class IdxFile:
    """What an IDX file holds, and the SHA-256 of its content, decompressed, hexadecimal."""

    array: np.ndarray  # uint8; a change of it changes no file
    digest: str


def read_through_cache(path: Path, dimensions: int) -> IdxFile:
    """Read a set's file, from the cache if it is there. Errors as for `arrays.read_array`."""
    folder = cache_folder("data-decompressed")
    if folder is None:
        return IdxFile(*read_array(path, dimensions))
    entry = folder / hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:32]
    if (cached := _read(entry, path, dimensions)) is not None:
        return cached
    before = _stamp(path) if path.is_file() else None  # before reading: a change meanwhile shows
    array, digest = read_array(path, dimensions)
    if before is not None and array.nbytes >= MIN_BYTES:
        _write(entry, before, array, digest)
    return IdxFile(array, digest)


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def _read(entry: Path, path: Path, dimensions: int) -> IdxFile | None:
    kept = entry.with_suffix(".npy")
    try:
        note = json.loads(entry.with_suffix(".json").read_bytes())
        if note["source"] != _stamp(path) or note["kept"] != _stamp(kept):
            return None
        array = np.load(kept, mmap_mode="c", allow_pickle=False)
        if array.dtype != np.uint8 or array.ndim != dimensions or not array.size:
            return None
        return IdxFile(np.asarray(array), str(note["digest"]))
    except (OSError, ValueError, TypeError, KeyError, EOFError):
        return None


def _write(entry: Path, source: list[int], array: np.ndarray, digest: str) -> None:
    kept, note = entry.with_suffix(".npy"), entry.with_suffix(".json")
    own = f".writing-{os.getpid()}"  # of this process alone; a rename is all or nothing
    temporary = [path.with_name(path.name + own) for path in (kept, note)]
    try:
        with temporary[0].open("wb") as file:
            np.save(file, array, allow_pickle=False)
        temporary[0].replace(kept)
        stamps = {"source": source, "kept": _stamp(kept), "digest": digest}
        temporary[1].write_text(json.dumps(stamps))
        temporary[1].replace(note)
    except OSError:  # a full disk, say
        for path in temporary:
            path.unlink(missing_ok=True)
