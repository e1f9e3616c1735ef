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
    root = ElementTree.fromstring(shown._repr_html_())
    said = "".join(root.itertext())
    assert "runs/<a>&b" in said
    for figure in (
        f"{shown.final['test_loss']:.5f}",
        f"{shown.best['test_accuracy']['value']:.2%}",
    ):
        assert figure in said


def test_the_metrics_as_a_frame(shown):
    frame = shown.to_frame()
    assert list(frame.index) == list(range(1, 21))
    np.testing.assert_array_equal(frame["test_loss"], shown.history["test_loss"])


def test_without_pandas_one_line_says_what_to_do(shown, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match=r"pip install 'mnist-fn\[notebook\]'"):
        shown.to_frame()
