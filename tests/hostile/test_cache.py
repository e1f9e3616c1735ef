"""The cache of decompressed data: bounded, oldest out, and removed on request."""

import gzip
import os

import numpy as np

from mnist_fn.shared.data import cache
from tests.support.idx_files import idx_bytes


def images(folder, name: str, value: int):
    path = folder / name
    path.write_bytes(gzip.compress(idx_bytes(np.full((1500, 28, 28), value, np.uint8)), 1))
    return path


def test_the_cache_is_bounded_and_the_oldest_go(tmp_path, monkeypatch, in_process):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "MAX_BYTES", 3_600_000)  # three of these files
    paths = [images(tmp_path, f"{i}.gz", i) for i in range(5)]
    folder = tmp_path / "cache" / "mnist-fn" / cache.FOLDER
    for path in paths:
        assert cache.read_through_cache(path, 3)[0][0, 0, 0] == paths.index(path)
        for age, (file, _, _) in enumerate(cache.entries(folder)):
            os.utime(file, (1e9 - age, 1e9 - age))  # in order, whatever the clock's steps
    kept = cache.entries(folder)
    assert len(kept) == 3
    assert sum(size for _, size, _ in kept) <= cache.MAX_BYTES
    assert len(list(folder.iterdir())) == 3
    oldest = kept[-1][0]
    assert [cache.read_through_cache(path, 3)[0][0, 0, 0] for path in paths[2:]] == [2, 3, 4]
    assert oldest in [file for file, _, _ in cache.entries(folder)]
    done = in_process("data", "cache")
    assert "3 files, 3,5" in done.stdout
    (folder / "of-an-earlier-version.json").write_text("{}")
    done = in_process("data", "cache", "--clear")
    assert "removed" in done.stdout
    assert list(folder.iterdir()) == []
    assert "0 files" in in_process("data", "cache").stdout


def test_a_file_that_was_read_again_is_not_the_oldest(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    first, second = images(tmp_path, "1.gz", 1), images(tmp_path, "2.gz", 2)
    folder = tmp_path / "cache" / "mnist-fn" / cache.FOLDER
    for path in (first, second):
        cache.read_through_cache(path, 3)
    for file, _, _ in cache.entries(folder):
        os.utime(file, (1e9, 1e9))
    cache.read_through_cache(first, 3)
    monkeypatch.setattr(cache, "MAX_BYTES", 2_400_000)  # two
    cache.read_through_cache(images(tmp_path, "3.gz", 3), 3)
    monkeypatch.setattr(cache, "read_array", lambda *_: (np.zeros((1, 1, 1), np.uint8), ""))
    assert cache.read_through_cache(first, 3)[0][0, 0, 0] == 1  # still kept
    assert cache.read_through_cache(second, 3)[0][0, 0, 0] == 0  # it went


def test_a_changed_source_leaves_no_old_copy(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "mnist-fn" / cache.FOLDER
    other = images(tmp_path, "other.gz", 9)
    for value in (1, 2, 3):
        path = images(tmp_path, "1.gz", value)
        os.utime(path, (value, value))  # a change, whatever the clock's steps
        assert cache.read_through_cache(path, 3)[0][0, 0, 0] == value
        assert cache.read_through_cache(other, 3)[0][0, 0, 0] == 9
    assert len(list(folder.iterdir())) == 2
