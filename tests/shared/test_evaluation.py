"""The confusion matrix from scratch and what follows from it, against scikit-learn and by hand."""

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn import metrics as sk

from mnist_fn.shared import evaluation as ev


@pytest.fixture
def example():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 500).astype(np.uint8)
    logits = rng.normal(size=(500, 10)) + 2 * np.eye(10)[labels]
    return logits, labels


def test_matches_scikit_learn(example):
    logits, labels = example
    result = ev.evaluate(logits, labels)
    predictions = logits.argmax(axis=1)
    assert np.array_equal(result.confusion_matrix, sk.confusion_matrix(labels, predictions))
    assert result.accuracy == pytest.approx(sk.accuracy_score(labels, predictions), rel=1e-15)
    recall = sk.recall_score(labels, predictions, average=None)
    assert result.per_class_accuracy == pytest.approx(recall, rel=1e-15)
    probabilities = np.exp(log_softmax(logits, axis=1))
    assert result.loss == pytest.approx(sk.log_loss(labels, probabilities), rel=1e-12)


def test_rows_are_true_classes():
    matrix = ev.confusion_matrix(np.array([2, 2, 0]), np.array([1, 2, 0]), 3)
    assert matrix.tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 1]]


def test_worst_confusions_by_share_of_the_true_class():
    matrix = np.array([[90, 10, 0], [1, 9, 0], [3, 0, 97]])
    worst = ev.worst_confusions(matrix, 3)
    assert [str(c) for c in worst] == [
        "0 → 1: 10 (10.0%)",
        "1 → 0: 1 (10.0%)",
        "2 → 0: 3 (3.0%)",
    ]


def test_only_mistakes_that_were_made_are_listed():
    (only,) = ev.worst_confusions(np.array([[9, 1, 0], [0, 9, 0], [0, 0, 9]]), 5)
    assert str(only) == "0 → 1: 1 (10.0%)"
    assert ev.worst_confusions(np.eye(3, dtype=int), 5) == []


def test_a_class_without_examples_is_nan_not_zero():
    shares = ev.row_normalized(np.array([[0, 0], [1, 3]]))
    assert np.isnan(shares[0]).all()
    assert shares[1].tolist() == [0.25, 0.75]


def test_its_json_has_null_for_a_class_without_examples_and_ten_mistakes():
    matrix = np.ones((5, 5), dtype=np.int64)
    matrix[4] = 0
    found = ev.Evaluation(0.5, np.zeros(20, np.uint8), matrix).to_dict()
    worst = found.pop("worst_confusions")
    assert len(worst) == 10
    assert worst[0] == {"true": 0, "predicted": 1, "count": 1, "share": 0.2}
    assert found == {
        "loss": 0.5,
        "accuracy": 0.2,
        "per_class_accuracy": [0.2, 0.2, 0.2, 0.2, None],
        "confusion_matrix": matrix.tolist(),
    }


def test_cross_entropy_of_large_logits_is_finite():
    logits = np.array([[1e4, 0.0], [0.0, 1e4]], dtype=np.float32)
    assert ev.cross_entropy(logits, np.array([0, 0])) == pytest.approx(5e3)


def test_templates_are_the_linear_models_weights_by_class():
    kernel = np.arange(18.0).reshape(9, 2)  # [in, out]
    pictures = ev.templates({"layer1": {"kernel": kernel, "bias": np.zeros(2)}})
    assert pictures.shape == (2, 3, 3)
    assert np.array_equal(pictures[1].ravel(), kernel[:, 1])


def linear_model(side, **pixels):
    """A linear model of one class whose weights are 0 but for some pixels `r_c`."""
    kernel = np.zeros((side, side, 1))
    for place, weight in pixels.items():
        row, column = map(int, place.removeprefix("at").split("_"))
        kernel[row, column] = weight
    return {"layer1": {"kernel": kernel.reshape(-1, 1), "bias": np.zeros(1)}}


@pytest.mark.parametrize(
    ("side", "last_of_border", "first_inside"), [(28, 3, 4), (14, 1, 2), (6, 0, 1), (3, 0, 1)]
)
def test_the_border_is_a_seventh_of_the_side_and_at_least_a_pixel(
    side, last_of_border, first_inside
):
    middle = side // 2
    pixels = {f"at{last_of_border}_{middle}": 3.0, f"at{first_inside}_{middle}": -2.0}
    assert ev.template_summary(linear_model(side, **pixels))["border"] == pytest.approx(1.5)
    other_side = {f"at{side - 1 - last_of_border}_{middle}": 3.0,
                  f"at{side - 1 - first_inside}_{middle}": -2.0}  # fmt: skip
    assert ev.template_summary(linear_model(side, **other_side))["border"] == pytest.approx(1.5)


def test_as_many_confusions_as_are_asked_for_five_by_default():
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((400, 10)), rng.integers(0, 10, 400)
    found = ev.evaluate(logits, labels)
    assert len(found.worst_confusions()) == len(ev.worst_confusions(found.confusion_matrix)) == 5
    assert len(found.worst_confusions(7)) == 7


def test_a_row_of_one_example_has_a_share():
    assert ev.row_normalized(np.array([[1, 0], [1, 3]])).tolist() == [[1.0, 0.0], [0.25, 0.75]]


def test_size_and_roughness_by_hand():
    """A -4 in the middle of 3 × 3 and a 2 at its left: other steps along rows than columns."""
    found = ev.template_summary(linear_model(3, at1_1=-4.0, at1_0=2.0))
    size = np.sqrt((16 + 4) / 9)
    assert found["size"] == pytest.approx(size)
    steps = (2 * 16 + 2 * 4) + (36 + 16)
    assert found["roughness"] == pytest.approx(np.sqrt(steps / 12) / size)
