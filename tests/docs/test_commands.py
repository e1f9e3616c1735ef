"""Every command and every block of Python on the pages is run, or it is said why not."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import make_porting
import numpy as np
import pytest
from PIL import Image
from typer.main import get_command

from cli.main import app
from tests.support import pages, quick_forms
from tests.support.pages import ROOT

ALL = [one for page in pages.pages() for one in pages.commands(page)]
RUN = [one for one in ALL if quick_forms.reason(one.text) is None]
BLOCKS = [one for page in pages.pages() for one in pages.python_blocks(page)]
RUNNER = """
import json, sys
from cli.main import main
wrong = []
for page, arguments, codes in json.load(open(sys.argv[1])):
    sys.argv = ["mnist-fn", *arguments]
    print("::", page, arguments, file=sys.stderr, flush=True)
    try:
        main()
    except SystemExit as ended:
        if ended.code not in codes:
            wrong.append((page, arguments, ended.code))
sys.exit(f"wrong: {wrong}" if wrong else 0)
"""


def test_every_command_is_run_or_has_a_reason():
    assert len(ALL) > 80
    assert len(RUN) > 40
    for one in RUN:
        assert quick_forms.quick_forms(one.text), f"{one}: neither run nor in NOT_RUN"


def parsed(arguments):
    """A command's options as click takes them, none carried out."""
    command = get_command(app)
    context = command.make_context("mnist-fn", list(arguments))
    while hasattr(command, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)
    return context.params


def test_every_command_has_the_options_that_the_page_says():
    assert parsed(["train", "--l2", "3e-5"])["l2"] == 3e-5
    with pytest.raises(Exception, match="No such option: --none"):
        parsed(["train", "--none"])
    for one in RUN:
        for arguments in quick_forms.quick_forms(one.text):
            assert parsed(arguments), one


def test_every_reason_is_of_a_command_that_is_there():
    for pattern in quick_forms.NOT_RUN:
        assert [one for one in ALL if re.search(pattern, one.text)] or "fetch" in pattern, pattern


def test_a_command_that_nobody_knows_is_seen():
    with pytest.raises(ValueError, match="no quick form"):
        quick_forms.quick_forms("python my_own.py")
    assert quick_forms.reason("python my_own.py") is None


@pytest.fixture(scope="module")
def place(prepared_digits, digits, tmp_path_factory) -> Path:
    """A folder with what the pages take for given: data, a run, a photo, a port, a state dict."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "data").mkdir()
    (folder / "letters").mkdir()
    for file in prepared_digits.iterdir():
        shutil.copy(file, folder / "data" / file.name)
        content = np.frombuffer(file.read_bytes(), np.uint8).copy()
        if "labels" in file.name:
            content[8:] += 1  # after the header: EMNIST's letters begin with 1
        content.tofile(folder / "letters" / f"emnist-letters-{file.name}")
    picture = Image.fromarray(255 - digits.test.images[0] * 15).resize((200, 200))
    paper = Image.new("L", (400, 400), 255)
    paper.paste(picture, (100, 100))
    (folder / "photos").mkdir()
    paper.save(folder / "photo.jpg")
    paper.save(folder / "photos" / "one.png")
    (folder / "my_port.py").write_text(make_porting.FILE)
    (folder / "docs" / "evidence").mkdir(parents=True)
    run(folder, [["train", *quick_forms.IDX, *quick_forms.SMALL, "--out", "runs/mine"],
                 ["export", "runs/mine", "--to", "torch", "--out", "model.pt"],
                 ["export", "runs/mine", "--to", "onnx", "--out", "mine.onnx"]])  # fmt: skip
    return folder


def run(folder, commands, codes=(0,)):
    todo = [one if len(one) == 3 and isinstance(one[1], list) else ["", one, codes]
            for one in commands]  # fmt: skip
    (folder / "todo.json").write_text(json.dumps(todo))
    done = python(folder, "-c", RUNNER, "todo.json")
    assert done.returncode == 0, done.stderr[-3000:]


def python(folder, *arguments):
    env = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache")}
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=env, text=True,
                          capture_output=True, timeout=900, check=False)  # fmt: skip


@pytest.mark.long
def test_every_command_does_its_work(place):
    todo = {}
    for one in RUN:
        for arguments in quick_forms.quick_forms(one.text):
            codes = (0, 1) if arguments[0] in quick_forms.JUDGED else (0,)
            todo.setdefault(tuple(arguments), [str(one), arguments, codes])
    run(place, list(todo.values()))


SIDES = """
import flax.linen as nn, numpy as np, optax, torch
from mnist_fn.parity import FlaxProgram, record
from torch_ref.parity import TorchProgram
model, module = torch.nn.Linear(5, 3), nn.Dense(3)
torch_loss = torch.nn.functional.cross_entropy
jax_loss = lambda z, y: optax.softmax_cross_entropy_with_integer_labels(z, y).mean()
rng = np.random.default_rng(0)
inputs, targets = rng.normal(size=(8, 5)), rng.integers(0, 3, 8)
"""
PICTURES = """
from pathlib import Path
from mnist_fn.shared.data.datasets import load
pictures = load("idx", Path("data")).test.images
"""
ARRAYS = """
from pathlib import Path
from mnist_fn.shared.data.datasets import load
files = load("idx", Path("data"))
train_images, train_labels = files.train.images, files.train.labels
test_images, test_labels = files.test.images, files.test.labels
"""
RECORDED = f"""{SIDES}
record(TorchProgram(model, loss=torch_loss), [(inputs, targets)], "reference.safetensors")
port = FlaxProgram(module, loss=jax_loss)
"""
# The page, words of the block, what its reader has before, what stands shorter, what comes after.
RUN_BLOCKS = [
    (
        "docs/data.md",
        "Dataset.from_arrays(",
        ARRAYS,
        (r"\(64,\)", "(8,), epochs=1"),
        "assert run.config.dataset == 'arrays'",
    ),
    ("docs/exchange.md", "onnxruntime.InferenceSession", PICTURES, None, ""),
    ("docs/parity.md", "check_backends(", "", None, "assert verdict.passed"),
    ("docs/porting.md", "def test_my_port", SIDES, None, "test_my_port()"),
    ("docs/predict.md", "read_digits(", "", None, "assert digit.label"),
    ("docs/porting.md", "Recording(", RECORDED, None, ""),
    ("docs/versions.md", "xnn_graph_fusion", "", None, ""),
]
ELSEWHERE = {  # words of the block: where it is run
    "train(Config(l2=3e-5": "tests/docs/test_readme.py",
    "to_state_dict(run.weights)": "tests/docs/test_readme.py",
    "callbacks=Callbacks(": "tests/docs/test_readme.py",
    "import logging": "tests/docs/test_readme.py",
    "figures.curves.plot(runs)": "tests/docs/test_readme.py",
    'schedule="cosine")': "tests/docs/test_readme.py",
    "make_train_epoch(model": "tests/docs/test_readme.py",
    "def make(config": "tests/parity/test_newcomer.py",
    "class Reference(torch.nn.Module)": "tests/docs/test_porting_docs.py",
    "from torch_ref import model as reference_model": "tests/parity/test_port_own.py",
}


def test_every_block_of_python_is_run_once():
    for block in BLOCKS:
        here = [one for one in RUN_BLOCKS if one[0] == block.page and one[1] in block.text]
        there = [words for words in ELSEWHERE if words in block.text]
        assert len(here) + len(there) == 1, f"{block}: run it here, or say where it is run"
    assert all((ROOT / file).is_file() for file in ELSEWHERE.values())
    assert len(BLOCKS) == len(RUN_BLOCKS) + len(ELSEWHERE)


@pytest.mark.long
@pytest.mark.parametrize("known", RUN_BLOCKS, ids=lambda known: f"{known[0]}: {known[1]}")
def test_a_block_of_python_runs(place, known):
    page, words, before, shorter, after = known
    (block,) = [one for one in BLOCKS if one.page == page and words in one.text]
    text = block.text
    if shorter is not None:
        text, changed = re.subn(*shorter, text)
        assert changed
    done = python(place, "-W", "ignore", "-c", f"{before}\n{text}\n{after}\n")
    assert done.returncode == 0, done.stderr[-2000:]
