"""Same accuracy, or not: paired tests over seeds, of two backends or two precisions.

Equivalence is shown by two one-sided tests (TOST; Schuirmann 1987, J. Pharmacokinet. Biopharm.
15, 657), not by failing to find a difference. SciPy is imported where it is used.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.runs.run import Run

ALPHA = 0.05
LONG = 30  # seeds from which the narrower margin is asked for
MARGINS = {"short": 0.20, "long": 0.10}  # percentage points of test accuracy


@dataclass(frozen=True)
class Equivalence:
    """A paired comparison of a figure, and what it decides. In the figure's own unit."""

    n: int
    mean: float  # of the differences, left minus right
    sd: float  # of the differences, with n - 1
    interval: tuple[float, float]  # 90 %, of the mean
    margin: float  # δ
    p: float  # the larger of the two one-sided tests'
    p_difference: float  # two-sided, of no difference at all
    power: float  # to show equivalence at this n and sd if there is no difference
    verdict: str  # "equivalent", "different" or "not decided"


@dataclass(frozen=True)
class Disagreement:
    """Paired predictions of two classifiers on one test set."""

    left_only: int  # examples that the left alone has right
    right_only: int
    p: float  # McNemar's exact test
    churn: float  # share of examples predicted differently, right or wrong


def tost(differences: Sequence[float], margin: float) -> Equivalence:
    """Two one-sided t tests of paired differences against ±margin, at α = 0.05.

    `equivalent`: both tests reject, so the 90 % interval lies within ±margin. `different`: not
    equivalent, and a two-sided test rejects no difference. Else `not decided`: not significant is
    not the same as equal. The power is at least that from the two noncentral t tails, at a true
    difference of 0 and the observed sd.

    Raises:
        InputError: fewer than two pairs.
    """
    from scipy import stats

    d = np.asarray(differences, dtype=np.float64)
    n, df = len(d), len(d) - 1
    if n < 2:
        raise InputError(f"--seeds {n}: statistics need at least 2 seeds")
    mean, sd = float(d.mean()), float(d.std(ddof=1))
    error = sd / math.sqrt(n)
    critical = float(stats.t.ppf(1 - ALPHA, df))
    interval = (mean - critical * error, mean + critical * error)
    if error == 0:  # no spread: decided by the mean alone
        p, p_difference, power = float(abs(mean) >= margin), float(mean == 0), 1.0
    else:
        p = max(stats.t.sf((mean + margin) / error, df), stats.t.cdf((mean - margin) / error, df))
        p_difference = 2 * stats.t.sf(abs(mean) / error, df)
        power = power_of(n, sd, margin)
    verdict = "equivalent" if p < ALPHA else "different" if p_difference < ALPHA else "not decided"
    return Equivalence(
        n, mean, sd, interval, margin, float(p), float(p_difference), float(power), verdict
    )


def power_of(n: int, sd: float, margin: float) -> float:
    """The chance that `tost` of n pairs says `equivalent` if they don't differ, at least."""
    from scipy import stats

    critical = stats.t.ppf(1 - ALPHA, n - 1)
    return max(0.0, float(2 * stats.nct.sf(critical, n - 1, margin * math.sqrt(n) / sd) - 1))


def pairs_needed(sd: float, margin: float, power: float) -> int:
    """The fewest pairs that have this power, where their differences have this sd (> 0)."""
    return next(n for n in itertools.count(2) if power_of(n, sd, margin) >= power)


def disagreement(left: np.ndarray, right: np.ndarray, labels: np.ndarray) -> Disagreement:
    """Compare predictions, int [n] each, by McNemar's exact test (a binomial test on the examples
    that only one has right) and by churn.
    """
    from scipy import stats

    left_only = int(((left == labels) & (right != labels)).sum())
    right_only = int(((left != labels) & (right == labels)).sum())
    discordant = left_only + right_only
    p = float(stats.binomtest(left_only, discordant).pvalue) if discordant else 1.0
    return Disagreement(left_only, right_only, p, float((left != right).mean()))


def compare_runs(left: Sequence[Run], right: Sequence[Run], labels: np.ndarray) -> dict[str, Any]:
    """All that is said of two sides' runs, paired: the same experiment and seed on two backends,
    in two precisions or on two devices.

    The test accuracy after the last epoch is compared in percentage points. The scale of churn
    and of McNemar's test is that between neighbouring seeds of one side.
    """
    margin = MARGINS["long" if len(left) >= LONG else "short"]
    sides = dict(zip(_names(left[0], right[0]), (left, right), strict=True))
    ours, theirs = (
        np.array([100 * run.evaluation.accuracy for run in runs]) for runs in sides.values()
    )
    pairs = [
        disagreement(a.evaluation.predictions, b.evaluation.predictions, labels)
        for a, b in zip(left, right, strict=True)
    ]
    return {
        "unit": "percentage points",
        "alpha": ALPHA,
        "seeds": [run.config.seed for run in left],
        "accuracy": {
            name: {
                "mean": float(own.mean()),
                "sd": float(own.std(ddof=1)),
                "values": [round(float(value), 2) for value in own],
            }
            for name, own in zip(sides, (ours, theirs), strict=True)
        },
        "tost": asdict(tost((ours - theirs).tolist(), margin)),
        "mcnemar": {
            "significant": sum(pair.p < ALPHA for pair in pairs),
            "expected_by_chance": ALPHA * len(pairs),
            "between_seeds": {
                name: _significant_between_seeds(runs, labels) for name, runs in sides.items()
            },
            "pairs": [asdict(pair) for pair in pairs],
        },
        "churn": {
            "between_sides": float(np.mean([pair.churn for pair in pairs])),
            "between_seeds": {name: _churn_between_seeds(runs) for name, runs in sides.items()},
        },
    }


def _names(left: Run, right: Run) -> tuple[str, str]:
    """What tells the sides apart: the backends, else the precisions, else the devices."""
    for a, b in (
        (left.backend, right.backend),
        (left.config.precision, right.config.precision),
        (left.device, right.device),
    ):
        if a != b:
            return a, b
    return "left", "right"


def _significant_between_seeds(runs: Sequence[Run], labels: np.ndarray) -> int:
    """Of the n - 1 neighbouring seeds, how many McNemar's test tells apart."""
    predictions = [run.evaluation.predictions for run in runs]
    return sum(disagreement(a, b, labels).p < ALPHA for a, b in itertools.pairwise(predictions))


def _churn_between_seeds(runs: Sequence[Run]) -> float:
    predictions = [run.evaluation.predictions for run in runs]
    return float(np.mean([(a != b).mean() for a, b in itertools.pairwise(predictions)]))
