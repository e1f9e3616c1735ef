"""What a dataset's numbers mean: classes with names, and how its pictures stand."""

import json

import numpy as np
import pytest

from mnist_fn.shared.data.files import PARTS, FileSet
from mnist_fn.shared.data.meaning import PUBLISHED, spec_of
from mnist_fn.shared.data.spec import MNIST, DataSpec
from mnist_fn.shared.errors import InputError

ABC = {"labels": (3, 7, 200), "names": ("a", "b", "c")}
PICTURE = np.array([[0, 100], [200, 255]], np.uint8)


@pytest.mark.parametrize(
    ("how", "seen"),
    [
        ({}, [[0, 100], [200, 255]]),
        ({"transposed_on_load": True}, [[0, 100], [200, 255]]),  # what was turned stands upright
        ({"transposed": True}, [[0, 200], [100, 255]]),
        ({"polarity": "dark"}, [[255, 155], [55, 0]]),
        ({"max_pixel": 1}, [[0, 0], [255, 255]]),
        ({"max_pixel": 1, "polarity": "dark", "transposed": True}, [[255, 0], [255, 0]]),
    ],
)
def test_a_picture_is_made_to_stand_as_the_runs_own_do(how, seen):
    data_spec = DataSpec(**how)
    assert data_spec.pose(PICTURE).tolist() == seen
    assert data_spec.pose(PICTURE[None])[0].tolist() == seen
    if data_spec.max_pixel == 255:
        assert data_spec.as_mnist(data_spec.pose(PICTURE)).tolist() == PICTURE.tolist()


def test_where_the_ink_is_not_known_no_picture_is_made_up():
    with pytest.raises(InputError, match='`ink="light"` or `ink="dark"`'):
        DataSpec(polarity="unknown").pose(PICTURE)


@pytest.mark.parametrize(
    "form", [MNIST, DataSpec(**ABC, transposed_on_load=True, polarity="dark", max_pixel=1)]
)
def test_round_trip_through_json(form):
    assert DataSpec.from_dict(json.loads(json.dumps(form.to_dict()))) == form


@pytest.mark.parametrize(
    "bad",
    [
        {"labels": (3, 7)},
        {"labels": (7, 3, 200)},
        {"labels": (3, 3, 200)},
        {"labels": (3, 7, 256)},
        {"labels": (), "names": ()},
        {"names": ("a", "b", "a")},
        {"names": ("a", "b", "")},
        {"names": ("a", "b", "\x1b[31m")},
        {"names": ("a", "b", "c" * 41)},
        {"names": ("a", "b", 3)},
        {"labels": (True, 7, 200)},
        {"polarity": "auto"},
        {"max_pixel": 2},
        {"transposed_on_load": 1},
    ],
)
def test_what_no_dataset_could_have_is_refused(bad):
    with pytest.raises(InputError):
        DataSpec(**{**ABC, **bad})


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_set_of_other_things_than_digits_has_their_names(tmp_path, name):
    files = FileSet("", tmp_path, dict.fromkeys(PARTS, tmp_path / "x"))
    labels = (np.arange(10), np.arange(10))
    data_spec = spec_of(files, name, np.zeros((10, 28, 28), np.uint8), labels)
    assert data_spec.thing == "picture"
    assert data_spec.names[0] in ("T-shirt/top", "o")


@pytest.mark.parametrize(
    ("names", "thing", "kind"),
    [
        ("0123456789", "digit", "digit"),
        ("012", "picture", "class"),  # three numbers may stand for anything
        ("ABC", "letter", "letter"),
        ("あいう", "letter", "letter"),
        ("0Aa", "character", "character"),
        (("cat", "dog"), "picture", "class"),
    ],
)
def test_what_is_on_a_picture_has_a_word(names, thing, kind):
    data_spec = DataSpec(labels=tuple(range(len(names))), names=tuple(names))
    assert (data_spec.thing, data_spec.kind) == (thing, kind)
