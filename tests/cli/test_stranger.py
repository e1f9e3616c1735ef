"""The path of a stranger on the command line, with real pictures: their own set trained, looked
at and taken elsewhere; weights from elsewhere gone on with.
"""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from mnist_fn.shared.data import datasets
from mnist_fn.shared.data.datasets import scale_pixels
from tests.exchange.test_exporting import ALONE
from tests.support.letters import letters, write_letters
from tests.support.picture_kinds import KINDS

MEAN, STD = 0.1307, 0.3081
PHOTOS = 12


@pytest.fixture
def said(command):
    """What a command that must succeed prints."""

    def run(*arguments):
        done = command(*arguments)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


def photographed(folder, split):
    """Photos of letters under a shadow, each named after what is on it."""
    pictures, labels = letters(split, 40)
    pool = list(zip(pictures, labels.tolist(), strict=True))
    folder.mkdir()
    for index in range(PHOTOS):
        photo = KINDS["shadow from a side"](np.random.default_rng((18, index)), pool)
        (folder / f"{index:02}-{chr(64 + photo.labels[0])}.jpg").write_bytes(photo.content)


@pytest.mark.long
def test_letters_of_ones_own(said, mnist, tmp_path):
    (tmp_path / "mine").mkdir()
    write_letters(tmp_path / "mine", mnist, train=500, test=40)
    data = ("--data-dir", "mine")
    trained = said("train", "--dataset", "emnist-letters", *data, "--hidden", "128",
                   "--epochs", "15", "--learning-rate", "1e-3", "--out", "run")  # fmt: skip
    assert "26 classes, labels 1 to 26; not used: 0" in trained.stderr
    assert "they are turned upright" in trained.stderr
    summary = json.loads(said("evaluate", "run", *data, "--json").stdout)
    assert summary["accuracy"] > 0.8  # 0.85 of 26 signs were read; chance is 0.04

    said("report", "run", *data, "--out", "pages/mine.html")
    page = (tmp_path / "pages" / "mine.html").read_text()
    assert "Draw a letter" in page
    assert ">Z</th>" in page

    photographed(tmp_path / "photos", mnist.test)
    read = json.loads(said("predict", "run", "photos", "--json").stdout)["predictions"]
    assert len(read) == PHOTOS
    right = [one["label"] == one["image"].removesuffix(".jpg")[-1] for one in read]
    assert sum(right) >= 0.75 * PHOTOS  # 48 of 60 such photos were read
    one = said("predict", "run", read[right.index(True)]["image"])
    assert f": {read[right.index(True)]['label']} (" in one.stdout

    said("export", "run", "--to", "onnx")
    pictures, labels = letters(mnist.test, 40)
    np.save(tmp_path / "pixels.npy", scale_pixels(pictures, "float32").reshape(len(labels), -1))
    done = subprocess.run([sys.executable, "-c", ALONE, "run.onnx", "pixels.npy", "logits.npy"],
                          capture_output=True, text=True, check=True, cwd=tmp_path)  # fmt: skip
    there, metadata = json.loads(done.stdout)
    assert there == []
    assert json.loads(metadata["classes"])[25] == "Z"
    found = np.load(tmp_path / "logits.npy").argmax(axis=1) == labels - 1
    assert np.mean(found) == pytest.approx(summary["accuracy"], abs=1e-9)


def trained_elsewhere(mnist) -> nn.Sequential:
    """An epoch of somebody's own loop, on pixels scaled as PyTorch's examples do."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(),
                          nn.Linear(32, 10))  # fmt: skip
    images = torch.from_numpy((scale_pixels(mnist.train.images, "float32") - MEAN) / STD)
    labels = torch.from_numpy(mnist.train.labels.astype(np.int64))
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for batch in torch.randperm(len(labels)).split(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[batch].flatten(1)), labels[batch]).backward()
        optimizer.step()
    return model


@pytest.mark.long
def test_weights_from_elsewhere(said, mnist, cases, tmp_path):
    model = trained_elsewhere(mnist)
    torch.save({"epoch": 1, "model_state_dict": model.state_dict()}, tmp_path / "theirs.pt")
    images = torch.from_numpy((scale_pixels(mnist.test.images, "float32") - MEAN) / STD)
    with torch.no_grad():
        there = model(images.flatten(1)).argmax(dim=1).numpy()
    run = "runs/theirs"
    said("import", "theirs.pt", "--pixels", "mean-std")
    here = json.loads(said("evaluate", run, "--json").stdout)
    # float32's sums in another order may turn a tie, and no more
    assert abs(here["accuracy"] - np.mean(there == mnist.test.labels)) <= 2e-4

    photos = [cases / "pictures" / name for name in ("shaded-0.jpg", "shaded-2.jpg", "even-7.jpg")]
    read = json.loads(said("predict", run, *map(str, photos), "--json").stdout)["predictions"]
    assert [one["class_index"] for one in read] == [0, 2, 7]

    said("report", run, "--out", "theirs.html")
    page = (tmp_path / "theirs.html").read_text()
    assert "network, imported from theirs.pt." in page
    assert "trained in" not in page

    said("train", "--resume", run, "--epochs", "2")
    longer = json.loads(said("evaluate", run, "--json", "--backend", "torch").stdout)
    assert longer["loss"] < here["loss"]
    said("report", run, "--out", "theirs.html")
    page = (tmp_path / "theirs.html").read_text()
    assert "imported from theirs.pt, after 1 more epoch with jax on cpu" in page


def test_the_letters_are_in_emnists_form(mnist, tmp_path):
    write_letters(tmp_path, mnist, train=3, test=2)
    found = datasets.load("emnist-letters", tmp_path)
    pictures, labels = letters(mnist.test, 2)
    assert np.array_equal(found.test.images, pictures)
    assert np.array_equal(found.test.labels, labels - 1)
    assert (found.classes, found.data_spec.transposed_on_load, found.data_spec.names[25]) == (
        26,
        True,
        "Z",
    )
