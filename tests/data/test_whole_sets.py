"""Sets in the files that most people have: archives, tables, folders of pictures, any shape."""

import gzip

import numpy as np
import pytest
from PIL import Image

from mnist_fn.shared.data import datasets, files
from mnist_fn.shared.data.arrays import as_images, as_labels
from mnist_fn.shared.data.datasets import Dataset
from mnist_fn.shared.errors import InputError
from tests.data.test_sets import arrays, write
from tests.support.idx_files import idx_bytes, idx_int_bytes

SQUARE = [np.pad(one, ((0, 0), (0, 0), (1, 1))) if one.ndim == 3 else one for one in arrays()]


@pytest.fixture
def expected(tmp_path):
    return datasets.load("idx", write(tmp_path / "expected", SQUARE))


def same(one, other) -> None:
    assert one.sha256 == other.sha256
    for name in ("train", "test"):
        split, like = getattr(one, name), getattr(other, name)
        assert np.array_equal(split.images, like.images)
        assert np.array_equal(split.labels, like.labels)


SHAPES = {
    "in rows": lambda x: x.reshape(len(x), -1),
    "a channel last": lambda x: x[..., None],
    "a channel first": lambda x: x[:, None],
    "float 0-1": lambda x: (x / 255).astype(np.float32),
    "float 0-255": lambda x: x.astype(float),
    "int64": lambda x: x.astype(int),
    "flat floats": lambda x: (x / 255).reshape(len(x), -1),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_keras_archive_in_any_shape(tmp_path, expected, shape):
    train, train_labels, test, test_labels = SQUARE
    np.savez_compressed(
        tmp_path / "mnist.npz",
        x_train=SHAPES[shape](train), y_train=train_labels.astype(float),
        x_test=SHAPES[shape](test), y_test=np.eye(3)[test_labels],
    )  # fmt: skip
    same(datasets.load("idx", tmp_path), expected)


@pytest.mark.mnist
def test_keras_archive_of_mnist_is_mnist(tmp_path, mnist):
    np.savez(tmp_path / "mnist.npz", x_train=mnist.train.images, y_train=mnist.train.labels,
             x_test=mnist.test.images, y_test=mnist.test.labels)  # fmt: skip
    same(datasets.load("mnist", tmp_path), mnist)


@pytest.mark.parametrize("names", [("images", "labels"), ("x", "y"), ("data", "target")])
def test_two_archives(tmp_path, expected, names):
    for split, (images, labels) in (("train", SQUARE[:2]), ("test", SQUARE[2:])):
        arrays_by_name = {names[0]: images, names[1]: labels}
        np.savez(tmp_path / f"{split}.npz", **arrays_by_name)  # pyright: ignore
    same(datasets.load("idx", tmp_path), expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_arrays_in_memory(expected, shape):
    train, train_labels, test, test_labels = SQUARE
    dataset = Dataset.from_arrays(SHAPES[shape](train), train_labels.tolist(), SHAPES[shape](test),
                                  np.eye(3)[test_labels], ["ant", "bee", "cow"])  # fmt: skip
    same(dataset, expected)
    assert dataset.data_spec.names == ("ant", "bee", "cow")


def test_arrays_that_dont_fit_are_refused_by_argument(expected):
    train, train_labels, test, test_labels = SQUARE
    for given, said in (
        ((train, train_labels[1:], test, test_labels), "`train_labels`: 29 labels for 30 images"),
        ((train, train_labels, test[:, 1:], test_labels), "`test_images`: images of 7x8"),
        ((train, train_labels, 255 - test, test_labels), "`test_images`: its pictures are dark"),
        ((train - 300.0, train_labels, test, test_labels), "`train_images`: pixels from"),
        ((train, train_labels, test, test_labels, ["a"]), "`class_names`: has no name for label 1"),
    ):
        with pytest.raises(InputError, match=said):
            Dataset.from_arrays(*given)  # pyright: ignore


def table(path, images, labels, head=True):
    rows = np.column_stack([labels, images.reshape(len(images), -1)])
    names = ",".join(["label", *(f"pixel{i}" for i in range(rows.shape[1] - 1))])
    np.savetxt(path, rows, "%d", ",", header=names if head else "", comments="")


@pytest.mark.parametrize("head", [True, False])
def test_tables(tmp_path, expected, head):
    table(tmp_path / "train.csv", *SQUARE[:2], head=head)
    table(tmp_path / "test.csv", *SQUARE[2:], head=head)
    same(datasets.load("idx", tmp_path), expected)


def test_kaggles_tables_whose_test_has_no_labels(tmp_path):
    table(tmp_path / "train.csv", SQUARE[0], SQUARE[1])
    pixels = SQUARE[2].reshape(12, -1)
    head = ",".join(f"pixel{i}" for i in range(64))
    np.savetxt(tmp_path / "test.csv", pixels, "%d", ",", header=head, comments="")
    dataset = datasets.load("idx", tmp_path)
    assert (len(dataset.train), len(dataset.test)) == (25, 5)
    assert "test.csv has no labels: every 7th of its 30 labelled examples" in str(dataset.notes[0])


@pytest.mark.parametrize("named", [False, True])
def test_folders_of_pictures_by_class(tmp_path, expected, named):
    names = ("ant", "bee", "cow") if named else ("0", "1", "2")
    order = {}
    for split, images, labels in (("train", *SQUARE[:2]), ("test", *SQUARE[2:])):
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            folder = tmp_path / split / names[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{i:03}.png")
        order[split] = np.argsort(labels, kind="stable")
    dataset = datasets.load("idx", tmp_path)
    assert np.array_equal(dataset.train.images, expected.train.images[order["train"]])
    assert np.array_equal(dataset.test.labels, expected.test.labels[order["test"]])
    assert dataset.data_spec.names == names
    only = datasets.load("idx", tmp_path / "train")
    assert (len(only.train), len(only.test)) == (25, 5)


def test_one_hot_labels_are_read_and_other_columns_refused(tmp_path, expected):
    one_hot = np.eye(3, dtype=np.uint8)[SQUARE[1]]
    folder = write(tmp_path, SQUARE)
    (folder / files.FILES[1]).write_bytes(idx_bytes(one_hot))
    same_labels = datasets.load("idx", folder)
    assert np.array_equal(same_labels.train.labels, expected.train.labels)
    (folder / files.FILES[1]).write_bytes(idx_bytes(one_hot * 2))
    with pytest.raises(InputError, match="3 columns that are no one-hot labels"):
        datasets.load("idx", folder)
    columns = np.column_stack([SQUARE[1], *np.full((7, 30), 5)])
    (folder / files.FILES[1]).write_bytes(idx_bytes(columns))  # as QMNIST's, but in bytes
    with pytest.raises(InputError, match="8 columns that are no one-hot"):
        datasets.load("idx", folder)
    (folder / files.FILES[1]).write_bytes(idx_int_bytes(columns))
    assert np.array_equal(datasets.load("idx", folder).train.labels, expected.train.labels)


@pytest.mark.parametrize("part", [0, 2])
def test_splits_of_two_polarities_are_refused(tmp_path, part):
    made = list(SQUARE)
    made[part] = 255 - made[part]
    with pytest.raises(InputError, match=r"t10k-images.* its pictures are .* on .*invert one"):
        datasets.load("idx", write(tmp_path, made))


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.full((3, 4, 4), -0.42), "pixels from -0.42 to -0.42; .* undo what"),
        (np.zeros((3, 10)), r"shape \(3, 10\)"),
        (np.zeros((3, 4, 4, 3)), r"shape \(3, 4, 4, 3\)"),
        (np.zeros((0, 4, 4)), "without pixels"),
        (np.zeros((3, 4, 4), "U1"), "an array of <U1"),
    ],
)
def test_what_are_no_pictures(array, said):
    with pytest.raises(InputError, match=said):
        as_images("x", array)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.array([0.5, 1]), "no whole numbers"),
        (np.array([0, np.nan]), "labels from nan"),
        (np.array(["3", "4"]), "an array of <U1"),
        (np.zeros((2, 2, 2)), r"shape \(2, 2, 2\)"),
    ],
)
def test_what_are_no_labels(array, said):
    with pytest.raises(InputError, match=said):
        as_labels("x", array)


def header_little(array):
    return idx_bytes(array)[:4] + np.array(array.shape, "<u4").tobytes() + array.tobytes()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!DOCTYPE html><html><body>404", "found a web page"),
        (b"\n <html>", "found a web page"),
        (header_little(SQUARE[0]), r"in the other byte order \(30 x 8 x 8 values\)"),
        (idx_bytes(SQUARE[0])[:4][::-1] + bytes(99), "03080000, which is in the other byte order"),
        (b"PK\x05\x06" + bytes(30), "a zip archive; unpack it"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"", "an empty file"),
        (gzip.compress(b"<html>"), "found a web page"),
    ],
    ids=lambda value: "file" if isinstance(value, bytes) else None,  # gzip's has the time in it
)
def test_what_it_is_instead(tmp_path, content, said):
    folder = write(tmp_path, SQUARE)
    (folder / files.FILES[0]).write_bytes(content)
    with pytest.raises(InputError, match=said):
        datasets.load("idx", folder)


@pytest.mark.parametrize("name", ["{} (1)", "{}(2)", "{} (1).gz", "{}.gz (1)"])
def test_a_browsers_copy_is_found_where_the_file_is_not(tmp_path, expected, name):
    folder = write(tmp_path, SQUARE)
    path = folder / files.FILES[0]
    content = path.read_bytes()
    path.rename(folder / name.format(files.FILES[0]))
    same(datasets.load("idx", folder), expected)
    other = idx_bytes(SQUARE[0] // 2)
    (folder / name.format(files.FILES[0])).write_bytes(other)
    path.write_bytes(content)
    same(datasets.load("idx", folder), expected)


def test_a_class_that_only_the_test_pictures_have(tmp_path):
    for split, names in (("train", "01"), ("test", "012")):
        for name in names:
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            Image.fromarray(SQUARE[0][0]).save(folder / "a.png")
    with pytest.raises(InputError, match="a class that the training pictures don't have"):
        datasets.load("idx", tmp_path)
