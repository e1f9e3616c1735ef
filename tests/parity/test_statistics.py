"""Same accuracy, different, or not decided: the paired tests against other ways to compute them."""

import numpy as np
import pytest
from scipy import stats

from mnist_fn import Config, InputError, train
from mnist_fn.shared.parity.statistics import (
    compare_runs,
    disagreement,
    pairs_needed,
    power_of,
    tost,
)


def test_the_pairs_a_plan_asks_for_have_its_power_and_one_less_has_not():
    n = pairs_needed(0.2, 0.10, 0.95)
    assert power_of(n - 1, 0.2, 0.10) < 0.95 <= power_of(n, 0.2, 0.10)
    drawn = np.random.default_rng(0).normal(0, 0.2, (4000, n))
    low, high = stats.ttest_1samp(drawn, 0, axis=1).confidence_interval(0.90)
    shown = np.mean((low > -0.10) & (high < 0.10))
    assert shown == pytest.approx(0.95, abs=0.02)  # 5 sd of 4,000 draws


def test_tost_is_two_one_sided_t_tests():
    differences = np.array([0.05, -0.02, 0.08, 0.01, -0.04, 0.03])
    found = tost(differences.tolist(), margin=0.10)
    above = stats.ttest_1samp(differences, -0.10, alternative="greater")
    below = stats.ttest_1samp(differences, 0.10, alternative="less")
    assert found.p == pytest.approx(max(above.pvalue, below.pvalue))
    assert found.p_difference == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)
    interval = stats.ttest_1samp(differences, 0).confidence_interval(0.90)
    assert found.interval == pytest.approx((interval.low, interval.high))
    assert (found.verdict, found.n) == ("equivalent", 6)


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([0.01, -0.01, 0.02, -0.02, 0.0], "equivalent"),
        ([0.30, 0.31, 0.29, 0.33, 0.28], "different"),
        ([0.5, -0.6, 0.4, -0.3, 0.2], "not decided"),
        ([0.05, 0.051, 0.049, 0.05, 0.052], "equivalent"),  # certain, and too small to matter
        ([0.0, 0.0, 0.0], "equivalent"),
        ([0.2, 0.2, 0.2], "different"),
    ],
)
def test_a_verdict_is_one_of_three(differences, verdict):
    found = tost(differences, margin=0.10)
    assert found.verdict == verdict
    low, high = found.interval
    assert (verdict == "equivalent") == (low > -0.10 and high < 0.10)


def test_power_is_what_simulated_experiments_reach():
    """The share of 20,000 experiments without a difference that show equivalence: its standard
    error is at most 0.0035, so 0.015 is over four of them."""
    n, sd, margin = 10, 0.25, 0.20
    rng = np.random.default_rng(0)
    draws = rng.normal(0, sd, (20_000, n))
    error = draws.std(axis=1, ddof=1) / np.sqrt(n)
    half = stats.t.ppf(0.95, n - 1) * error
    mean = draws.mean(axis=1)
    reached = ((mean - half > -margin) & (mean + half < margin)).mean()
    scaled = draws[0] / draws[0].std(ddof=1) * sd
    found = tost((scaled - scaled.mean()).tolist(), margin)
    assert found.power == pytest.approx(reached, abs=0.015)


def test_one_pair_decides_nothing():
    with pytest.raises(InputError, match="at least 2 seeds"):
        tost([0.1], 0.1)


def test_mcnemar_is_a_binomial_test_on_what_only_one_has_right():
    labels = np.zeros(100, int)
    left, right = labels.copy(), labels.copy()
    left[:2], right[2:12], left[50], right[50] = 1, 1, 1, 2
    found = disagreement(left, right, labels)
    assert (found.left_only, found.right_only) == (10, 2)
    assert found.p == pytest.approx(stats.binomtest(10, 12).pvalue)
    assert found.churn == pytest.approx(0.13)  # both wrong, but differently, counts too
    assert disagreement(left, left, labels).p == 1


def test_runs_of_two_backends_are_compared_by_seed(digits):
    config = Config(dataset="digits", hidden=(8,), epochs=2, learning_rate=5e-3)
    left = [train(config.replace(seed=seed), "jax") for seed in range(3)]
    right = [train(config.replace(seed=seed), "torch") for seed in range(3)]
    found = compare_runs(left, right, digits.test.labels)
    assert list(found["accuracy"]) == ["jax", "torch"]
    assert (found["seeds"], found["tost"]["n"], found["tost"]["margin"]) == ([0, 1, 2], 3, 0.20)
    ours, theirs = (np.mean([run.evaluation.accuracy for run in runs]) for runs in (left, right))
    assert found["tost"]["mean"] == pytest.approx(100 * (ours - theirs))
    churn = found["churn"]
    assert churn["between_sides"] < min(churn["between_seeds"].values())
