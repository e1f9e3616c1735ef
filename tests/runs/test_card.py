"""A run shows itself in a notebook, and as a table."""

import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from mnist_fn import Config, InputError
from tests.support.synthetic import run


@pytest.fixture
def shown():
    return replace(run(Config(epochs=20)), path=Path("runs/<a>&b"))


def test_a_card_is_well_formed_and_escapes_what_it_shows(shown):
    root = ElementTree.fromstring(shown._repr_html_().replace("<br>", "<br/>"))
    said = "".join(root.itertext())
    assert "runs/<a>&b" in said
    for figure in (
        f"{shown.final['test_loss']:.5f}",
        f"{shown.best['test_accuracy']['value']:.2%}",
    ):
        assert figure in said
    curves, matrix = (child for child in root if child.tag.endswith("svg"))
    assert [len(line.get("points").split()) for line in curves] == [20, 20]
    assert len(matrix) == 100
    assert "on the diagonal" in matrix.get("aria-label")


def test_a_class_without_examples_and_a_flat_curve_are_drawn(shown):
    matrix = shown.confusion_matrix.copy()
    matrix[3] = 0
    flat = [{**row, "train_loss": 0.0, "test_loss": 0.0} for row in shown.rows]
    evaluation = replace(shown.evaluation, confusion_matrix=matrix)
    html = replace(shown, evaluation=evaluation, rows=flat)._repr_html_()
    assert "nan" not in html


def test_the_metrics_as_a_frame(shown):
    frame = shown.to_frame()
    assert list(frame.index) == list(range(1, 21))
    np.testing.assert_array_equal(frame["test_loss"], shown.history["test_loss"])


def test_without_pandas_one_line_says_what_to_do(shown, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match=r"pip install 'mnist-fn\[notebook\]'"):
        shown.to_frame()
