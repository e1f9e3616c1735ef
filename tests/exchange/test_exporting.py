"""A run for other programs, opened by those programs' own readers."""

import json
import subprocess
import sys

import numpy as np
import pytest

from mnist_fn.shared.data.datasets import scale_pixels
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.evaluation import forward
from mnist_fn.shared.exchange.to_onnx import write_onnx
from mnist_fn.shared.exchange.to_tensorboard import write_events
from mnist_fn.shared.runs.trainer import load_run

ALONE = """
import json, sys
import numpy as np
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
(logits,) = session.run(["logits"], {"pixels": np.load(sys.argv[2])})
np.save(sys.argv[3], logits)
there = [m for m in ("mnist_fn", "torch", "jax", "onnx") if m in sys.modules]
print(json.dumps([there, session.get_modelmeta().custom_metadata_map]))
"""


@pytest.mark.parametrize("name", ["linear", "deep"])
def test_onnxruntime_alone_computes_the_same_logits(runs_28, prepared_digits, tmp_path, name):
    from mnist_fn.shared.data import datasets

    run = load_run(runs_28[name])
    write_onnx(run, tmp_path / "model.onnx")
    pixels = scale_pixels(datasets.load("idx", prepared_digits).test.images, "float32")
    np.save(tmp_path / "pixels.npy", pixels)
    files = [str(tmp_path / file) for file in ("model.onnx", "pixels.npy", "logits.npy")]
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *files], capture_output=True, text=True, check=True,
        cwd=tmp_path,
    )  # fmt: skip
    there, metadata = json.loads(done.stdout)
    assert there == []
    logits = np.load(tmp_path / "logits.npy")
    exact = forward(run.weights, pixels)
    # float32's sums of 784 products: about √784 eps of the largest
    bound = 28 * np.finfo(np.float32).eps * np.abs(exact).max()
    assert np.abs(logits - exact).max() <= bound
    assert json.loads(metadata["classes"]) == [str(digit) for digit in range(10)]
    assert metadata["ink"] == "light"
    assert "divided by 255" in metadata["pixels"]
    write_onnx(run, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == (tmp_path / "model.onnx").read_bytes()


def test_tensorboards_own_reader_finds_every_figure(runs_28, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = load_run(runs_28["deep"])
    first, second = (write_events(run, tmp_path / "events") for _ in range(2))
    assert first == second
    reader = EventAccumulator(str(tmp_path / "events"))
    reader.Reload()
    tags = reader.Tags()["scalars"]
    assert {"loss/train", "loss/test", "accuracy/test", "accuracy of a class/9"} <= set(tags)
    for tag, column in {
        "loss/test": "test_loss",
        "accuracy of a class/9": "test_accuracy_9",
    }.items():
        scalars = reader.Scalars(tag)
        assert [one.step for one in scalars] == list(range(1, 13))
        # kept as float32 there
        assert [one.value for one in scalars] == [np.float32(row[column]) for row in run.rows]


def test_the_command_says_what_it_made(in_process, runs_28, tmp_path):
    for kind, made in {
        "torch": "deep.pt",
        "onnx": "deep.onnx",
        "tensorboard": "tensorboard",
    }.items():
        done = in_process("export", str(runs_28["deep"]), "--to", kind)
        assert done.returncode == 0, done.stderr
        assert made in done.stdout
        assert (tmp_path / made).exists()
    done = in_process("export", str(runs_28["deep"]), "--to", "caffe")
    assert done.returncode == 2
    assert "must be one of torch, onnx, tensorboard" in done.stderr


@pytest.mark.parametrize("package", ["onnx", "tensorboard"])
def test_without_the_extra_it_says_so(runs_28, tmp_path, monkeypatch, package):
    for module in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    write = {"onnx": write_onnx, "tensorboard": write_events}[package]
    with pytest.raises(InputError, match=rf"pip install 'mnist-fn\[{package}\]'"):
        write(load_run(runs_28["linear"]), tmp_path / "x")
