"""A run asked from Python: arrays by `predict`, pictures by `read_digits`."""

import json

import numpy as np
import pytest
from PIL import Image

from mnist_fn import Config, Dataset, load_run, read_digits, train
from mnist_fn.shared import backend as backends
from mnist_fn.shared.data.datasets import Split
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.evaluation import log_probabilities


@pytest.fixture(scope="module")
def run(runs_28):
    return load_run(runs_28["deep"])


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (7, 28, 28)).astype(np.uint8)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_probabilities_are_those_of_the_backends(run, images, backend):
    probabilities = run.predict_proba(images)
    split = Split(images, np.zeros(7, np.uint8))
    dataset = Dataset("idx", split, split, "", data_spec=run.data_spec)
    computer = backends.find(backend)(run.config.replace(batch_size=7), dataset, "cpu")
    logits = computer.logits(computer.load(run.state), images)
    assert probabilities.shape == (7, 10)
    # the backend computes in float32
    assert np.abs(probabilities - np.exp(log_probabilities(logits))).max() < 1e-5
    assert np.array_equal(run.predict(images), probabilities.argmax(axis=1))


def test_every_usual_shape_is_taken(run, images):
    expected = run.predict_proba(images)
    for same in (
        images.reshape(7, 784),
        images[..., np.newaxis],
        images.tolist(),
        images / 255,
        images.astype(np.int64),
    ):
        assert np.allclose(run.predict_proba(same), expected, atol=1e-12)
    assert np.allclose(run.predict_proba(images[0]), expected[:1])
    assert run.predict_proba(images[:0]).shape == (0, 10)


def test_layers_stay_in_their_order_where_there_are_ten(digits):
    """As text, which JAX sorts a tree's names by, the tenth is before the second."""
    deep = train(Config(dataset="digits", hidden=(10,) * 10, epochs=1), "jax", device="cpu")
    assert deep.score(digits.test.images, digits.test.labels) == deep.evaluation.accuracy


def test_the_score_on_its_test_set_is_its_accuracy(digits):
    trained = train(Config(dataset="digits", epochs=2, hidden=(16,)), progress=False)
    score = trained.score(digits.test.images, digits.test.labels)
    assert score == pytest.approx(trained.final["test_accuracy"])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((2, 8, 8), np.uint8), "trained on 784 pixels"),
        (np.zeros(784, np.uint8), "trained on 784 pixels"),
        (np.full((1, 28, 28), 255.0), "floats from 0 to 1"),
        (np.full((1, 28, 28), np.nan), "floats from 0 to 1"),
        (np.full((1, 28, 28), -1), "values from -1"),
        ([["a"]], "an array of numbers is expected"),
    ],
)
def test_other_images_are_refused(run, bad, message):
    with pytest.raises(InputError, match=message):
        run.predict(bad)


def test_labels_must_fit(run, images):
    with pytest.raises(InputError, match="7 images and labels of shape"):
        run.score(images, [1, 2])


def test_without_weights_it_says_what_to_do(run, images):
    with pytest.raises(InputError, match="load it with load_run"):
        run.without_weights().predict(images)


def test_a_picture_is_read_as_the_command_reads_it(run, digits, tmp_path, in_process):
    sheet = np.full((200, 400), 255, np.uint8)
    for place, image in enumerate(digits.test.images[:2]):
        large = Image.fromarray(255 - image).resize((120, 120), Image.Resampling.BICUBIC)
        sheet[40:160, 40 + 180 * place : 160 + 180 * place] = np.asarray(large)
    file = tmp_path / "two.png"
    Image.fromarray(sheet).save(file)
    readings = read_digits(file, run)
    done = in_process("predict", str(run.path), str(file), "--json")
    printed = json.loads(done.stdout)["predictions"]
    assert [reading.label for reading in readings] == [one["label"] for one in printed]
    for reading, document in zip(readings, printed, strict=True):
        assert reading.document().keys() == document.keys()
        assert np.allclose(reading.probabilities, document["probabilities"], atol=1e-5)
    from_pillow = read_digits(Image.open(file), run.path)
    assert [one.label for one in from_pillow] == [one.label for one in readings]


def test_what_is_no_picture_is_refused(run, tmp_path):
    with pytest.raises(InputError, match="nothing to see in it"):
        read_digits(Image.new("L", (90, 90), 255), run)
    with pytest.raises(InputError, match="a path or an image of Pillow is expected"):
        read_digits(np.zeros((28, 28)), run)
    with pytest.raises(InputError, match="no such file"):
        read_digits(tmp_path / "nowhere.png", run)
