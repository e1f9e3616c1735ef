"""Does a published number lie inside our spread over seeds?

SciPy is imported where it is used: whoever only names experiments needs none of it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mnist_fn.shared.runs.library import Records
from mnist_fn.shared.study.published import Number

LEVEL = 0.99
FIVE = 5  # runs behind the study's means and sds
RULE = (
    "A published number of one run is inside if it lies in our 99 % prediction interval for one "
    "new run, mean ± t(0.995, n-1)·sd·√(1 + 1/n) over n seeds; a mean of five runs likewise with "
    "√(1/5 + 1/n); an sd of five runs between sd·√F(0.005; 4, n-1) and sd·√F(0.995; 4, n-1). "
    "A number stands for all that round to it. At this level one number in a hundred is outside "
    "by chance. One seed decides nothing. Epochs are counted from 1 here and from 0 by the "
    "notebook, so 1 is added to a published epoch (the notebook's count is said of the selection "
    "alone; in the λ table two minima at 99 of 100 epochs tell the same)."
)


@dataclass(frozen=True)
class Verdict:
    """A published number beside ours of one backend."""

    values: tuple[float, ...]  # ours, a seed each
    interval: tuple[float, float] | None  # None: fewer than two seeds
    verdict: str  # "inside", "outside", "not decided" (one seed) or "no runs"

    @property
    def n(self) -> int:
        """Seeds."""
        return len(self.values)

    @property
    def mean(self) -> float:
        """Over seeds; NaN without any."""
        return float(np.mean(self.values)) if self.values else math.nan

    @property
    def sd(self) -> float | None:
        """Over seeds, with n - 1; None for fewer than two."""
        return float(np.std(self.values, ddof=1)) if self.n > 1 else None


def judge(number: Number, records: Records) -> Verdict:
    """Compare a published number with the runs of one backend, by RULE."""
    found = [number.of_seed(records, seed) for seed in records.seeds]
    values = tuple(value for value in found if value is not None)
    if len(values) < 2:
        return Verdict(values, None, "not decided" if values else "no runs")
    low, high = interval(values, number.statistic)
    inside = low - number.rounding <= number.value <= high + number.rounding
    return Verdict(values, (low, high), "inside" if inside else "outside")


def interval(values: Sequence[float], statistic: str = "run") -> tuple[float, float]:
    """Where a new run's value lies with LEVEL, or the "mean" or "sd" of FIVE new ones.

    Exact for normal values: Hahn and Meeker, Statistical Intervals (1991).

    Args:
        values: two or more, a seed each.
        statistic: "run", "mean" or "sd".
    """
    from scipy import stats

    n, mean, sd = len(values), float(np.mean(values)), float(np.std(values, ddof=1))
    tail = (1 - LEVEL) / 2
    if statistic == "sd":
        low, high = (float(stats.f.ppf(q, FIVE - 1, n - 1)) for q in (tail, 1 - tail))
        return sd * math.sqrt(low), sd * math.sqrt(high)
    new = {"run": 1, "mean": FIVE}[statistic]
    half = float(stats.t.ppf(1 - tail, n - 1)) * sd * math.sqrt(1 / new + 1 / n)
    return mean - half, mean + half
