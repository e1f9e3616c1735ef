"""An installation for JAX alone: what works without PyTorch, and what the rest says."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from mnist_fn.shared.errors import EXTRAS

ROOT = Path(__file__).parents[2]
WITHOUT = {"PYTHONPATH": os.pathsep.join([str(ROOT / "tests/support/without_torch"), str(ROOT)])}
TORCH = "No module named 'torch'); pip install 'mnist-fn[torch]'"
SMALL = ("--dataset", "digits", "--hidden", "8", "--epochs", "1")
IDX = ("--dataset", "idx", "--hidden", "8", "--epochs", "1")
FEW = ("--rounds", "1", "--dataset", "digits", "--hidden", "8", "--only", "train")
RUN = "runs/one"
ALL = """
import json, sys
from cli.main import main
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["mnist-fn", *arguments]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, (arguments, ended.code)
assert not {"torch", "torchvision", "torch_ref"} & set(sys.modules)
"""


def python(folder, *arguments, env=WITHOUT):
    return subprocess.run([sys.executable, *arguments], cwd=folder, env={**os.environ, **env},
                          capture_output=True, text=True, timeout=300, check=False)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory, prepared_digits):
    """A folder in which every command that needs no PyTorch has been run without it."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("jax-alone")
    drawn = Image.new("L", (60, 60), 255)
    drawn.paste(0, (28, 12, 33, 48))
    drawn.save(folder / "one.png")
    commands = (
        ("train", *SMALL, "--backend", "jax", "--out", RUN),
        ("sweep", *SMALL, "--l2", "0,1e-4"),
        ("evaluate", RUN),
        ("train", *IDX, "--data-dir", str(prepared_digits), "--out", "of-28"),
        ("predict", "of-28", "one.png", "--json"),
        ("report", "runs"),
        ("runs",),
        ("study", "--quick", "--dataset", "digits", "--only", "chosen"),
    )
    done = python(folder, "-c", ALL, json.dumps(commands))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.long
def test_a_jax_users_commands_need_no_torch(trained):
    assert (trained / "report.html").is_file()
    assert (trained / "runs-quick" / "study.json").is_file()


@pytest.mark.long
def test_doctor_and_bench_leave_out_what_is_not_here(tmp_path):
    done = python(tmp_path, "-c", ALL, json.dumps([("doctor", "--full"), ("bench", *FEW)]))
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert f"torch: not here (PyTorch's side needs torch ({TORCH})" in said
    assert "all well" in said
    assert "jax/train" in said
    assert "left out: torch/train (--backend torch: PyTorch's side needs torch" in said


@pytest.mark.long
@pytest.mark.parametrize(
    "arguments",
    [
        ("train", *SMALL, "--backend", "torch"),
        ("train", "--resume", RUN, "--epochs", "2", "--backend", "torch"),
        ("sweep", *SMALL, "--l2", "0,1", "--backend", "torch"),
        ("evaluate", RUN, "--backend", "torch"),
        ("study", "--quick", "--dataset", "digits", "--backend", "both", "--out", "both"),
        ("parity", "--dataset", "digits"),
        ("export", RUN, "--to", "torch"),
        ("import", "theirs.pt", "--pixels", "0-1"),
        ("port", "mine.py"),
        ("port", "plain.py"),
    ],
    ids=" ".join,
)
def test_the_others_say_which_extra(trained, arguments):
    folder = trained
    (folder / "mine.py").write_text("from torch_ref.parity import TorchProgram\n")
    (folder / "plain.py").write_text("import math\nimport torch\n")
    (folder / "theirs.pt").write_bytes(b"PK")
    before = sorted(folder.rglob("*"))
    done = python(folder, "-m", "cli.main", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("mnist-fn: ")
    assert line.endswith(f"needs torch ({TORCH}")
    assert sorted(folder.rglob("*")) == before


def test_python_says_it_as_an_import_error(tmp_path):
    code = """
from mnist_fn import Config, InputError, train
for attempt in (
    lambda: __import__("torch_ref.weights"),
    lambda: train(Config(dataset="digits"), backend="torch"),
):
    try:
        attempt()
    except ImportError as error:
        assert isinstance(error, InputError), type(error)
        print(error)
"""
    done = python(tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr
    assert [line.partition("(")[2] for line in done.stdout.splitlines()] == [TORCH, TORCH]


@pytest.mark.long
def test_the_check_sees_torch_where_it_is(trained):
    folder = trained
    out = json.dumps([("export", RUN, "--to", "torch", "--out", "x.pt")])
    done = python(folder, "-c", ALL, out, env={"PYTHONPATH": str(ROOT)})
    assert "AssertionError" in done.stderr
    (folder / "x.pt").unlink()


def test_every_extra_that_is_named_brings_its_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for package, extra in EXTRAS.items():
        assert any(one.startswith(package + ">") for one in extras[extra]), package
        assert not any(one.startswith(package + ">") for one in project["dependencies"])
    assert extras["all"] == ["mnist-fn[torch,onnx,tensorboard,notebook]"]
