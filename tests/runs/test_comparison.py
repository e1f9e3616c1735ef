"""Mean, sd, interval and the best λ, against SciPy and by hand; and their figure."""

import numpy as np
import pytest
from scipy import stats

from figures import sweep as figure
from mnist_fn.shared.config import Config
from mnist_fn.shared.runs import comparison
from mnist_fn.shared.runs.comparison import best
from mnist_fn.shared.runs.run import Run


def runs(accuracies, **changes):
    """Runs that reached these accuracies, seed by seed."""
    return [
        Run(
            Config(seed=seed, epochs=1, **changes),
            "jax",
            "cpu",
            [{"epoch": 1, "test_accuracy": accuracy, "test_loss": 1 - accuracy}],
            None,
            None,
            {},
        )
        for seed, accuracy in enumerate(accuracies)
    ]


def cells(found):
    return comparison.cells(map(comparison.ended, found))


NEAR = [0.97, 0.98, 0.96, 0.97]
BEST = [0.98, 0.975, 0.97, 0.975]
FAR = [0.90, 0.91, 0.89, 0.90]


def three():
    return [*runs(FAR), *runs(BEST, l2=3e-5), *runs(NEAR, l2=3e-4)]


def test_mean_sd_and_interval_are_students():
    cell = cells(runs(NEAR))[0]
    assert cell.mean("test_accuracy") == pytest.approx(0.97)
    assert cell.sd("test_accuracy") == pytest.approx(np.sqrt(2e-4 / 3))
    theirs = stats.ttest_1samp(NEAR, 0).confidence_interval(0.95)
    assert cell.interval("test_accuracy") == pytest.approx((theirs.low, theirs.high))


def test_the_best_lambda_and_those_not_told_apart_from_it():
    (chosen,) = best(cells(three()), "test_accuracy")
    assert chosen.cell.config.l2 == 3e-5
    assert chosen.l2_interval == (3e-5, 3e-4)
    # what the interval rests on, by SciPy's paired test with Bonferroni's correction
    assert stats.ttest_rel(BEST, FAR).pvalue < 0.05 / 2
    assert stats.ttest_rel(BEST, NEAR).pvalue > 0.05 / 2
    assert best(cells(three()), "test_loss")[0].cell.config.l2 == 3e-5


def test_the_pairing_is_by_seed():
    """A constant difference is seen however much the seeds differ: but only seed by seed, and
    over the seeds that both have."""
    wide = [0.90, 0.98, 0.94, 0.96, 0.92]
    above = [accuracy + 1e-3 + tiny for accuracy, tiny in zip(wide, (0, 1e-5) * 3, strict=False)]
    found = cells([*runs(wide)[::-1], *runs(above, l2=1e-4)[1:]])
    assert best(found, "test_accuracy")[0].l2_interval == (1e-4, 1e-4)
    assert stats.ttest_ind(wide, above).pvalue > 0.5


def test_seeds_that_happen_to_be_alike_decide_nothing():
    """Two images of 10,000, for two seeds that tie: that λ was told apart from all others."""
    found = cells([*runs([0.9698, 0.9701]), *runs([0.9700, 0.9703], l2=3e-5)])
    assert best(found, "test_accuracy")[0].l2_interval == (0, 3e-5)
    (tied,) = cells(runs([0.97, 0.97]))
    assert np.isnan(tied.interval("test_accuracy")).all()


def test_an_accuracys_interval_ends_at_1():
    (cell,) = cells(runs([0.75, 0.85]))
    low, high = cell.interval("test_accuracy")
    assert (round(low, 3), high) == (0.165, 1.0)


def test_one_seed_has_no_interval():
    (chosen,) = best(cells([*runs([0.9]), *runs([0.95], l2=1e-4)]), "test_accuracy")
    assert chosen.cell.config.l2 == 1e-4
    assert chosen.l2_interval is None
    assert np.isnan(chosen.cell.interval("test_accuracy")).all()
    assert np.isnan(chosen.cell.sd("test_accuracy"))


def test_models_and_learning_rates_are_chosen_for_apart():
    found = cells([*three(), *runs(NEAR, hidden=()), *runs(FAR, hidden=(), l2=1e-3)])
    chosen = best(found, "test_accuracy")
    assert [(one.cell.config.model, one.cell.config.l2) for one in chosen] == [
        ("shallow", 3e-5),
        ("linear", 0.0),
    ]


def test_the_figure_shows_each_mean_and_sd():
    axes = figure.plot([*three(), *runs(NEAR, hidden=())])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["shallow", "linear"]
    line = axes.containers[0].lines[0]
    assert line.get_xdata().tolist() == [0, 3e-5, 3e-4]
    assert line.get_ydata() == pytest.approx([100 * np.mean(v) for v in (FAR, BEST, NEAR)])
    (bars,) = axes.containers[0].lines[2]
    low, high = bars.get_segments()[0][:, 1]
    assert (high - low) / 2 == pytest.approx(100 * np.std(FAR, ddof=1))
