"""metrics.csv: what is written reads back, and what is not it is refused; the best of a column."""

import math
import tracemalloc

import numpy as np
import pytest

from mnist_fn import InputError
from mnist_fn.shared.backend import EpochMetrics
from mnist_fn.shared.evaluation import Evaluation
from mnist_fn.shared.runs import metrics


def evaluation(loss, right):
    """Two classes, `right` of 4 and of 6 examples on the diagonal."""
    first, second = right
    matrix = np.array([[first, 4 - first], [6 - second, second]])
    return Evaluation(loss, np.zeros(10, np.uint8), matrix)


def row(epoch, loss=1 / 3):
    """A row whose figures are all different."""
    train, test = EpochMetrics(10 * loss, 3, 10), evaluation(0.25, (3, 3))
    return metrics.make_row(epoch, train, test, evaluation(0.5, (1, 6)))


def test_a_row_has_each_figure_in_its_place():
    assert row(2) == {
        "epoch": 2, "train_loss": 1 / 3, "train_accuracy": 0.3, "test_loss": 0.25,
        "test_accuracy": 0.6, "validation_loss": 0.5, "validation_accuracy": 0.7,
        "test_accuracy_0": 0.75, "test_accuracy_1": 0.5,
    }  # fmt: skip
    without = metrics.make_row(1, EpochMetrics(1.0, 1, 10), evaluation(0.1, (4, 6)), None)
    assert not [name for name in without if name.startswith("validation")]


def test_rows_read_back_as_they_were(tmp_path):
    rows = [row(1), row(2, 0.1), row(3, 0.7)]
    file = tmp_path / "metrics.csv"
    file.write_bytes(metrics.to_csv(rows))
    assert file.read_text().splitlines()[1].startswith("1,0.3333333333333333,0.3,0.25,")
    assert metrics.read_csv(file, 3) == rows
    assert metrics.read_csv(file, 2) == rows[:2]
    assert metrics.read_at_most(file, 5) == rows
    assert all(type(one["epoch"]) is int for one in metrics.read_csv(file, 3))
    with pytest.raises(InputError, match="3 epochs, the checkpoint has 4"):
        metrics.read_csv(file, 4)
    assert metrics.to_csv([]) == b""
    assert metrics.digest(rows) != metrics.digest(rows[:2])
    assert len(metrics.digest(rows)) == 64


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n2,", "\n3,"), ("\n1,", "\n0,"), ("0.25", "nan"), ("0.25", "inf"), ("0.25", "x"),
        ("0.75", "inf"), ("0.75", "-inf"), ("0.25", ""), ("test_loss", "tests"),
        ("0.25", "0" * metrics.MAX_LINE_BYTES),
    ],
)  # fmt: skip
def test_rows_that_are_none_are_refused(tmp_path, old, new):
    file = tmp_path / "metrics.csv"
    text = metrics.to_csv([row(1), row(2)]).decode()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=r"metrics\.csv"):
        metrics.read_csv(file, 2)


def test_a_line_has_less_than_8_kib_and_a_file_no_more_than_8_kib_a_line(tmp_path):
    file = tmp_path / "metrics.csv"
    rows = [row(1)]
    text = metrics.to_csv(rows)
    header, line, _ = text.split(b"\n")
    for length, wide in (
        (8191, True),
        (8192, False),
    ):  # zeros change no value, the line's end counts
        file.write_bytes(header + b"\n" + line.ljust(length - 1, b"0") + b"\n")
        if wide:
            assert metrics.read_csv(file, 1) == rows
            continue
        with pytest.raises(InputError, match="a line is too long"):
            metrics.read_csv(file, 1)
    for size, fits in ((2 * 8192, True), (2 * 8192 + 1, False)):  # a header and a row
        file.write_bytes(text.ljust(size, b"\n"))
        if fits:
            assert metrics.read_csv(file, 1) == rows
            continue
        with pytest.raises(InputError, match="too large for its epochs"):
            metrics.read_csv(file, 1)


def test_a_class_without_examples_has_no_accuracy(tmp_path):
    file = tmp_path / "metrics.csv"
    file.write_bytes(metrics.to_csv([row(1) | {"test_accuracy_1": math.nan}]))
    (read,) = metrics.read_csv(file, 1)
    assert math.isnan(read["test_accuracy_1"])


def test_the_first_of_tied_epochs_is_the_best():
    rows = [
        {
            "epoch": i,
            "test_loss": loss,
            "test_accuracy": accuracy,
            "validation_loss": loss,
            "validation_accuracy": accuracy,
        }
        for i, (loss, accuracy) in enumerate([(3, 0.5), (1, 0.9), (2, 0.9), (1, 0.7)], start=1)
    ]
    for split in ("test", "validation"):
        assert metrics.best(rows, f"{split}_loss") == {"value": 1, "epoch": 2}
        assert metrics.best(rows, f"{split}_accuracy") == {"value": 0.9, "epoch": 2}


def test_a_row_takes_bounded_memory(tmp_path):
    file, epochs = tmp_path / "metrics.csv", 300
    shares = {f"test_accuracy_{label}": 0.1 + label for label in range(256)}
    few = {name: value for name, value in row(1).items() if not name.startswith("test_accuracy_")}
    file.write_bytes(metrics.to_csv([{**few, "epoch": k, **shares} for k in range(1, epochs + 1)]))
    tracemalloc.start()
    rows = metrics.read_csv(file, epochs)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(rows[0]) == metrics.MAX_COLUMNS
    assert peak < 20 * 2**10 * epochs
    more = {**few, **shares, "x": 1.0}
    file.write_bytes(metrics.to_csv([more]))
    with pytest.raises(InputError, match="more than 263 columns"):
        metrics.read_csv(file, 1)
