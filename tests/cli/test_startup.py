"""Start-up: few imports, data from the cache, compiled programs from the cache; all safe."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mnist_fn import command as door
from mnist_fn.shared.data import cache, datasets, files
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.runs import store
from tests.support.idx_files import idx_bytes

COUNT = """
import sys
from cli.main import main
sys.argv = ["mnist-fn", *{arguments!r}]
try:
    main()
except SystemExit as ended:
    assert (ended.code or 0) == {code}, ended.code
print(len(sys.modules), *sorted({{name.partition(".")[0] for name in sys.modules}}))
"""
# Nobody who trains on files that are there needs these.
HEAVY = {"torch", "torchvision", "torch_ref", "sklearn", "scipy", "matplotlib", "figures", "pandas"}


def write_files(folder, zipped):
    """A dataset whose train images are more than the cache's smallest file."""
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, (1700, 28, 28)), rng.integers(0, 10, 1700),
              rng.integers(0, 256, (50, 28, 28)), rng.integers(0, 10, 50)]  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    for file, array in zip(files.FILES, arrays, strict=True):
        content = idx_bytes(array)
        path = folder / (file + (".gz" if zipped else ""))
        path.write_bytes(gzip.compress(content, 1) if zipped else content)
    return folder


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """A dataset's folder, an empty cache beside it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MNIST_FN_CACHE", raising=False)
    return write_files(tmp_path / "d", zipped=True)


def kept(tmp_path):
    return sorted(tmp_path.glob("cache/mnist-fn/data-decompressed/*.npy"))


def count_reads(monkeypatch):
    read, calls = cache.read_array, []
    monkeypatch.setattr(
        cache, "read_array", lambda path, n: calls.append(path.name) or read(path, n)
    )
    return calls


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["train", "--help"],
        ["sweep", "--help"],
        ["study", "--help"],
        ["figures", "--help"],
    ],
)
def test_help_imports_no_framework(arguments):
    count, names = modules_after(arguments)
    assert not names & (HEAVY | {"jax", "flax", "optax", "numpy"})
    assert count < 550  # measured: 322 and 422; a framework brings more than 700


def test_training_imports_what_it_needs(tmp_path):
    folder = write_files(tmp_path / "d", zipped=False)
    arguments = ["train", "--dataset", "idx", "--data-dir", str(folder), "--hidden", "4",
                 "--epochs", "1", "--out", str(tmp_path / "r")]  # fmt: skip
    count, names = modules_after(arguments)
    assert not names & HEAVY
    assert {"jax", "flax", "optax"} <= names  # the check sees what is there
    assert count < 1700  # measured: 1152; torch alone brings more than 1000


@pytest.mark.parametrize(
    "arguments",
    [
        ["import", "nowhere.pt", "--pixels", "0-1"],
        ["port", "nowhere.py"],
        ["evaluate", "nowhere"],
        ["export", "nowhere", "--to", "torch"],
        ["predict", "nowhere", "nowhere.png"],
        ["train", "--resume", "nowhere"],
        ["report", "nowhere"],
        ["figures", "nowhere"],
        ["runs", "nowhere"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_what_is_not_there_is_refused_before_anything_large_is_imported(arguments):
    count, names = modules_after(arguments, code=2)
    light = {"figures"}  # the package alone: its modules' names
    assert not names & ((HEAVY | {"jax", "flax", "optax", "numpy", "rich"}) - light)
    assert count < 400  # measured: 300 at most


FIRST = """
import sys
from rich.console import Console
from cli.main import main
from mnist_fn.shared.runs.progress import ProgressView

def begin(*_, **__):
    print(len(sys.modules), *sorted({{name.partition(".")[0] for name in sys.modules}}))
    sys.exit(0)

ProgressView.__enter__ = Console.status = begin
sys.argv = ["mnist-fn", *{arguments!r}]
main()
"""


@pytest.mark.long
@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--dataset", "digits"],
        ["sweep", "--dataset", "digits"],
        ["study", "--dataset", "digits"],
        ["parity"],
        ["port", "FILE"],
        ["evaluate", "RUN"],
        ["bench"],
        ["doctor"],
        ["predict", "RUN", "FILE"],
        ["report", "RUN"],
        ["figures", "RUN"],
        ["import", "FILE"],
        ["export", "RUN", "--to", "onnx"],
        ["data", "verify"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_terminal_says_that_it_starts_before_anything_large_is_imported(arguments, tmp_path):
    (tmp_path / "run").mkdir()
    for name in ("run/run.json", "file"):
        (tmp_path / name).write_text("{}")
    places = {"RUN": str(tmp_path / "run"), "FILE": str(tmp_path / "file")}
    code = FIRST.format(arguments=[places.get(argument, argument) for argument in arguments])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          cwd=tmp_path)  # fmt: skip
    count, *names = done.stdout.split()
    assert not set(names) & ((HEAVY | {"jax", "flax", "optax", "numpy"}) - {"figures"})
    assert int(count) < 400  # measured: 318; numpy alone brings 100


def modules_after(arguments, code=0):
    """How many modules a process has after the command, and their top-level names."""
    code = COUNT.format(arguments=arguments, code=code)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    count, *names = done.stdout.splitlines()[-1].split()
    return int(count), set(names)


def test_a_large_file_is_decompressed_and_verified_once(cached, tmp_path, monkeypatch):
    calls = count_reads(monkeypatch)
    first = datasets.load("idx", cached)
    assert len(calls) == 4
    assert len(kept(tmp_path)) == 1  # the train images; the others are small
    calls.clear()
    second = datasets.load("idx", cached)
    assert files.FILES[0] + ".gz" not in calls
    assert np.array_equal(first.train.images, second.train.images)
    assert first.sha256 == second.sha256


def test_a_change_of_the_file_or_of_the_copy_is_seen(cached, tmp_path, monkeypatch):
    first = datasets.load("idx", cached)
    calls = count_reads(monkeypatch)
    path = cached / (files.FILES[0] + ".gz")
    other = np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8).copy()
    other[5000] ^= 1
    path.write_bytes(gzip.compress(other.tobytes(), 1))
    changed = datasets.load("idx", cached)
    assert (changed.train.images != first.train.images).sum() == 1
    assert changed.sha256 != first.sha256
    (copy,) = [one for one in kept(tmp_path) if np.array_equal(np.load(one), changed.train.images)]
    content = copy.read_bytes()
    for damage in (content[:-1], content[:-1] + bytes([content[-1] ^ 1]), b"", b"not an array"):
        calls.clear()
        copy.write_bytes(damage)
        again = datasets.load("idx", cached)
        assert files.FILES[0] + ".gz" in calls
        assert np.array_equal(again.train.images, changed.train.images)
    copy.rename(copy.with_stem(f"{copy.stem[:-1]}x"))  # another digest
    calls.clear()
    datasets.load("idx", cached)
    assert files.FILES[0] + ".gz" in calls


def test_a_copy_changed_in_place_under_its_old_time_is_not_believed(cached, tmp_path, monkeypatch):
    first = datasets.load("idx", cached)
    (copy,) = kept(tmp_path)
    before = copy.stat()
    with copy.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))
    os.utime(copy, ns=(before.st_atime_ns, before.st_mtime_ns))
    calls = count_reads(monkeypatch)
    again = datasets.load("idx", cached)
    assert files.FILES[0] + ".gz" in calls
    assert np.array_equal(again.train.images, first.train.images)


def test_a_file_changed_in_place_under_its_old_time_is_read_again(cached, monkeypatch):
    """The time of a change of the file's own entry can't be set."""
    datasets.load("idx", cached)
    path = cached / (files.FILES[0] + ".gz")
    before = path.stat()
    with path.open("r+b") as file:
        file.write(path.read_bytes())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    calls = count_reads(monkeypatch)
    datasets.load("idx", cached)
    assert path.name in calls


def test_what_is_kept_is_flushed_before_it_has_its_name(cached, tmp_path, monkeypatch):
    flushed, replaced, fsync, replace = set(), [], os.fsync, Path.replace
    monkeypatch.setattr(
        os, "fsync", lambda there: (flushed.add(os.fstat(there).st_ino), fsync(there))
    )
    monkeypatch.setattr(
        Path, "replace", lambda a, b: (replaced.append(a.stat().st_ino), replace(a, b))
    )
    datasets.load("idx", cached)
    assert len(replaced) == len(kept(tmp_path)) == 1
    assert set(replaced) <= flushed


def test_writing_into_the_array_changes_no_file(cached, tmp_path):
    datasets.load("idx", cached)
    before = kept(tmp_path)[0].read_bytes()
    mapped = datasets.load("idx", cached)
    mapped.train.images[:] = 0
    assert kept(tmp_path)[0].read_bytes() == before
    assert datasets.load("idx", cached).train.images.any()


def test_what_comes_from_the_cache_is_still_checked_to_be_the_dataset(cached):
    datasets.load("idx", cached)
    with pytest.raises(InputError, match="not mnist's"):
        datasets.load("mnist", cached)


@pytest.mark.parametrize("place", ["off", "unwritable"])
def test_without_a_cache_everything_works(cached, tmp_path, monkeypatch, place):
    if place == "off":
        monkeypatch.setenv("MNIST_FN_CACHE", "off")
    else:
        (tmp_path / "file").touch()  # no folder can be made in it, not even by root
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(datasets.load("idx", cached).train) == 1700
    assert kept(tmp_path) == []


RUN = (*["train", "--dataset", "digits", "--hidden", "8", "--epochs", "2", "--json"],)


def run_with(command, cache, out, **more):
    """A run with JAX's own setting out of the way."""
    env = {"XDG_CACHE_HOME": str(cache), "JAX_COMPILATION_CACHE_DIR": None, **more}
    done = command(*RUN, "--out", out, env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.mark.long
def test_compiled_programs_are_kept_and_give_the_same_bits(command, tmp_path):
    compiled = tmp_path / "cache" / "mnist-fn" / "compiled"
    _, said = run_with(command, tmp_path / "cache", "first")
    entries = {path.name for path in compiled.iterdir() if path.name.endswith("-cache")}
    assert any("train_epoch" in name for name in entries)
    _, said_again = run_with(command, tmp_path / "cache", "second")
    assert {p.name for p in compiled.iterdir() if p.name.endswith("-cache")} == entries
    run_with(command, tmp_path / "cache2", "off", MNIST_FN_CACHE="off")
    assert not (tmp_path / "cache2").exists()
    (tmp_path / "file").touch()
    _, said_without = run_with(command, tmp_path / "file", "unwritable")
    for file in ("metrics.csv", "checkpoint.safetensors", "evaluation.json"):
        contents = {(tmp_path / out / file).read_bytes()
                    for out in ("first", "second", "off", "unwritable")}  # fmt: skip
        assert len(contents) == 1, file
    # nothing is said of caches, whatever they do
    for text in (said, said_again, said_without):
        assert "cache" not in text.replace(str(tmp_path), "").lower()
        assert text.count("\n") == said.count("\n")


@pytest.mark.long
def test_jaxs_own_setting_is_left_as_it_is(command, tmp_path):
    mine = tmp_path / "mine"
    env = {"JAX_COMPILATION_CACHE_DIR": str(mine), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    assert command(*RUN, env=env).returncode == 0
    assert list(mine.iterdir())
    assert not (tmp_path / "cache" / "mnist-fn" / "compiled").exists()


def test_ctrl_c_while_it_imports_is_one_line(monkeypatch, capsys):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(door, "import_module", interrupted)
    with pytest.raises(SystemExit) as ended:
        door.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "mnist-fn: interrupted\n"


def test_so_it_is_within_a_command(in_process, monkeypatch, tmp_path):
    """Where it imports what it needs, or reads, and nothing is trained yet."""

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(store.RunStore, "__init__", interrupted)
    done = in_process("runs", str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "mnist-fn: interrupted\n")
