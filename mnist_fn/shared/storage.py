"""Files that are never half-written: flushed under a temporary name, then renamed."""

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mnist_fn.shared.errors import InputError

MAX_JSON_BYTES = 2**24
_TEMPORARY = ".writing-"


def write_atomically(path: Path, data: bytes) -> None:
    """Replace `path` by `data`, whole or not at all, also if the machine stops.

    Raises:
        InputError: a full disk, a read-only folder and the like; `path` is as it was.
    """
    temporary = path.with_name(_TEMPORARY + path.name)
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _flush_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise InputError(
            f"{path}: can't be written ({error.strerror or error}); what was there before is intact"
        ) from error


def _flush_folder(folder: Path) -> None:
    """Make a rename last: the folder is a file of its own."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_bounded(path: Path, limit: int) -> bytes:
    """The bytes of a file that may be at most `limit` long.

    Raises:
        InputError: missing, not a plain file, unreadable or too long.
    """
    try:
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror or error})") from error
    if len(data) > limit:
        raise InputError(f"{path}: longer than the {limit} bytes that are read of it")
    return data


def digest_of(document: Any) -> str:
    """SHA-256 of a JSON document in one canonical form, hexadecimal."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def write_sealed(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON document with a digest of its content, against bit rot and slips."""
    sealed = {**document, "digest": digest_of(document)}
    text = json.dumps(sealed, indent=2, allow_nan=False, ensure_ascii=False)
    write_atomically(path, (text + "\n").encode())


def read_sealed(path: Path, schema: int) -> dict[str, Any]:
    """Read what `write_sealed` wrote.

    Raises:
        InputError: missing, not JSON, another schema, or content that its digest denies.
    """
    data = read_bounded(path, MAX_JSON_BYTES)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({str(error)[:80]}); the file is damaged") from error
    if not isinstance(document, dict):
        raise InputError(f"{path}: not a record of mnist-fn (expected a JSON object)")
    found = document.get("schema")
    if found != schema:
        raise InputError(
            f"{path}: schema {str(found)[:20]}, this version reads {schema}; "
            "use the version of mnist-fn that wrote it"
        )
    digest = document.pop("digest", None)
    try:
        good = digest == digest_of(document)
    except (ValueError, RecursionError):
        good = False
    if not good:
        raise InputError(f"{path}: its content does not match its digest; the file is damaged")
    return document


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for this process alone. The kernel drops the lock with the process.

    Raises:
        InputError: another process holds it, or the folder can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise InputError(
            f"{folder}: can't be written ({error.strerror}); choose another place with --out"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                f"{folder}: in use by another mnist-fn process; wait for it, "
                "or choose another place with --out"
            ) from error
        for leftover in folder.glob(_TEMPORARY + "*"):  # of a process that was killed
            leftover.unlink(missing_ok=True)
        yield
    finally:
        os.close(descriptor)
