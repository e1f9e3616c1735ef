"""Sets as people have them: what their files are called, their labels, names and pictures."""

import io
import zipfile

import numpy as np
import pytest

from mnist_fn.shared.data import datasets, files
from mnist_fn.shared.data.arrays import read_npz
from mnist_fn.shared.data.spec import DataSpec
from mnist_fn.shared.errors import InputError
from tests.support.idx_files import idx_bytes, idx_int_bytes

RNG = np.random.default_rng(5)
DIGIT = np.zeros((8, 6), np.uint8)
DIGIT[2:6, 2] = DIGIT[5, 2:5] = 200


def arrays(labels=(0, 1, 2), n=(30, 12), ink="light"):
    """Images and labels of train, then of test: little strokes, each class darker than the last."""
    made = []
    for count in n:
        own = np.resize(np.array(labels, np.uint8), count)
        images = np.stack([DIGIT // (1 + label % 3) for label in own])
        made += [255 - images if ink == "dark" else images, own]
    return made


def write(folder, made, names=files.FILES):
    for name, array in zip(names, made, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(idx_bytes(array))
    return folder


def npz(array, name="arr_0"):
    file = io.BytesIO()
    np.savez_compressed(file, **{name: array})
    return file.getvalue()


# the public cases


def test_emnist_letters_stand_upright_and_have_names(cases, mnist):
    letters = datasets.load("emnist-letters", cases / "idx")
    assert letters.data_spec == DataSpec(
        tuple(range(1, 27)), tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), transposed_on_load=True
    )
    assert letters.classes == 26
    assert sorted(set(letters.train.labels.tolist())) == list(range(26))
    # their content is MNIST's test digits, transposed
    known = {image.tobytes() for image in mnist.test.images}
    assert all(image.tobytes() in known for image in letters.train.images)
    said = "\n".join(map(str, letters.notes))
    assert "26 classes, labels 1 to 26; not used: 0" in said
    assert "turned upright" in said


def test_emnist_as_stored_stays_transposed(cases):
    stored = datasets.load("emnist-letters", cases / "idx", orientation="as-stored")
    upright = datasets.load("emnist-letters", cases / "idx")
    assert (stored.data_spec.transposed_on_load, stored.data_spec.transposed) == (False, True)
    assert np.array_equal(stored.data_spec.pose(upright.test.images), stored.test.images)


def test_qmnists_labels_are_the_first_of_eight_columns(cases, mnist):
    digits = datasets.load("qmnist", cases / "idx")
    assert digits.data_spec == DataSpec()
    label_of = {
        image.tobytes(): label
        for image, label in zip(mnist.test.images, mnist.test.labels, strict=True)
    }
    for split in (digits.train, digits.test):
        assert [label_of[image.tobytes()] for image in split.images] == split.labels.tolist()
    assert "qmnist: no training examples of 8" in digits.notes


def test_a_folder_of_several_sets_is_listed_and_one_is_chosen(cases):
    with pytest.raises(InputError, match=r"several sets \(emnist-letters, qmnist\); choose one"):
        datasets.load("idx", cases / "idx")
    with pytest.raises(InputError, match="which holds emnist-letters, qmnist; choose one with"):
        datasets.load("mnist", cases / "idx")


# names of files


@pytest.mark.parametrize(
    "name",
    [
        "{}-images.idx3-ubyte {}-labels.idx1-ubyte",
        "{0}-images-idx3-ubyte/{0}-images-idx3-ubyte {0}-labels-idx1-ubyte/{0}-labels-idx1-ubyte",
        "{0}-images.idx3-ubyte/{0}-images.idx3-ubyte {0}-labels.idx1-ubyte/{0}-labels.idx1-ubyte",
        "mine-{}-images-idx3-ubyte mine-{}-labels-idx1-ubyte",
        "Mine_{}_images.idx3-ubyte Mine_{}_labels.idx1-ubyte",
    ],
)
@pytest.mark.parametrize("test", ["t10k", "test"])
def test_files_are_found_under_the_names_people_have(tmp_path, name, test):
    names = [one for split in ("train", test) for one in name.format(split, split).split()]
    write(tmp_path, arrays(), names)
    dataset = datasets.load("idx", tmp_path)
    assert (len(dataset.train), len(dataset.test), dataset.classes) == (30, 12, 3)
    if "mine" in name.lower():
        assert datasets.load("mine", tmp_path).sha256 == dataset.sha256


def test_kuzushiji_49s_archives(tmp_path):
    names = [
        f"k49-{split}-{kind}.npz" for split in ("train", "test") for kind in ("imgs", "labels")
    ]
    made = arrays(labels=range(49), n=(98, 49))
    for name, array in zip(names, made, strict=True):
        (tmp_path / name).write_bytes(npz(array))
    dataset = datasets.load("k49", tmp_path)
    assert dataset.classes == 49
    assert np.array_equal(dataset.train.images, made[0])
    (tmp_path / "as-idx").mkdir()
    same = datasets.load("idx", write(tmp_path / "as-idx", made))
    assert same.sha256 == dataset.sha256  # the same content, whatever holds it


def test_what_is_missing_of_a_set_is_named(tmp_path):
    write(tmp_path, arrays(), ["mine-" + name for name in files.FILES])
    (tmp_path / "mine-t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(InputError, match=r"not found whole in .*: its test labels are missing"):
        datasets.load("mine", tmp_path)


# classes


def test_any_labels_are_classes_and_what_is_not_used_is_said(tmp_path):
    dataset = datasets.load("idx", write(tmp_path, arrays(labels=(3, 7, 200))))
    assert dataset.data_spec.labels == (3, 7, 200)
    assert dataset.data_spec.names == ("3", "7", "200")
    assert dataset.train.labels[:4].tolist() == [0, 1, 2, 0]
    assert "idx: 3 classes, labels 3, 7, 200; not used: 0 to 2, 4 to 6, 8 to 199" in dataset.notes


def test_all_256_labels(tmp_path):
    dataset = datasets.load("idx", write(tmp_path, arrays(labels=range(256), n=(512, 256))))
    assert dataset.classes == 256
    assert dataset.test.labels.tolist() == list(range(256))


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        ("none\nant\nbee\ncat\n", ("none", "ant", "bee", "cat")),  # for 0, 1, 2, 3
        ("ant\nbee\ncat\n", ("ant", "bee", "cat")),  # for those that are used
    ],
)
def test_classes_have_the_names_in_classes_txt(tmp_path, lines, names):
    (tmp_path / "classes.txt").write_text(lines)
    dataset = datasets.load("idx", write(tmp_path, arrays(labels=(1, 2, 3))))
    assert dataset.data_spec.names == names
    assert ("idx: no training examples of none" in dataset.notes) == ("none" in names)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("classes.txt", b"a\nb\n", "2 names for 3 labels, 1 to 3"),
        ("classes.txt", b"a\na\nb\n", "two labels are named a"),
        ("classes.txt", b"a\n\nb\n", "a class named ''"),
        ("classes.txt", b"a\nb\n\x1b[31m\n", "1 to 40 printable"),
        ("classes.txt", b"\xff\xfea\n", "not text in UTF-8"),
        ("classes.txt", b"x\n" * 40_000, "larger than the 65,536 bytes"),
        ("mine-mapping.txt", b"1 65\n2 66\n", "no name for label 3"),
        ("mine-mapping.txt", b"1 65\n2\n3 67\n", "line 2: expected a label and"),
        ("mine-mapping.txt", b"1 65\n2 66\n3 99999999999\n", "line 3: expected a label and"),
        ("mine-mapping.txt", b"1 65\n1 66\n3 67\n", "line 2: label 1 twice"),
        ("mine-mapping.txt", b"1 65\n2 66\n300 67\n", "line 3: label 300 twice or above 255"),
    ],
)
def test_a_file_of_names_that_fits_nothing_is_refused(tmp_path, file, content, said):
    write(tmp_path, arrays(labels=(1, 2, 3)), ["mine-" + name for name in files.FILES])
    (tmp_path / file).write_bytes(content)
    with pytest.raises(InputError, match=said) as refused:
        datasets.load("mine", tmp_path)
    assert file in str(refused.value)


def test_one_class_alone_is_refused(tmp_path):
    with pytest.raises(InputError, match="all labels are 7"):
        datasets.load("idx", write(tmp_path, arrays(labels=(7,))))


def test_a_class_that_a_known_set_has_not_is_refused(tmp_path):
    made = arrays(labels=(1, 27))
    write(tmp_path, made, ["emnist-letters-" + name for name in files.FILES])
    with pytest.raises(InputError, match="label 27, expected 1 to 26"):
        datasets.load("emnist-letters", tmp_path)


@pytest.mark.parametrize(("column", "said"), [(-1, "from -1 to 2"), (256, "from 0 to 256")])
def test_numbers_that_are_no_labels(tmp_path, column, said):
    made = arrays()
    write(tmp_path, made)
    labels = np.zeros((30, 8), int)
    labels[:, 0] = [column, *made[1][1:]]
    (tmp_path / files.FILES[1]).write_bytes(idx_int_bytes(labels))
    with pytest.raises(InputError, match=f"{said}; 0 to 255 are read"):
        datasets.load("idx", tmp_path)


# pictures


@pytest.mark.parametrize("ink", ["light", "dark"])
def test_the_border_tells_the_ink(tmp_path, ink):
    dataset = datasets.load("idx", write(tmp_path, arrays(ink=ink)))
    assert dataset.data_spec.polarity == ink
    assert ("idx: the pictures are dark on light" in dataset.notes) == (ink == "dark")


def test_where_the_border_does_not_tell_it_is_asked(tmp_path):
    made = [RNG.integers(0, 256, a.shape).astype(np.uint8) if a.ndim == 3 else a for a in arrays()]
    write(tmp_path, made)
    dataset = datasets.load("idx", tmp_path)
    assert dataset.data_spec.polarity == "unknown"
    assert 'add `ink="light"` or `ink="dark"`' in str(dataset.notes[-1])
    answered = datasets.load("idx", tmp_path, ink="dark")
    assert answered.data_spec.polarity == "dark"


def test_pixels_of_0_and_1_are_scaled_up(tmp_path):
    made = [np.minimum(a, 1) if a.ndim == 3 else a for a in arrays()]
    dataset = datasets.load("idx", write(tmp_path, made))
    assert dataset.data_spec.max_pixel == 1
    assert np.array_equal(dataset.train.images, made[0] * 255)
    assert "idx: the pixels are only 0 and 1; they are scaled up to 0 and 255" in dataset.notes


def test_pictures_of_one_value_are_said(tmp_path):
    made = [np.full_like(a, 7) if a.ndim == 3 else a for a in arrays()]
    dataset = datasets.load("idx", write(tmp_path, made))
    assert "idx: all pixels of the training pictures are 7" in dataset.notes


def test_ones_own_transposed_pictures_are_turned_when_asked(tmp_path):
    write(tmp_path, arrays())
    dataset = datasets.load("idx", tmp_path, orientation="upright")
    assert (dataset.data_spec.transposed_on_load, dataset.data_spec.transposed) == (True, False)
    assert np.array_equal(dataset.train.images[0], DIGIT.T)


# NumPy's archives


@pytest.mark.parametrize("dtype", ["uint8", "int64", ">i4", "bool"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_whole_numbers_of_any_kind_are_read(tmp_path, dtype, order):
    array = np.asarray(RNG.integers(0, 2, (5, 4, 3)), dtype=dtype, order=order)
    path = tmp_path / "file.npz"
    path.write_bytes(npz(array))
    read, _ = read_npz(path, 3)
    assert read.dtype == np.uint8
    assert np.array_equal(read, array)


def zipped(content, name="arr_0.npy", how=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def npy(shape, values=b"", descr="|u1", version=b"\x01\x00"):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header = header.ljust(117) + b"\n"
    return b"\x93NUMPY" + version + len(header).to_bytes(2, "little") + header + values


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (npz(np.zeros((2, 2, 2)) - 0.5), "pixels from -0.5 to -0.5"),
        (npz(np.full((2, 2, 2), np.nan)), "pixels from nan to nan"),
        (npz(np.zeros((2, 2, 2), complex)), "an array of complex128; numbers"),
        (npz(np.full((2, 2, 2), 256)), "pixels from 256 to 256"),
        (npz(np.zeros((2, 2), int)), r"shape \(2, 2\)"),
        (npz(np.array([{}], dtype=object)), "an array of object"),
        (zipped(npy((10**9, 10**9, 10**9))), "between 1 and 16777216 bytes"),
        (zipped(npy((2, 2, 2), bytes(7))), "claims 8 bytes of values, it holds only 7"),
        (zipped(npy((2, 2, 2), bytes(9))), "claims 8 bytes of values, it holds more"),
        (zipped(npy((2, 2, 2), bytes(8)), how=zipfile.ZIP_BZIP2), "another way than NumPy does"),
        (zipped(b"", "other.txt"), "expected one array, arr_0; it holds none"),
        (zipped(npy("(" * 3000)), "a broken .npz file"),
        (npz(np.zeros((2, 2, 2), int))[:-30], "a broken .npz file"),
        (b"PK\x03\x04", "a broken .npz file"),
    ],
    # an archive has the time in it: xdist's processes must agree on the tests' names
    ids=lambda value: "archive" if isinstance(value, bytes) else None,
)
def test_what_is_no_good_archive_is_refused(tmp_path, content, said):
    path = tmp_path / "file.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_npz(path, 3)
