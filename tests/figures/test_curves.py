"""Learning curves of any runs."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.text import Text

from figures import build, curves, l2, style
from mnist_fn import train
from mnist_fn.shared.config import Config
from mnist_fn.shared.errors import InputError
from tests.support.synthetic import run

# why train can be worse than test: it is measured before the epoch's learning is done
LEGEND = ("test, after each epoch", "train, mean over the epoch while it learns", "best test epoch")


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def solid(panel):
    return [line for line in panel.lines if line.get_linestyle() == "-"]


def test_seeds_are_one_curve_with_a_band_and_others_are_named():
    runs = [run(Config(l2=l2, epochs=6, seed=seed)) for l2 in (0.0, 1e-4) for seed in (0, 1, 2)]
    figure = curves.plot(runs)
    loss, accuracy = figure.axes
    assert [len(solid(panel)) for panel in (loss, accuracy)] == [2, 2]
    mean = np.mean([one.history["test_accuracy"] for one in runs[:3]], axis=0)
    assert np.allclose(solid(accuracy)[0].get_ydata(), 100 * mean)
    assert len(loss.collections) == 2  # the bands
    assert {"λ = 0", "λ = 10⁻⁴", *LEGEND} <= set(texts(figure))
    assert "2 experiments, mean ± sd over 3 seeds" in " ".join(texts(figure))


def test_one_run_stands_alone_and_says_what_it_is():
    figure = curves.plot(run(Config(hidden=(64,), l2=3e-5, epochs=4)))
    assert "Learning curves: 64, λ = 3×10⁻⁵, one seed" in texts(figure)
    assert [line.get_linestyle() for line in figure.axes[0].lines] == ["-", "None", "--"]
    assert not figure.axes[0].collections


def test_runs_of_other_lengths_and_shapes_are_each_drawn_to_their_end():
    runs = [run(Config(epochs=3)), run(Config(epochs=9)), run(Config(hidden=(), epochs=1))]
    figure = curves.plot(runs)
    assert [np.size(line.get_xdata()) for line in solid(figure.axes[0])] == [3, 9, 1]
    assert {"512, 3 epochs", "512, 9 epochs", "linear, 1 epoch"} <= set(texts(figure))


def test_a_validation_split_has_its_own_line():
    figure = curves.plot(run(Config(epochs=4, validation=1000)))
    assert [line.get_linestyle() for line in figure.axes[0].lines] == ["-", "None", "--", ":"]
    assert "validation, after each epoch" in texts(figure)


def test_more_runs_than_colours_are_drawn():
    with style.themed():
        figure = curves.plot([run(Config(l2=k * 1e-5, epochs=2)) for k in range(9)])
    assert len({line.get_color() for line in solid(figure.axes[0])}) == 9


def test_no_run_and_the_studys_figure_of_other_runs_are_one_line():
    with pytest.raises(InputError, match="no run to draw"):
        curves.plot([])
    with pytest.raises(InputError, match=r"figures.curves.plot\(runs\) draws any"):
        l2.plot([run(Config(hidden=(64,), epochs=2))])


def ticks(axis):
    low, high = axis.get_view_interval()
    return [tick for tick in axis.get_major_locator()() if low <= tick <= high]


def test_the_axes_have_whole_epochs_and_several_losses():
    for epochs in (1, 2, 3):
        figure = curves.plot(run(Config(epochs=epochs)))
        for panel in figure.axes:
            assert ticks(panel.xaxis) == list(range(1, epochs + 1))
    narrow = run(Config(epochs=4))
    narrow = replace(narrow, rows=[{**row, "test_loss": 0.16, "train_loss": 0.24}
                                   for row in narrow.rows])  # fmt: skip
    panel = curves.plot(narrow).axes[0]
    assert len(ticks(panel.yaxis)) >= 3
    panel.set_ylim(0.01, 2)
    assert ticks(panel.yaxis) == pytest.approx([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2])


def test_a_dot_stands_at_the_best_epoch_and_for_a_single_one():
    rows = run(Config(epochs=5)).rows
    for row, loss in zip(rows, (5, 3, 1, 2, 4), strict=True):
        row["test_loss"] = loss
    panel = curves.plot(replace(run(Config(epochs=5)), rows=rows)).axes[0]
    dot = next(line for line in panel.lines if line.get_linestyle() == "None")
    assert (dot.get_xdata(), dot.get_ydata()) == (3, 1)
    for line in curves.plot(run(Config(epochs=1))).axes[0].lines:
        assert line.get_marker() == "o" or line.get_linestyle() == "-"


@pytest.fixture
def two_runs(tmp_path):
    """Two seeds in `runs`, as a newcomer has them."""
    for seed in (0, 1):
        config = Config(dataset="digits", hidden=(8,), epochs=2, seed=seed)
        train(config, out=tmp_path / "runs" / str(seed), progress=False)


def test_the_command_draws_them_of_any_runs(in_process, tmp_path, two_runs):
    done = in_process("figures", "--only", "curves", "--format", "svg")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "figures-out" / "curves.svg").exists()
    shelf = build.Shelf([tmp_path / "runs"])
    assert [one.config.seed for one in shelf.records(build.CURVES)] == [0, 1]
    done = in_process("figures", "--only", "curves", "--backend", "torch")
    assert (done.returncode, done.stdout) == (2, "")
    assert "curves: no finished torch run in runs; make one with: mnist-fn train" in done.stderr


@pytest.mark.parametrize("arguments", [("curves", "runs/0"), ("runs/0",), ("curves",)])
def test_ones_own_run_is_drawn_by_the_obvious_command(in_process, two_runs, arguments):
    done = in_process("figures", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (0, "figures-out/curves.png\n", "")


def test_what_is_left_out_of_a_folder_is_one_line(in_process, two_runs):
    done = in_process("figures")
    assert (done.returncode, done.stdout) == (0, "figures-out/curves.png\n")
    (line,) = done.stderr.splitlines()
    assert line.startswith("left out, for want of their runs: widths, depths, templates, ")


def test_names_of_figures_are_spelled_either_way_and_others_are_folders(in_process, two_runs):
    said = in_process("figures", "worst-mistakes").stderr
    assert "study --only chosen" in said
    assert in_process("figures", "worst_mistakes").stderr == said
    assert in_process("figures", "sweep").stderr == "mnist-fn: sweep: no such folder\n"
    done = in_process("figures", "curve", "runs/0")
    said = "mnist-fn: curve: no such figure or folder; did you mean curves?\n"
    assert (done.returncode, done.stderr) == (2, said)


def test_a_quick_studys_figures_name_what_makes_its_runs(in_process):
    said = "mnist-fn: runs-quick: no such folder; `mnist-fn study --quick` makes it\n"
    assert in_process("figures", "--quick").stderr == said


def test_before_the_first_run_each_command_says_how_to_make_it(in_process):
    for command in ("runs", "report", "figures"):
        done = in_process(command)
        assert (done.returncode, done.stdout) == (2, "")
        said = "mnist-fn: runs: no such folder; `mnist-fn train` makes a first run\n"
        assert done.stderr == said
