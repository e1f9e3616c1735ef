"""Full and read-only disks, no GPU, no memory, odd terminals: real processes, one clear line."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mnist_fn import InputError, train
from mnist_fn.shared.runs import loop, trainer
from tests.support.killing import TRAIN, differing, environment, start, uninterrupted
from tests.support.tiny_backend import TINY, Tiny

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /dev/full and /proc")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return uninterrupted(tmp_path_factory.mktemp("run") / "whole", "jax")


def one_line(done, *said: str) -> None:
    """Exit 2, one line on stderr that says all this, nothing on stdout."""
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    for words in said:
        assert words in done.stderr
    assert not done.stdout


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path):
    """A disk of 112 kB: one checkpoint and a half."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        mount("-t", "tmpfs", "-o", "size=112k", "tmpfs", str(folder))
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a small tmpfs can be mounted by root on Linux alone")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.long
def test_a_full_disk_then_a_read_only_one_then_room(disk, whole):
    def attempt():
        process = start("tests.support.marked", *TRAIN, "--out", str(disk / "r"),
                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # fmt: skip
        return process, process.communicate(timeout=100)[1]

    process, said = attempt()
    assert process.returncode == 2
    lines = said.splitlines()  # the first says what is trained
    assert len(lines) == 2
    assert "checkpoint.safetensors: can't be written (No space left on device)" in lines[1]
    assert "what was there before is intact" in lines[1]

    mount("-o", "remount,ro", str(disk))
    process, said = attempt()
    assert process.returncode == 2
    assert said.count("\n") == 1
    assert "can't be written (Read-only file system)" in said

    mount("-o", "remount,rw,size=1m", str(disk))
    process, said = attempt()
    assert process.returncode == 0
    assert "going on after epoch 1" in said
    assert differing(disk / "r", whole) == []

    mount("-o", "remount,ro", str(disk))
    process, said = attempt()
    assert process.returncode == 0, said  # finished: it is shown, and needs no lock
    assert "finished" in said


@linux
def test_a_full_disk_behind_stdout(whole):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", "train", "--resume", str(whole), "--json"],
            stdout=full, stderr=subprocess.PIPE, text=True, env=environment(), check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert "mnist-fn: standard output: No space left on device\n" in done.stderr
    assert "Traceback" not in done.stderr


def test_locale_c_40_columns_and_no_terminal(command, whole):
    done = command("evaluate", str(whole), stdin=subprocess.DEVNULL,
                   env={"LC_ALL": "C", "COLUMNS": "40", "TERM": "dumb"})  # fmt: skip
    assert done.returncode == 0, done.stderr
    matrix = json.loads((whole / "evaluation.json").read_text())["confusion_matrix"]
    for label, row in enumerate(matrix):  # every number whole, on one line
        assert [str(label), *map(str, row)] in [
            line.split()[:11] for line in done.stdout.splitlines()
        ]


def test_a_path_that_is_no_text_in_a_narrow_encoding(command, tmp_path, whole):
    folder = tmp_path / os.fsdecode(b"\xff\xc3\xa9")
    folder.symlink_to(whole)
    done = command("train", "--resume", str(folder), "--json",
                   env={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"})  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["run"] == str(folder)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seed", "1" + "0" * 400], "--seed so large: must be between 0 and"),
        (["--hidden", "65536,65536"], "parameters on 64 pixels, at most 67,108,864"),
        (["--resume", "r" * 300], "File name too long"),
        (["--resume", "r", "--epochs", "0"], "--epochs 0: must be between 1"),
    ],
)
def test_more_bad_options(in_process, tmp_path, whole, arguments, said):
    (tmp_path / "r").symlink_to(whole)
    where = [] if "--resume" in arguments else ["--dataset", "digits"]
    one_line(in_process("train", *where, *arguments), said)


@pytest.mark.long
def test_a_gpu_driver_that_finds_nothing(command):
    arguments = ("train", "--dataset", "digits", "--epochs", "1")
    done = command(*arguments, env={"JAX_PLATFORMS": "cuda"})
    one_line(done, "--device auto: JAX finds none", "unset JAX_PLATFORMS=cuda", "use --device cpu")
    done = command(*arguments, "--device", "cpu", env={"JAX_PLATFORMS": "cuda"})
    assert done.returncode == 0, done.stderr
    assert "on cpu" in done.stderr
    hidden = {"CUDA_VISIBLE_DEVICES": ""}
    done = command(*arguments, "--backend", "torch", "--device", "gpu", env=hidden)
    one_line(done, "--device gpu: PyTorch finds no", "use --device cpu")


def test_a_broken_gpu_driver_says_its_reason(monkeypatch):
    import jax

    from mnist_fn.backend import find_devices

    def broken(backend):
        raise RuntimeError("Unable to initialize backend 'cuda': NVML: Driver/library mismatch\nat")

    monkeypatch.setattr(jax, "local_devices", broken)
    with pytest.raises(InputError, match=r'`device="gpu"`: .*library mismatch\); .*`device="cpu"`'):
        find_devices("gpu")


@linux
def test_a_cache_that_cannot_be_written(command):
    nowhere = {"XDG_CACHE_HOME": "/proc/nowhere", "MNIST_FN_DATA": ""}
    done = command("data", "fetch", env=nowhere)
    one_line(done, "/proc/nowhere/mnist-fn/data: can't be written", "--data-dir", "digits")
    done = command("train", "--dataset", "digits", "--hidden", "4", "--epochs", "1", env=nowhere)
    assert done.returncode == 0, done.stderr


LIMITED = """
import resource, sys
from mnist_fn import Config, train
# XLA aborts where it can't start a thread
train(Config(dataset="digits", hidden=(4,), epochs=1), progress=False)
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + 400 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
from cli.main import main
main()
"""


@linux
def test_no_memory_left_is_one_line(tmp_path):
    """Real: the process may take 400 MB more, the model alone is 470."""
    arguments = ["train", "--dataset", "digits", "--hidden", "65536,600", "--out", "r"]
    done = subprocess.run([sys.executable, "-c", LIMITED, *arguments], env=environment(),
                          cwd=tmp_path, capture_output=True, text=True, check=False)  # fmt: skip
    one_line(done, "out of memory (", "--hidden", "--batch-size")


# What JAX on a device, torch on a GPU and torch on a CPU say; the first was seen on a CPU.
NO_MEMORY = [
    RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 394008512 bytes."),
    RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


@pytest.mark.parametrize("error", NO_MEMORY)
def test_no_memory_on_the_device(monkeypatch, tmp_path, error):
    class Full(Tiny):
        def train_epoch(self, state, order):
            if state.step >= 6:
                raise error
            return super().train_epoch(state, order)

    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    monkeypatch.setattr(loop, "SAVING_SHARE", math.inf)
    monkeypatch.setattr(trainer.backends, "find", lambda _: Full)
    with pytest.raises(InputError, match=r"^out of memory .*smaller `hidden` or `batch_size`"):
        train(TINY, "full", out=tmp_path / "r")
    monkeypatch.setattr(trainer.backends, "find", lambda _: Tiny)
    seen = []
    train(TINY, "tiny", out=tmp_path / "r", callbacks=trainer.Callbacks(on_epoch=seen.append))
    assert [row["epoch"] for row in seen] == [3, 4]


def test_other_errors_are_not_taken_for_memory(monkeypatch):
    def broken(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr(trainer.backends, "find", lambda _: broken)
    with pytest.raises(RuntimeError, match="a bug"):
        train(TINY, "broken")
