"""Files that are never half-written: flushed under a temporary name, then renamed."""

import contextlib
import errno
import fcntl
import hashlib
import json
import math
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from mnist_fn.shared.errors import Argument, InputError, damaged

MAX_JSON_BYTES = 2**24
MARK = "written by mnist-fn"  # in every file of ours that a user may name: see check_output
_MARKS = (MARK.encode(), b'"__metadata__":{"mnist_fn')  # the second in safetensors
_MARKED_BYTES = 2**16  # at a file's beginning and end, in which the mark is looked for
_TEMPORARY = ".writing-"
_ABANDONED_SECONDS = 3600.0  # a file that is written for so long has no writer

ANOTHER_PLACE = ("choose another place with ", Argument("out"))


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Replace `path` by `data`, whole or not at all, also if the machine stops.

    Raises:
        InputError: a full disk, a read-only folder and the like; `path` is as it was.
    """
    temporary = path.with_name(f"{_TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}")
    try:
        remove_leftovers(path.parent, older_than=_ABANDONED_SECONDS)
        with temporary.open("xb") as file:  # "x" follows no link that somebody put there
            file.write(data)
            file.flush()
            _flush(file.fileno())
        temporary.replace(path)
        flush_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise InputError(
            f"{path}: can't be written ({error.strerror or error}); what was there before is "
            "intact: free space or mend the folder's permissions, then run it again"
        ) from error


def check_output(path: Path, *, overwrite: bool = False) -> None:
    """Check before any work that a file can be written without the loss of another's.

    Args:
        path: the file to be.
        overwrite: whether a file that was not written here may be replaced.

    Raises:
        InputError: a folder or another's file is there, or its folder can't be written.
    """
    if path.is_dir():
        raise InputError(f"{path}: a folder, where a file is to be written; name a file in it")
    if os.path.lexists(path) and not overwrite and not _is_ours(path):
        raise InputError(
            f"{path}: there already, and mnist-fn did not write it",
            hint=("name another file, or replace it with ", Argument("overwrite", True)),
        )
    check_folder(path.parent)


def check_folder(folder: Path) -> None:
    """InputError unless files can be written in a folder, which need not be there yet."""
    existing = next(parent for parent in (folder, *folder.parents) if os.path.lexists(parent))
    if not existing.is_dir():
        raise InputError(f"{folder}: {existing} is no folder; choose another place")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"{folder}: can't be written (Permission denied); choose another place")


def _is_ours(path: Path) -> bool:
    """Whether a file has the mark near its beginning or end, or is a document with its digest."""
    try:
        with path.open("rb") as file:
            ends = file.read(_MARKED_BYTES)
            file.seek(max(0, os.fstat(file.fileno()).st_size - _MARKED_BYTES))
            ends += file.read(_MARKED_BYTES)
        if any(mark in ends for mark in _MARKS):
            return True
        return path.suffix == ".json" and bool(read_sealed(path, None))
    except (OSError, InputError):
        return False


def flush_folder(folder: Path) -> None:
    """Make what was renamed or made in a folder last: the folder is a file of its own."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _flush(descriptor)
    finally:
        os.close(descriptor)


def _flush(descriptor: int) -> None:
    """Down to the disk itself; on macOS fsync alone stops at the disk's own cache."""
    os.fsync(descriptor)
    if hasattr(fcntl, "F_FULLFSYNC"):
        with contextlib.suppress(OSError):  # a network disk need not know it
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)


def _make(folder: Path) -> None:
    """Make a folder and those above it that are not there yet, so that they last."""
    missing = _missing(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for path in reversed(missing):
        flush_folder(path.parent)


def _missing(folder: Path) -> list[Path]:
    """A folder and those above it that are not there, the innermost first."""
    return [path for path in (folder, *folder.parents) if not os.path.lexists(path)]


@contextlib.contextmanager
def open_plain(path: Path) -> Iterator[BinaryIO]:
    """Open a plain file for reading; a pipe or a device might never end.

    Raises:
        InputError: missing, not a plain file, or unreadable, then or while it is read.
    """
    try:
        if not path.is_file():
            raise InputError(f"{path}: {_what_it_is(path)}")
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror or error})") from error


def _what_it_is(path: Path) -> str:
    """In words, of what is no plain file."""
    if path.is_dir():
        return "a folder, where a file is expected"
    if path.is_symlink():
        return "a link that leads to no file"
    return "not a plain file but a pipe, a socket or a device" if path.exists() else "no such file"


def read_bounded(path: Path, limit: int) -> bytes:
    """The bytes of a file that may be at most `limit` long.

    Raises:
        InputError: missing, not a plain file, unreadable or too long.
    """
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size  # read(n) takes memory for n at once
        data = file.read(size + 1) if size <= limit else b""
    if max(size, len(data)) > limit:
        raise InputError(f"{path}: larger than the {limit:,} bytes that are read of such a file")
    return data


def or_null(value: float) -> float | None:
    """Return a number for JSON, which has no NaN: None for it."""
    return None if math.isnan(value) else float(value)


def digest_of(document: Any) -> str:
    """SHA-256 of a JSON document in one canonical form, hexadecimal."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def write_sealed(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON document with a digest of its content, against bit rot and slips."""
    sealed = {**document, "digest": digest_of(document)}
    text = json.dumps(sealed, indent=2, allow_nan=False)
    write_atomically(path, (text + "\n").encode())


def read_sealed(path: Path, schema: int | None, oldest: int | None = None) -> dict[str, Any]:
    """Read what `write_sealed` wrote: of one schema, or from the oldest on; None takes any.

    Raises:
        InputError: missing, not JSON, another schema, or content that its digest denies.
    """
    data = read_bounded(path, MAX_JSON_BYTES)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise damaged(path, "expected a JSON object")
    if schema is not None:
        check_schema(path, document.get("schema"), schema, oldest)
    digest = document.pop("digest", None)
    try:
        good = digest == digest_of(document)
    except (ValueError, RecursionError):
        good = False
    if not good:
        raise damaged(path, "its content does not match its digest")
    return document


def check_schema(path: Path, version: object, supported: int, oldest: int | None = None) -> None:
    """Raise InputError unless a file's schema version is read, from the oldest on."""
    if type(version) is not int:
        raise damaged(path, "no schema version")
    if not (supported if oldest is None else oldest) <= version <= supported:
        raise InputError(
            f"{path}: schema {str(version)[:20]}, this version reads {supported}; "
            "use the version of mnist-fn that wrote it"
        )


@contextlib.contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """A folder and those above it, made where they are not there yet, for what is written within.

    Folders that were made in vain, in which nothing lies at the end, are taken away again.

    Raises:
        InputError: it can't be made.
    """
    missing = _missing(folder)
    try:
        _make(folder)
    except OSError as error:
        _remove_empty(missing)
        raise InputError(
            f"{folder}: can't be made ({error.strerror}); choose another place"
        ) from error
    try:
        yield
    finally:
        _remove_empty(missing)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for this process alone. The kernel drops the lock with the process.

    A folder that can only be read is not locked: what is there can be shown, and nobody writes.
    Where nothing else comes into the folder, the lock is taken away again, and the folders that
    were made for it.

    Raises:
        InputError: another process holds it, or the folder can't be written.
    """
    missing = _missing(folder)
    lock = folder / ".lock"
    try:
        entries = set() if missing else set(folder.iterdir())
        _make(folder)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        if error.errno in (errno.EROFS, errno.EACCES) and not missing:
            yield
            return
        _remove_empty(missing)
        raise InputError(
            f"{folder}: can't be written ({error.strerror})", hint=ANOTHER_PLACE
        ) from error
    try:
        _lock(folder, lock, descriptor)
        remove_leftovers(folder, older_than=0)  # none else writes here
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # it may have been renamed meanwhile
                if set(folder.iterdir()) - entries == {lock}:
                    lock.unlink()
                    _remove_empty(missing)
    finally:
        os.close(descriptor)


def _lock(folder: Path, lock: Path, descriptor: int) -> None:
    busy = InputError(
        f"{folder}: in use by another mnist-fn process", hint=("wait for it, or ", ANOTHER_PLACE)
    )
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # whoever held it may have taken the folder away since it was opened here
        held = os.path.lexists(lock) and os.path.samestat(lock.lstat(), os.fstat(descriptor))
    except BlockingIOError as error:
        raise busy from error
    except OSError as error:
        raise InputError(
            f"{folder}: can't be locked ({error.strerror})",
            hint=("choose a local disk with ", Argument("out")),
        ) from error
    if not held:
        raise busy


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders, the innermost first, as far as they are empty."""
    for folder in folders:
        with contextlib.suppress(OSError):  # not empty, or it could not be made itself
            folder.rmdir()


def remove_leftovers(folder: Path, older_than: float) -> None:
    """Remove what killed processes were writing. What can't be removed stops only its own file.

    Args:
        folder: in which they wrote.
        older_than: seconds since the last change. A process identifier would tell nothing: that of
            another container or machine may be any.
    """
    now = time.time()
    with contextlib.suppress(OSError):
        for leftover in folder.glob(_TEMPORARY + "*"):
            with contextlib.suppress(OSError):
                if now - leftover.lstat().st_mtime >= older_than:
                    leftover.unlink(missing_ok=True)
