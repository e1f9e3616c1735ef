"""What is written lasts: the file, its name, and the folders that were made for it."""

import fcntl
import os

import pytest

from mnist_fn.shared import storage


@pytest.fixture
def flushed(monkeypatch):
    """Inodes in the order in which they were flushed."""
    inodes, fsync = [], os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda there: (inodes.append(os.fstat(there).st_ino), fsync(there))
    )
    return inodes


def make_by_locking(folder):
    with storage.locked(folder):
        (folder / "kept").touch()


@pytest.mark.parametrize("make", [storage.make_folder, make_by_locking])
def test_the_folder_above_a_new_one_is_flushed(tmp_path, flushed, make):
    make(tmp_path / "a" / "b")
    assert flushed == [path.stat().st_ino for path in (tmp_path, tmp_path / "a")]
    flushed.clear()
    make(tmp_path / "a" / "b")
    assert flushed == []


def test_a_file_is_flushed_and_then_its_folder(tmp_path, flushed):
    storage.write_atomically(tmp_path / "file", b"content")
    assert flushed == [(tmp_path / "file").stat().st_ino, tmp_path.stat().st_ino]


def test_macos_is_asked_to_flush_the_disks_own_cache_too(tmp_path, flushed, monkeypatch):
    asked = []
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(
        fcntl, "fcntl", lambda there, what: asked.append((os.fstat(there).st_ino, what))
    )
    storage.write_atomically(tmp_path / "file", b"content")
    assert asked == [(inode, 51) for inode in flushed]


def test_a_disk_that_knows_no_full_flush_is_flushed_as_it_can_be(tmp_path, flushed, monkeypatch):
    def refuse(*_):
        raise OSError("not supported")

    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", refuse)
    storage.write_atomically(tmp_path / "file", b"content")
    assert len(flushed) == 2
