"""What is written lasts: the file, its name, and the folders that were made for it."""

import fcntl
import os
import tracemalloc

import pytest

from mnist_fn.shared import storage
from mnist_fn.shared.errors import InputError


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


def make_and_write(folder):
    with storage.made_folder(folder):
        (folder / "kept").touch()


@pytest.mark.parametrize("make", [make_and_write, make_by_locking])
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


def test_a_folder_made_in_vain_is_taken_away_again(tmp_path):
    (tmp_path / "there").mkdir()
    with storage.made_folder(tmp_path / "there" / "a" / "b"):
        assert (tmp_path / "there" / "a" / "b").is_dir()
    with pytest.raises(ZeroDivisionError), storage.made_folder(tmp_path / "c" / "d"):
        raise ZeroDivisionError
    with storage.made_folder(tmp_path / "there"):
        pass  # empty, but not made for it
    assert list(tmp_path.iterdir()) == [tmp_path / "there"]
    assert list((tmp_path / "there").iterdir()) == []


@pytest.mark.parametrize("hold", [storage.made_folder, storage.locked])
def test_folders_that_were_made_half_way_are_taken_away_again(tmp_path, hold):
    with pytest.raises(InputError, match="can't be"), hold(tmp_path / "a" / ("b" * 300)):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_too_large_is_not_read_to_find_out(tmp_path):
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(2**40)
    tracemalloc.start()
    with pytest.raises(InputError, match="sparse: larger than the 1,073,741,824 bytes"):
        storage.read_bounded(tmp_path / "sparse", 2**30)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20
