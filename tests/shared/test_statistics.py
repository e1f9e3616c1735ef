"""Every statistic over seeds, against SciPy computed in another way, simulation or the textbook."""

import math

import numpy as np
import pytest
from scipy import stats

from mnist_fn import InputError
from mnist_fn.shared import statistics
from mnist_fn.shared.statistics import (
    differs,
    mcnemar,
    mean_interval,
    pairs_needed,
    power_of,
    prediction_interval,
    proportion_interval,
    tost,
)


def test_mean_and_standard_deviation():
    assert statistics.mean([1.0, 2.0, 6.0]) == 3.0
    assert statistics.standard_deviation([1.0, 2.0, 6.0]) == pytest.approx(math.sqrt(7))
    assert math.isnan(statistics.mean([]))
    assert statistics.standard_deviation([1.0, 3.0]) == pytest.approx(math.sqrt(2))
    assert math.isnan(statistics.standard_deviation([1.0]))


def test_the_interval_of_a_mean_is_students():
    # t(0.975, 2) = 4.302653; the standard error is √7 / √3
    low, high = mean_interval([1.0, 2.0, 6.0])
    assert (low, high) == pytest.approx((3 - 4.302653 * math.sqrt(7 / 3),
                                         3 + 4.302653 * math.sqrt(7 / 3)), rel=1e-6)  # fmt: skip
    narrow = mean_interval([1.0, 2.0, 6.0], 0.5)
    assert low < narrow[0] < narrow[1] < high
    low, high = mean_interval([1.0, 3.0])  # t(0.975, 1) = 12.7062; the standard error is 1
    assert (low, high) == pytest.approx((2 - 12.7062, 2 + 12.7062), rel=1e-5)
    for undecided in ([1.0], [0.97, 0.97, 0.97], [0.1 + 0.2, 0.3]):
        assert all(math.isnan(end) for end in mean_interval(undecided))


def test_a_paired_difference_is_corrected_for_the_number_of_comparisons():
    differences = [0.011, 0.009, 0.014, 0.0035, 0.004]
    p = stats.ttest_1samp(differences, 0).pvalue
    assert 0.05 / 4 < p < 0.05 / 3  # so that it is told by the third comparison, not by a fourth
    assert differs(differences)
    assert differs(differences, comparisons=3)
    assert not differs(differences, comparisons=4)
    assert not differs([0.01, -0.01, 0.02, -0.02])
    assert not differs([0.5, 0.5])  # alike by luck decides nothing
    faint = [0.01, 0.02, 0.03, 0.0, 0.014]
    assert 0.05 / 2 < stats.ttest_1samp(faint, 0).pvalue < 0.05
    assert differs(faint) and not differs(faint, comparisons=2)


def test_tost_is_two_one_sided_t_tests():
    differences = np.array([0.05, -0.02, 0.08, 0.01, -0.04, 0.03])
    found = tost(differences.tolist(), margin=0.10)
    n, center, sd = 6, differences.mean(), differences.std(ddof=1)
    error = sd / math.sqrt(n)
    p = stats.t.sf((0.10 - center) / error, n - 1)
    assert found.p == pytest.approx(p)
    assert found.p_difference == pytest.approx(2 * stats.t.sf(center / error, n - 1))
    half = stats.t.ppf(0.95, n - 1) * error
    assert found.interval == pytest.approx((center - half, center + half))
    assert (found.n, found.mean, found.sd) == (6, pytest.approx(center), pytest.approx(sd))
    assert (found.verdict, found.margin) == ("equivalent", 0.10)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_worse_of_both_tests_decides(sign):
    """A mean beyond the margin on either side is not equivalent, and its p is no small one."""
    differences = sign * np.array([0.14, 0.16, 0.15, 0.15])
    found = tost(differences, margin=0.10)
    assert found.verdict == "different"
    assert found.p > 0.95


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([0.01, -0.01, 0.02, -0.02, 0.0], "equivalent"),
        ([0.30, 0.31, 0.29, 0.33, 0.28], "different"),
        ([0.5, -0.6, 0.4, -0.3, 0.2], "not decided"),
        ([0.05, 0.051, 0.049, 0.05, 0.052], "equivalent"),  # certain, and too small to matter
        ([0.0, 0.0, 0.0], "equivalent"),
        ([0.2, 0.2, 0.2], "different"),
        ([-0.2, -0.2], "different"),
        ([0.10, 0.10], "different"),  # at the margin itself
    ],
)
def test_a_verdict_is_one_of_three(differences, verdict):
    found = tost(differences, margin=0.10)
    assert found.verdict == verdict
    low, high = found.interval
    assert (verdict == "equivalent") == (low > -0.10 and high < 0.10)


def test_differences_that_are_all_alike_have_no_spread():
    alike = tost([0.05, 0.05, 0.05], margin=0.10)
    assert (alike.sd, alike.interval) == (0.0, (alike.mean, alike.mean))
    assert (alike.p, alike.p_difference) == (0.0, 0.0)
    assert tost([0.0, 0.0], margin=0.10).p_difference == 1.0


def test_one_pair_decides_nothing():
    with pytest.raises(InputError, match="--seeds 1: statistics need at least 2 seeds"):
        tost([0.1], 0.1)


def test_power_is_what_simulated_experiments_reach():
    """The share of 20,000 experiments without a difference that show equivalence: its standard
    error is at most 0.0035, so 0.015 is over four of them."""
    n, sd, margin = 10, 0.25, 0.20
    few = np.random.default_rng(1).normal(0, 0.04, (200_000, 4))
    low, high = stats.ttest_1samp(few, 0, axis=1).confidence_interval(0.90)
    reached = ((low > -0.1) & (high < 0.1)).mean()
    # a standard error of 0.0005, and the chance that both tails miss, which the bound counts twice
    assert power_of(4, 0.04, 0.1) == pytest.approx(reached, abs=0.006)
    draws = np.random.default_rng(0).normal(0, sd, (20_000, n))
    low, high = stats.ttest_1samp(draws, 0, axis=1).confidence_interval(0.90)
    reached = ((low > -margin) & (high < margin)).mean()
    scaled = draws[0] / draws[0].std(ddof=1) * sd
    found = tost((scaled - scaled.mean()).tolist(), margin)
    assert found.power == pytest.approx(reached, abs=0.015)
    assert power_of(2, 10.0, 0.1) == 0.0  # the bound from the two tails would be below it
    assert power_of(2, 0.0, 0.1) == power_of(2, 1e-13, 0.1) == power_of(5, 1e-5, 0.1) == 1.0


@pytest.mark.parametrize(("sd", "margin", "power"), [(0.2, 0.1, 0.95), (0.3, 0.1, 0.9),
                                                     (0.05, 0.1, 0.9)])  # fmt: skip
def test_the_pairs_a_plan_asks_for_have_its_power_and_one_less_has_not(sd, margin, power):
    n = pairs_needed(sd, margin, power)
    assert power_of(n, sd, margin) >= power
    assert n == 2 or power_of(n - 1, sd, margin) < power


def test_a_plan_has_a_power_of_nine_tenths_and_ends_somewhere():
    assert pairs_needed(0.3, 0.1) == pairs_needed(0.3, 0.1, 0.9) > pairs_needed(0.3, 0.1, 0.8)
    assert pairs_needed(0.0, 0.1) == 2
    assert pairs_needed(1e6, 0.1) == statistics.MAX_PAIRS == 1_000_000
    undecided = tost([0.5, -0.6, 0.4, -0.3, 0.2], 0.1)
    assert undecided.pairs_needed == pairs_needed(undecided.sd, 0.1)


def test_mcnemar_is_a_binomial_test_on_what_only_one_has_right():
    # two-sided: twice P(at most 2 of 12 at 1/2) = 2 · (1 + 12 + 66) / 2¹²
    assert mcnemar(2, 10) == mcnemar(10, 2) == pytest.approx(2 * 79 / 4096)
    assert mcnemar(0, 0) == 1.0


def test_a_proportions_interval_is_clopper_and_pearsons():
    assert proportion_interval(3, 3) == (pytest.approx(0.025 ** (1 / 3)), 1.0)
    low, high = proportion_interval(4, 10)
    assert (low, high) == pytest.approx((stats.beta.ppf(0.025, 4, 7), stats.beta.ppf(0.975, 5, 6)))
    assert proportion_interval(4, 10, 0.5)[0] > low


def test_a_prediction_interval_by_hand():
    """Of 1, 2, 6: mean 3, sd √7; t(0.995, 2) = 9.924843."""
    values = [1.0, 2.0, 6.0]
    half = 9.924843 * math.sqrt(7 * (1 + 1 / 3))
    assert prediction_interval(values, 0.99) == pytest.approx((3 - half, 3 + half), rel=1e-6)
    half = 9.924843 * math.sqrt(7 * (1 / 5 + 1 / 3))
    assert prediction_interval(values, 0.99, "mean") == pytest.approx((3 - half, 3 + half))
    low, high = prediction_interval(values, 0.99, "sd", 5)
    assert low**2 / 7 == pytest.approx(stats.f.ppf(0.005, 4, 2))
    assert high**2 / 7 == pytest.approx(stats.f.ppf(0.995, 4, 2))


def test_a_prediction_interval_of_as_many_seeds_as_one_likes():
    values = [1.0, 2.0, 6.0]
    half = stats.norm.ppf(0.995) * math.sqrt(7)
    assert prediction_interval(values, 0.99, n=math.inf) == pytest.approx((3 - half, 3 + half))
    for statistic in ("run", "mean", "sd"):
        many = prediction_interval(values, 0.99, statistic, n=10**7)
        limit = prediction_interval(values, 0.99, statistic, n=math.inf)
        assert many == pytest.approx(limit, rel=1e-4)
        assert prediction_interval(values, 0.99, statistic) == prediction_interval(
            values, 0.99, statistic, n=3
        )


@pytest.mark.parametrize("statistic", ["run", "mean", "sd"])
def test_a_prediction_interval_holds_what_it_promises(statistic):
    """Of 3,000 repetitions 99 % inside; 6 of the binomial's sds, 1.1 %, are room for chance."""
    rng = np.random.default_rng(0)
    measure = {"run": lambda v: v[0], "mean": np.mean, "sd": lambda v: np.std(v, ddof=1)}
    inside = 0
    for _ in range(3000):
        low, high = prediction_interval(rng.normal(3.0, 2.0, 5), 0.99, statistic, 4)
        inside += low <= measure[statistic](rng.normal(3.0, 2.0, 4)) <= high
    assert abs(inside / 3000 - 0.99) < 0.011
