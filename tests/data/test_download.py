"""Fetching files, from a server on this machine."""

import functools
import gzip
import hashlib
import http.server
import threading

import numpy as np
import pytest

from mnist_fn.shared.data import download, files
from mnist_fn.shared.errors import InputError
from tests.support.idx_files import idx_bytes


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Four files as KMNIST's, and the cache that they are fetched into."""
    there = tmp_path / "server"
    there.mkdir()
    arrays = (np.zeros((4, 28, 28)), np.arange(4), np.zeros((2, 28, 28)), np.arange(2))
    for file, array in zip(files.FILES, arrays, strict=True):
        (there / f"{file}.gz").write_bytes(gzip.compress(idx_bytes(array), mtime=0))
    digests = tuple(
        hashlib.sha256((there / f"{file}.gz").read_bytes()).hexdigest() for file in files.FILES
    )
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(there))
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{running.server_port}/"
        monkeypatch.setitem(download.MIRRORS, "kmnist", address)
        monkeypatch.setitem(files.SHA256_GZ, "kmnist", digests)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.delenv("MNIST_FN_DATA", raising=False)
        yield there
        running.shutdown()


def test_what_is_fetched_is_found_and_not_fetched_again(server):
    download.fetch("kmnist")
    assert files.find("kmnist") is not None
    for file in server.iterdir():
        file.unlink()
    download.fetch("kmnist")


@pytest.mark.parametrize("harm", ["other content", "half of it", "gone"])
def test_a_file_that_is_not_the_published_one_leaves_nothing_that_looks_whole(server, harm):
    path = server / f"{files.FILES[0]}.gz"
    whole = path.read_bytes()
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(whole[: len(whole) // 2] if harm == "half of it" else whole + b"x")
    with pytest.raises(InputError, match=r"the download failed .* put train-images"):
        download.fetch("kmnist")
    assert files.find("kmnist") is None
    assert not (server.parent / "cache").exists()


def test_a_cache_that_cannot_be_made_is_one_line(server, monkeypatch):
    (server.parent / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(server.parent / "file"))
    said = r"file/mnist-fn/data: can't be written \(Not a directory\); .* `data_dir`"
    with pytest.raises(InputError, match=said):
        download.fetch("kmnist")
