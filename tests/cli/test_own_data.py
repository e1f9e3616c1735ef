"""A stranger's own data on the command line: what is said, and what is refused."""

import json

import numpy as np
import pytest

from mnist_fn.shared.data import files
from mnist_fn.shared.runs.folder import RunFolder
from tests.support.idx_files import idx_bytes


@pytest.fixture(scope="module")
def letters(cases, tmp_path_factory):
    """A run on the public letters, trained on the tiniest model."""
    from mnist_fn import Config, train

    config = Config(dataset="emnist-letters", hidden=(), epochs=8, batch_size=13,
                    learning_rate=5e-3)  # fmt: skip
    return train(
        config, data_dir=cases / "idx", out=tmp_path_factory.mktemp("runs") / "letters"
    ).path


def test_a_run_keeps_its_classes_and_how_its_pictures_stand(letters):
    header = RunFolder(letters).read_header()
    assert header.num_classes == 26
    assert header.data_spec.names[0] == "A"
    assert header.data_spec.transposed_on_load
    assert json.loads((letters / "run.json").read_text())["data_spec"]["names"][25] == "Z"


def test_evaluate_speaks_in_the_classes_names(letters, cases, in_process):
    done = in_process("evaluate", str(letters), "--data-dir", str(cases / "idx"))
    assert done.returncode == 0
    assert "another test set" not in done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[0] for row in rows if len(row) > 2 and row[1] == "1"] == list(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    )
    assert "nan" not in done.stdout


def test_evaluate_on_another_test_set_of_the_same_form(letters, cases, in_process, tmp_path):
    from mnist_fn.shared.data import datasets

    test = datasets.load("emnist-letters", cases / "idx").test
    few = tmp_path / "few"
    few.mkdir()  # upright, labels 1 to 26, no class after C, no train files at all
    kept = test.labels < 3
    (few / "test-images.idx3-ubyte").write_bytes(idx_bytes(test.images[kept]))
    (few / "test-labels.idx1-ubyte").write_bytes(idx_bytes(test.labels[kept] + 1))
    done = in_process("evaluate", str(letters), "--data-dir", str(few), "--json")
    found = json.loads(done.stdout)
    assert "another test set than the run's (SHA-256 " + found["dataset_sha256"][:16] in done.stderr
    assert np.array(found["confusion_matrix"]).sum() == 3
    assert found["per_class_accuracy"][3:] == [None] * 23
    shown = in_process("evaluate", str(letters), "--data-dir", str(few))
    assert "nan" not in shown.stdout
    assert "–" in shown.stdout


@pytest.mark.parametrize(
    ("labels", "images", "said"),
    [
        ([1, 2, 30], np.zeros((3, 28, 28)), "label 30 is none of the 26 classes, 1 to 26"),
        ([1, 2, 3], np.full((3, 28, 28), 255), "dark on light, those of the run light on dark"),
        ([1, 2, 3], np.zeros((3, 8, 8)), "trained on images of 784 pixels, these have 64"),
        ([1, 2], np.zeros((3, 28, 28)), "2 labels for 3 images"),
    ],
)
def test_a_test_set_of_another_form_is_refused(letters, in_process, tmp_path, labels, images, said):
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "test-images-idx3-ubyte").write_bytes(idx_bytes(images))
    (folder / "test-labels-idx1-ubyte").write_bytes(idx_bytes(np.array(labels)))
    done = in_process("evaluate", str(letters), "--data-dir", str(folder))
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_what_is_unusual_is_said_once(cases, in_process, tmp_path):
    done = in_process("train", "--dataset", "emnist-letters", "--data-dir", str(cases / "idx"),
                      "--model", "linear", "--epochs", "1", "--batch-size", "20",
                      "--as-stored", "--out", str(tmp_path / "run"))  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("left transposed, as the files have them") == 1
    header = RunFolder(tmp_path / "run").read_header()
    assert (header.config.orientation, header.data_spec.transposed) == ("as-stored", True)


def test_the_study_says_why_another_set_is_not_its(letters, cases, in_process):
    done = in_process("study", "--quick", "--dataset", "emnist-letters",
                      "--data-dir", str(cases / "idx"))  # fmt: skip
    assert done.returncode == 2
    assert "it has 26 classes; the study is MNIST's" in done.stderr
    done = in_process("figures", str(letters), "--dataset", "emnist-letters", "--only", "l2",
                      "--data-dir", str(cases / "idx"))  # fmt: skip
    assert done.returncode == 2
    assert "it has 26 classes; the study is MNIST's" in done.stderr


def test_a_stranger_who_names_no_set_is_told_which_there_are(cases, in_process):
    done = in_process("train", "--data-dir", str(cases / "idx"))
    assert done.returncode == 2
    assert "holds emnist-letters, qmnist; choose one with --dataset emnist-letters" in done.stderr
    assert files.FILES[0] not in done.stderr
