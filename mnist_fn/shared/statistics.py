"""Statistics over seeds, on SciPy: the sweeps, the study, the equivalence test and figures use it.

SciPy is imported in the functions that need it: reading runs needs none of it.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnist_fn.shared.errors import InputError

ALPHA = 0.05
PLANNED_POWER = 0.9  # that a planned comparison should have
MAX_PAIRS = 1_000_000  # beyond it a plan is out of reach

Values = Sequence[float] | np.ndarray  # one for each seed


def mean(values: Values) -> float:
    """Return the mean; NaN of no values."""
    return float(np.mean(values)) if len(values) else math.nan


def standard_deviation(values: Values) -> float:
    """Return the standard deviation with n - 1; NaN of fewer than two values."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def all_alike(values: Values) -> bool:
    """Return whether values are one number, up to the rounding of a decimal fraction."""
    return bool(np.ptp(values) <= 1e-12)


def mean_interval(values: Values, confidence: float = 1 - ALPHA) -> tuple[float, float]:
    """Return Student's confidence interval of the mean.

    It is NaN for fewer than two values and for values that are all alike: a few counts of images
    that happen to be equal are luck, not certainty.
    """
    from scipy import stats

    if len(values) < 2 or all_alike(values):
        return math.nan, math.nan
    interval = stats.ttest_1samp(values, 0.0).confidence_interval(confidence)
    return float(interval.low), float(interval.high)


def differs(differences: Values, comparisons: int = 1) -> bool:
    """Return whether paired differences have a mean other than 0, by Student's test at ALPHA.

    Args:
        differences: one for each pair, two or more. If all are alike, nothing is decided.
        comparisons: how many such tests are made together (Bonferroni's correction).
    """
    from scipy import stats

    if all_alike(differences):
        return False
    result: Any = stats.ttest_1samp(differences, 0.0)
    return bool(result.pvalue < ALPHA / comparisons)


@dataclass(frozen=True)
class Equivalence:
    """A paired comparison against a margin. All figures are in the unit of the differences."""

    n: int
    mean: float  # of the differences
    sd: float  # of the differences, with n - 1
    interval: tuple[float, float]  # 90 %, of the mean
    margin: float
    p: float  # the larger of the two one-sided tests'
    p_difference: float  # two-sided, of no difference at all
    power: float  # to show equivalence at this n and sd if there is no difference
    pairs_needed: int  # for a power of PLANNED_POWER at this sd
    verdict: str  # "equivalent", "different" or "not decided"


def tost(differences: Values, margin: float) -> Equivalence:
    """Test paired differences for equivalence: two one-sided t tests against ±margin, at ALPHA.

    `equivalent`: both tests reject, so the 90 % interval lies within ±margin. `different`: not
    equivalent, and a two-sided test rejects no difference. Else `not decided`: not significant is
    not the same as equal. Schuirmann (1987), J. Pharmacokinet. Biopharm. 15, 657.

    Raises:
        InputError: fewer than two pairs.
    """
    from scipy import stats

    values = np.asarray(differences, dtype=np.float64)
    n = len(values)
    if n < 2:
        raise InputError(f"--seeds {n}: statistics need at least 2 seeds")
    center, sd = mean(values), standard_deviation(values)
    if all_alike(values):  # no spread: the mean decides
        sd, interval = 0.0, (center, center)
        p, p_difference = float(abs(center) >= margin), float(center == 0)
    else:
        two_sided: Any = stats.ttest_1samp(values, 0.0)
        bounds = two_sided.confidence_interval(1 - 2 * ALPHA)
        interval, p_difference = (float(bounds.low), float(bounds.high)), float(two_sided.pvalue)
        greater: Any = stats.ttest_1samp(values, -margin, alternative="greater")
        less: Any = stats.ttest_1samp(values, margin, alternative="less")
        p = float(max(greater.pvalue, less.pvalue))
    verdict = "equivalent" if p < ALPHA else "different" if p_difference < ALPHA else "not decided"
    power, needed = power_of(n, sd, margin), pairs_needed(sd, margin)
    return Equivalence(n, center, sd, interval, margin, p, p_difference, power, needed, verdict)


def power_of(n: int, sd: float, margin: float) -> float:
    """Return the chance, at least, that `tost` of n pairs without a difference says `equivalent`.

    It is computed from the two noncentral t tails at the standard deviation of the differences.
    """
    from scipy import stats

    if sd < 1e-6 * margin:  # certain, and beyond the range in which SciPy computes the tails
        return 1.0
    critical = stats.t.ppf(1 - ALPHA, n - 1)
    return max(0.0, float(2 * stats.nct.sf(critical, n - 1, margin * math.sqrt(n) / sd) - 1))


def pairs_needed(sd: float, margin: float, power: float = PLANNED_POWER) -> int:
    """Return the fewest pairs that have this power, where the differences have this sd.

    It is MAX_PAIRS where more would be needed.
    """
    counts = range(2, MAX_PAIRS)
    return counts.start + bisect_left(
        counts, True, key=lambda count: power_of(count, sd, margin) >= power
    )


def mcnemar(left_only: int, right_only: int) -> float:
    """Return the p-value of McNemar's exact test.

    Args:
        left_only: examples that only the first of two classifiers has right.
        right_only: examples that only the second has right.
    """
    from scipy import stats

    discordant = left_only + right_only
    return float(stats.binomtest(left_only, discordant).pvalue) if discordant else 1.0


def proportion_interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a proportion: Clopper and Pearson (1934)."""
    from scipy import stats

    interval = stats.binomtest(successes, n).proportion_ci(confidence)
    return float(interval.low), float(interval.high)


def prediction_interval(
    values: Values,
    confidence: float,
    statistic: str = "run",
    size: int = 5,
    n: float | None = None,
) -> tuple[float, float]:
    """Return where a new run's value lies, or the mean or standard deviation of some new ones.

    Exact for normal values: Hahn and Meeker, Statistical Intervals (1991).

    Args:
        values: two or more, one for each seed.
        confidence: 0 to 1.
        statistic: "run", "mean" or "sd".
        size: how many new runs the mean or the sd is of.
        n: how many values there would be, of this mean and sd; math.inf for as many as one likes.
            Default: as many as there are.
    """
    from scipy import stats

    n = len(values) if n is None else n
    center, sd = mean(values), standard_deviation(values)
    tail = (1 - confidence) / 2
    if statistic == "sd":
        # the F distribution with infinitely many degrees below is chi-squared over those above
        chi = stats.chi2(size - 1)
        quantiles = (tail, 1 - tail)
        if math.isinf(n):
            low, high = chi.ppf(quantiles) / (size - 1)
        else:
            low, high = stats.f.ppf(quantiles, size - 1, n - 1)
        return sd * math.sqrt(low), sd * math.sqrt(high)
    new = {"run": 1, "mean": size}[statistic]
    half = float(stats.t.ppf(1 - tail, n - 1)) * sd * math.sqrt(1 / new + 1 / n)
    return center - half, center + half
