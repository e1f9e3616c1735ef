"""Every figure draws where its caller says, and nowhere else."""

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.text import Text

import figures
import mnist_fn
from figures import PLOTS, confusion, style, worst_mistakes
from mnist_fn import Config, train
from mnist_fn.shared.errors import InputError
from tests.figures.test_figures import records
from tests.support.report_documents import PARITY

EPOCHS = {"median": 0.6, "quartiles": [0.5, 0.7], "min": 0.4}
DOCUMENTS = {
    "horizon": PARITY["horizon"]["horizon"],
    "bench": {"epochs": {"jax": EPOCHS, "torch/loop": EPOCHS}, "floor": "jax", "examples": 60000,
              "device": "cpu", "machine": "a machine"},
}  # fmt: skip
ONE = {"bench", "confusion", "sweep"}  # the others are of several panels
PANELS = set(PLOTS) - ONE


def drawn_from(name):
    of_any_runs = name in ("sweep", "curves")
    return DOCUMENTS.get(name) or records("l2" if of_any_runs else name.replace("_", "-"))


@pytest.mark.long
@pytest.mark.parametrize("name", PLOTS)
def test_a_figure_draws_on_the_callers_axes(name):
    figure = Figure(figsize=(16, 6))
    left, right = figure.subplots(1, 2)
    drawn = getattr(mnist_fn.figures, name).plot(drawn_from(name), ax=left)
    FigureCanvasAgg(figure).draw()
    assert not right.has_data()
    assert right in figure.axes
    if name in PANELS:
        assert isinstance(drawn, SubFigure)
        assert drawn in figure.subfigs
        assert left not in figure.axes  # its place is taken
        middle = figure.bbox.width / 2
        assert all(panel.bbox.x1 < middle for panel in drawn.axes)
        assert any(panel.has_data() for panel in drawn.axes)
    else:
        assert drawn is left
        assert left.has_data()


@pytest.mark.parametrize("name", sorted(PANELS))
def test_panels_are_drawn_on_a_given_figure(name):
    figure = Figure(figsize=(8, 6))
    assert getattr(mnist_fn.figures, name).plot(drawn_from(name), ax=figure) is figure
    assert any(panel.has_data() for panel in figure.axes)


@pytest.mark.long
@pytest.mark.parametrize("name", PLOTS)
def test_no_text_of_a_figure_is_a_formula(name):
    """They are shown as they are, since a class's name may have a dollar."""
    figure = Figure(figsize=(8, 6))
    with style.themed():
        getattr(mnist_fn.figures, name).plot(
            drawn_from(name), ax=figure if name in PANELS else figure.add_subplot()
        )
        FigureCanvasAgg(figure).draw()
    assert not [text.get_text() for text in figure.findobj(Text) if "$" in text.get_text()]


def test_axes_outside_of_a_grid_have_no_room_for_panels():
    with pytest.raises(InputError, match="no place in a grid"):
        style.panels(Figure().add_axes((0, 0, 1, 1)), 3.0)


def test_each_figure_documents_its_axes():
    for name in PLOTS:
        said = getattr(mnist_fn.figures, name).plot.__doc__
        assert "        ax: where to draw: see `figures`." in said, name
    assert "`plot(records, ax=None)` that returns what it drew on" in figures.__doc__


@pytest.mark.parametrize("plot", [confusion.plot, worst_mistakes.plot])
def test_one_run_stands_for_a_list_of_it(plot):
    run = train(Config(dataset="digits", hidden=(), epochs=1), progress=False)
    figures = [
        drawn if isinstance(drawn, Figure) else drawn.figure for drawn in (plot(run), plot([run]))
    ]
    alone, listed = ([text.get_text() for text in one.findobj(Text)] for one in figures)
    assert alone == listed
    assert any("seed" in text for text in alone)
