"""Learning curves of any runs."""

import numpy as np
import pytest
from matplotlib.text import Text

from figures import build, curves, l2, style
from mnist_fn import train
from mnist_fn.shared.config import Config
from mnist_fn.shared.errors import InputError
from tests.support.synthetic import run


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
    assert {"λ = 0", "λ = 10⁻⁴", "test", "train"} <= set(texts(figure))
    assert "2 experiments, mean ± sd over 3 seeds" in " ".join(texts(figure))


def test_one_run_stands_alone_and_says_what_it_is():
    figure = curves.plot(run(Config(hidden=(64,), l2=3e-5, epochs=4)))
    assert "Learning curves: 64, λ = 3×10⁻⁵, one seed" in texts(figure)
    assert [line.get_linestyle() for line in figure.axes[0].lines] == ["-", "--"]
    assert not figure.axes[0].collections


def test_runs_of_other_lengths_and_shapes_are_each_drawn_to_their_end():
    runs = [run(Config(epochs=3)), run(Config(epochs=9)), run(Config(hidden=(), epochs=1))]
    figure = curves.plot(runs)
    assert [np.size(line.get_xdata()) for line in solid(figure.axes[0])] == [3, 9, 1]
    assert {"512, 3 epochs", "512, 9 epochs", "linear, 1 epoch"} <= set(texts(figure))


def test_a_validation_split_has_its_own_line():
    figure = curves.plot(run(Config(epochs=4, validation=1000)))
    assert [line.get_linestyle() for line in figure.axes[0].lines] == ["-", "--", ":"]
    assert "validation" in texts(figure)


def test_more_runs_than_colours_are_drawn():
    with style.themed():
        figure = curves.plot([run(Config(l2=k * 1e-5, epochs=2)) for k in range(9)])
    assert len({line.get_color() for line in solid(figure.axes[0])}) == 9


def test_no_run_and_the_studys_figure_of_other_runs_are_one_line():
    with pytest.raises(InputError, match="no run to draw"):
        curves.plot([])
    with pytest.raises(InputError, match=r"figures.curves.plot\(runs\) draws any"):
        l2.plot([run(Config(hidden=(64,), epochs=2))])


def test_the_command_draws_them_of_any_runs(in_process, tmp_path):
    for seed in (0, 1):
        config = Config(dataset="digits", hidden=(8,), epochs=2, seed=seed)
        train(config, out=tmp_path / "runs" / str(seed), progress=False)
    done = in_process("figures", "--only", "curves", "--format", "svg")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "figures-out" / "curves.svg").exists()
    shelf = build.Shelf([tmp_path / "runs"], "jax")
    assert [one.config.seed for one in shelf.any_runs(build.CURVES)] == [0, 1]
    done = in_process("figures", "--only", "curves", "--backend", "torch")
    assert (done.returncode, done.stdout) == (2, "")
    assert "curves: no finished torch run in runs; make one with: mnist-fn train" in done.stderr
