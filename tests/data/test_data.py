"""The IDX reader, the search for files, the checks on their content, the splits."""

import gzip
import io
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnist_fn.shared.config import Config
from mnist_fn.shared.data import datasets, files
from mnist_fn.shared.data.arrays import read_idx
from mnist_fn.shared.errors import InputError
from tests.support.idx_files import idx_bytes


def write_dataset(folder, zipped=False, n=(40, 12), side=6, labels=10):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for prefix, count in zip(("train", "t10k"), n, strict=True):
        for file, array in (
            (f"{prefix}-images-idx3-ubyte", rng.integers(0, 256, (count, side, side))),
            (f"{prefix}-labels-idx1-ubyte", rng.integers(0, labels, count)),
        ):
            content = idx_bytes(array)
            path = folder / (file + (".gz" if zipped else ""))
            path.write_bytes(gzip.compress(content) if zipped else content)
    return folder


@given(
    shape=st.lists(st.integers(1, 9), min_size=3, max_size=3),
    seed=st.integers(0, 99),
    zipped=st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_idx_round_trip(tmp_path_factory, shape, seed, zipped):
    array = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(gzip.compress(idx_bytes(array)) if zipped else idx_bytes(array))
    read, _ = read_idx(path, 3)
    assert np.array_equal(read, array)


@given(
    content=st.one_of(
        st.binary(max_size=200),
        st.binary(max_size=60).map(lambda tail: bytes([0, 0, 8, 3]) + tail),
        st.binary(max_size=60).map(lambda tail: b"\x1f\x8b\x08" + tail),
        st.binary(max_size=60).map(lambda tail: gzip.compress(bytes([0, 0, 8, 3]) + tail)),
    )
)
@settings(deadline=None, max_examples=300)
def test_any_bytes_give_an_array_or_one_clear_line(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(content)
    try:
        array, _ = read_idx(path, 3)
    except InputError as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)
    else:
        assert array.size > 0


def corrupt(kind, folder):
    images, labels = folder / files.FILES[0], folder / files.FILES[1]
    good = images.read_bytes()
    if kind == "truncated":
        images.write_bytes(good[:-1])
    elif kind == "too long":
        images.write_bytes(good + b"\0")
    elif kind == "magic":
        images.write_bytes(b"\0\0\x09" + good[3:])
    elif kind == "empty":
        images.write_bytes(b"")
    elif kind == "huge claim":
        images.write_bytes(bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**31, 28, 28))
    elif kind == "no images":
        images.write_bytes(bytes([0, 0, 8, 3]) + struct.pack(">3I", 0, 28, 28))
    elif kind == "sizes":
        labels.write_bytes(idx_bytes(np.zeros(39)))
    elif kind == "shape":
        images.write_bytes(idx_bytes(np.zeros((40, 5, 6))))
    elif kind == "broken gzip":
        images.write_bytes(gzip.compress(good)[:-9])
    elif kind == "folder":
        images.unlink()
        images.mkdir()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("truncated", "claims 1440 values, the file holds only 1439"),
        ("too long", "the file holds more"),
        ("magic", "expected IDX magic 00000803"),
        ("empty", "found an empty file"),
        ("huge claim", "2147483648 x 28 x 28"),
        ("no images", "0 x 28 x 28"),
        ("sizes", "39 labels for 40 images"),
        ("shape", "images of 6x6, those of train are 5x6"),
        ("broken gzip", "broken gzip"),
        ("folder", "not found"),
    ],
)
def test_each_kind_of_bad_file_is_named(tmp_path, kind, said):
    folder = write_dataset(tmp_path / "d")
    corrupt(kind, folder)
    with pytest.raises(InputError, match=said):
        datasets.load("idx", folder)


def test_a_gzip_bomb_is_not_swallowed(tmp_path):
    path = tmp_path / "bomb"
    header = bytes([0, 0, 8, 3]) + struct.pack(">3I", 10, 10, 10)
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb") as file:
        file.write(header)
        for _ in range(200):
            file.write(bytes(2**20))
    path.write_bytes(stream.getvalue())
    tracemalloc.start()
    with pytest.raises(InputError, match="claims 1000 values, the file holds more"):
        read_idx(path, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 2**20  # of the 200 MB inside


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("layout", [".", "MNIST/raw"])
def test_files_are_found_flat_or_in_torchvisions_layout(tmp_path, zipped, layout, monkeypatch):
    write_dataset(tmp_path / layout, zipped)
    assert files.find("mnist", tmp_path) is not None
    monkeypatch.setenv("MNIST_FN_DATA", str(tmp_path))
    assert files.find("mnist") is not None


def test_other_content_than_mnists_is_refused(tmp_path):
    with pytest.raises(InputError, match="not mnist's: SHA-256 should begin ba891046e6505d7a"):
        datasets.load("mnist", write_dataset(tmp_path))


@pytest.mark.parametrize("name", ["fashion-mnist", "kmnist"])
def test_datasets_known_by_their_gz_are_checked_by_it(tmp_path, name):
    with pytest.raises(InputError, match=r"checksums of its \.gz files only"):
        datasets.load(name, write_dataset(tmp_path / "raw"))
    with pytest.raises(InputError, match=f"not {name}'s"):
        datasets.load(name, write_dataset(tmp_path / "gz", zipped=True))


def test_a_whole_set_is_not_told_to_be_zipped(tmp_path):
    images, labels = np.zeros((2, 28, 28), np.uint8), np.array([0, 1])
    arrays = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    np.savez(tmp_path / "kmnist.npz", **arrays)
    with pytest.raises(InputError) as caught:
        datasets.load("kmnist", tmp_path)
    assert str(caught.value).endswith('only; use `dataset="idx"` to read it unchecked')


def test_a_data_dir_without_the_files_is_not_passed_over(tmp_path, monkeypatch):
    monkeypatch.setenv("MNIST_FN_DATA", str(write_dataset(tmp_path / "there")))
    with pytest.raises(InputError, match="elsewhere; put train-images-idx3-ubyte"):
        datasets.load("mnist", tmp_path / "elsewhere")


def test_a_variable_that_names_no_folder_is_not_passed_over(tmp_path, monkeypatch):
    monkeypatch.setenv("MNIST_FN_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"MNIST_FN_DATA=.*nowhere: no such folder; correct"):
        datasets.load("mnist", download=False)


def test_real_mnist_is_what_it_should_be(mnist):
    assert mnist.train.images.shape == (60_000, 28, 28)
    assert mnist.test.images.shape == (10_000, 28, 28)
    assert mnist.train.labels[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]
    assert mnist.train.images.dtype == np.uint8


def test_digits_are_scikit_learns_of_their_own_file(digits):
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    test = np.arange(1797) % 5 == 0
    assert digits.test.labels.tolist() == labels[test].tolist()
    assert digits.train.labels.tolist() == labels[~test].tolist()
    assert (digits.test.images.reshape(-1, 64) == np.rint(images[test] * 255 / 16)).all()


def test_digits_split_is_fixed_and_spans_the_byte(digits):
    assert (len(digits.train), len(digits.test)) == (1437, 360)
    assert (digits.train.images.min(), digits.train.images.max()) == (0, 255)
    assert digits.sha256.startswith("a19cb3d96bba7dea")


def test_validation_is_held_out_of_train():
    config = Config(dataset="digits", validation=300, seed=3)
    split, whole = datasets.load_for(config), datasets.load("digits")
    assert (len(split.train), len(split.validation), len(split.test)) == (1137, 300, 360)
    key = lambda images: {image.tobytes() for image in images}  # noqa: E731
    assert key(split.train.images) | key(split.validation.images) == key(whole.train.images)
    other = datasets.load_for(config.replace(seed=4))
    assert not np.array_equal(split.validation.images, other.validation.images)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"validation": 1437}, "`validation=1437`"),
        ({"batch_size": 1438}, "`batch_size=1438`"),
        ({"validation": 1300, "batch_size": 138}, "at most the 137"),
    ],
)
def test_splits_and_batches_that_train_cannot_give(changes, said):
    with pytest.raises(InputError, match=said):
        datasets.load_for(Config(dataset="digits", **changes))


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_pixels_are_the_exact_quotients_by_255(precision):
    grey = np.arange(256, dtype=np.uint8).reshape(4, 8, 8)
    scaled = datasets.scale_pixels(grey, precision)
    assert scaled.shape == (4, 64)
    assert scaled.dtype == precision
    assert np.array_equal(scaled.ravel(), grey.ravel().astype(precision) / scaled.dtype.type(255))
