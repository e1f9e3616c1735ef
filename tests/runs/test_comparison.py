"""Mean, sd, interval and the best λ, against SciPy and by hand; and their figure."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from figures import sweep as figure
from mnist_fn import resume, train
from mnist_fn.shared.config import Config
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.runs.header import Header
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.sweeps import comparison
from mnist_fn.shared.sweeps.comparison import best, conditions
from mnist_fn.shared.sweeps.sweep import Sweep


def runs(accuracies, **changes):
    """Runs that reached these accuracies, seed by seed."""
    return [
        Run(
            Header(Config(seed=seed, epochs=1, **changes), status="finished"),
            [{"epoch": 1, "test_accuracy": accuracy, "test_loss": 1 - accuracy}],
            None,
            None,
        )
        for seed, accuracy in enumerate(accuracies)
    ]


def l2_of(others):
    return [other.config.l2 for other in others]


NEAR = [0.97, 0.98, 0.96, 0.97]
BEST = [0.98, 0.975, 0.97, 0.975]
FAR = [0.90, 0.91, 0.89, 0.90]


def test_a_sweep_gives_a_run_unless_it_has_changed(tmp_path):
    (in_memory,) = runs([0.9])
    assert Sweep([in_memory], "jax", "test_accuracy")[0] is in_memory
    config = Config(dataset="digits", hidden=(4,), epochs=1)
    run = train(config, out=tmp_path / "run", progress=False)
    result = Sweep([run.without_weights()], "jax", "test_accuracy")
    assert result[0].weights.keys() == run.weights.keys()
    resume(run.path, epochs=2, progress=False)
    with pytest.raises(InputError, match="run: changed since this sweep, resumed or trained"):
        result[0]


def three():
    return [*runs(FAR), *runs(BEST, l2=3e-5), *runs(NEAR, l2=3e-4)]


def test_mean_sd_and_interval_are_students():
    cell = conditions(runs(NEAR))[0]
    assert cell.mean("test_accuracy") == pytest.approx(0.97)
    assert cell.sd("test_accuracy") == pytest.approx(np.sqrt(2e-4 / 3))
    theirs = stats.ttest_1samp(NEAR, 0).confidence_interval(0.95)
    assert cell.interval("test_accuracy") == pytest.approx((theirs.low, theirs.high))


def test_the_best_lambda_and_those_told_apart_from_it():
    chosen = best(conditions(three()), "test_accuracy")
    assert chosen.config.l2 == 3e-5
    assert (l2_of(chosen.worse), l2_of(chosen.undecided)) == ([0.0], [3e-4])
    # by SciPy's paired test with Bonferroni's correction
    assert stats.ttest_rel(BEST, FAR).pvalue < 0.05 / 2
    assert stats.ttest_rel(BEST, NEAR).pvalue > 0.05 / 2
    assert best(conditions(three()), "test_loss").config.l2 == 3e-5


def test_a_lambda_between_those_not_told_apart_is_listed_as_told_apart():
    """It was hidden in a range: "not told apart from it: λ from 0 to 0.001"."""
    rng = np.random.default_rng(0)
    top = 0.97 + 1e-3 * rng.standard_normal(10)
    near = [top - 1e-6 + 1e-5 * np.array([1, -1] * 5) for _ in range(2)]
    far = top - 0.01 - 1e-4 * rng.standard_normal(10)
    trained = [*runs(near[0]), *runs(far, l2=1e-4), *runs(top, l2=3e-4), *runs(near[1], l2=1e-3)]
    assert stats.ttest_rel(top, far).pvalue < 1e-6
    chosen = best(conditions(trained), "test_accuracy")
    assert chosen.config.l2 == 3e-4
    assert l2_of(chosen.undecided) == [0.0, 1e-3]
    assert l2_of(chosen.worse) == [1e-4]
    request = Sweep(trained, "jax", "test_accuracy")
    line, warning = request.sentences
    assert "not significantly different: λ 0, 0.001; significantly worse: λ 0.0001" in line
    assert "chosen on the test set, the best figure is biased" in str(warning)


def test_a_sweep_is_judged_by_accuracy_on_the_validation_split_if_it_has_one():
    without, split = Config(), Config(validation=10_000)
    assert comparison.check_metric(None, without) == "test_accuracy"
    assert comparison.check_metric(None, split) == "validation_accuracy"
    assert comparison.check_metric("test_loss", without) == "test_loss"
    assert comparison.check_metric("test_loss", split) == "test_loss"
    assert comparison.check_metric("validation_loss", split) == "validation_loss"
    with pytest.raises(InputError, match=r"metric='speed'.*must be one of"):
        comparison.check_metric("speed", without)
    with pytest.raises(InputError, match=r"there is no validation split; add .*validation"):
        comparison.check_metric("validation_loss", without)


def test_a_figure_chosen_on_a_validation_split_has_no_warning():
    run = replace(runs([0.9])[0], rows=[{"validation_accuracy": 0.9}])
    result = Sweep([run], "jax", "validation_accuracy")
    assert not any("biased" in line for line in result.sentences)


def test_the_best_is_over_all_that_was_compared():
    """With two learning rates `best[0]` was the first one's, and worse: 88 % for 95 %."""
    trained = [*runs([0.88, 0.87]), *runs([0.95, 0.96], learning_rate=1e-2),
               *runs([0.89, 0.88], learning_rate=1e-4)]  # fmt: skip
    result = Sweep(trained, "jax", "test_accuracy")
    assert result.best.config.learning_rate == 1e-2
    rates = {
        rate: one.config.learning_rate for rate, one in result.best_by("learning_rate").items()
    }
    assert rates == {rate: rate for rate in (5e-4, 1e-2, 1e-4)}
    assert list(result.best_by("model")) == ["shallow"]
    assert result.best_by("model")["shallow"].config == result.best.config
    assert result.sentences[0].startswith("best of all: shallow at learning rate 0.01, λ 0")
    with pytest.raises(InputError, match=r"best_by\('seed',\): give some of model, learning_rate"):
        result.best_by("seed")


def test_the_pairing_is_by_seed():
    """A constant difference is seen however much the seeds differ: but only seed by seed, and
    over the seeds that both have."""
    wide = [0.90, 0.98, 0.94, 0.96, 0.92]
    above = [accuracy + 1e-3 + tiny for accuracy, tiny in zip(wide, (0, 1e-5) * 3, strict=False)]
    compared = conditions([*runs(wide)[::-1], *runs(above, l2=1e-4)[1:]])
    assert l2_of(best(compared, "test_accuracy").worse) == [0.0]
    assert stats.ttest_ind(wide, above).pvalue > 0.5


def test_seeds_that_happen_to_be_alike_decide_nothing():
    """Two images of 10,000, for two seeds that tie: that λ was told apart from all others."""
    compared = conditions([*runs([0.9698, 0.9701]), *runs([0.9700, 0.9703], l2=3e-5)])
    assert l2_of(best(compared, "test_accuracy").undecided) == [0.0]
    (tied,) = conditions(runs([0.97, 0.97]))
    assert np.isnan(tied.interval("test_accuracy")).all()


def test_an_accuracys_interval_ends_at_1():
    (cell,) = conditions(runs([0.75, 0.85]))
    low, high = cell.interval("test_accuracy")
    assert (round(low, 3), high) == (0.165, 1.0)


def test_one_seed_has_no_interval_and_no_test():
    chosen = best(conditions([*runs([0.9]), *runs([0.95], l2=1e-4)]), "test_accuracy")
    assert chosen.config.l2 == 1e-4
    assert l2_of(chosen.untested) == [0.0]
    assert chosen.worse == chosen.undecided == []
    assert np.isnan(chosen.condition.interval("test_accuracy")).all()
    assert np.isnan(chosen.condition.sd("test_accuracy"))


def test_models_are_chosen_for_separately():
    trained = [*three(), *runs(NEAR, hidden=()), *runs(FAR, hidden=(), l2=1e-3)]
    result = Sweep(trained, "jax", "test_accuracy")
    chosen = result.best_by("model")
    assert {model: one.config.l2 for model, one in chosen.items()} == {
        "shallow": 3e-5,
        "linear": 0.0,
    }


def test_the_figure_shows_each_mean_and_sd():
    axes = figure.plot([*three(), *runs(NEAR, hidden=())])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["shallow", "linear"]
    line = axes.containers[0].lines[0]
    assert line.get_xdata().tolist() == [0, 3e-5, 3e-4]
    assert line.get_ydata() == pytest.approx([100 * np.mean(v) for v in (FAR, BEST, NEAR)])
    (bars,) = axes.containers[0].lines[2]
    low, high = bars.get_segments()[0][:, 1]
    assert (high - low) / 2 == pytest.approx(100 * np.std(FAR, ddof=1))
