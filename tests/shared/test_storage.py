"""What is written lasts: the file, its name, and the folders that were made for it."""

import errno
import fcntl
import os
import subprocess
import sys
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


WRITER = """
import sys
from pathlib import Path
from mnist_fn.shared.storage import write_atomically
path, letter, end = sys.argv[1:]
if end == "killed":
    import os
    from mnist_fn.shared import storage
    storage._flush = lambda _: os._exit(9)
for _ in range(40):
    write_atomically(Path(path), letter.encode() * 100_000)
"""


def test_two_writers_of_one_file(tmp_path):
    path = tmp_path / "x"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), letter, end],
                         stderr=subprocess.PIPE, text=True)
        for letter, end in (("a", "well"), ("b", "well"), ("c", "killed"))
    ]  # fmt: skip
    said = [writer.communicate(timeout=300)[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 9], said
    assert path.read_bytes() in (b"a" * 100_000, b"b" * 100_000)
    (leftover,) = tmp_path.glob(".writing-*")  # of the killed one; another may be writing still
    storage.write_atomically(path, b"new")
    assert leftover.exists()
    os.utime(leftover, (1e9, 1e9))
    storage.write_atomically(path, b"newer")
    assert [file.name for file in tmp_path.iterdir()] == ["x"]


def test_a_folder_that_can_only_be_read_is_not_locked(tmp_path, monkeypatch):
    (tmp_path / "run.json").touch()
    real = os.open

    def read_only(path, flags, *more):
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return real(path, flags, *more)

    monkeypatch.setattr(os, "open", read_only)
    with storage.locked(tmp_path):
        assert not (tmp_path / ".lock").exists()
    with pytest.raises(InputError, match="can't be written"), storage.locked(tmp_path / "new"):
        pass


HOLD = """
import sys
from pathlib import Path
from mnist_fn.shared.storage import locked

with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_of_two_processes_one_holds_a_folder_until_it_is_killed(tmp_path):
    hold = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(hold, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "held\n"
        second = subprocess.run(hold, input="", capture_output=True, text=True, check=False)
        assert (second.returncode, second.stdout) == (1, "")
        assert "in use by another mnist-fn process" in second.stderr
        first.kill()
    third = subprocess.run(hold, input="", capture_output=True, text=True, check=False)
    assert (third.returncode, third.stdout) == (0, "held\n")
