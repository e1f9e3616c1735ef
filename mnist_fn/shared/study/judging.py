"""Does a published number lie inside our spread over seeds, and could it have lain outside?"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from mnist_fn.shared import statistics
from mnist_fn.shared.runs.store import Records
from mnist_fn.shared.study.published import PublishedNumber, values_of

LEVEL = 0.99
FIVE = 5  # runs behind the study's means and sds
# Where a new run's value lies with LEVEL, or the "mean" or "sd" of FIVE new ones.
interval = partial(statistics.prediction_interval, confidence=LEVEL, size=FIVE)
VERDICTS = ("inside", "outside", "undecidable", "can't tell", "not decided", "no runs")
WITH_INTERVAL = VERDICTS[:4]
MAX_SEEDS = 10_000  # beyond these no plan goes
# What an error has to be to matter. Set when the first verdicts, all inside, had been seen: it can
# take an "inside" away, and never an "outside".
LOSS, ERRORS, RATE, EPOCHS, FACTOR = 0.1, 0.2, 0.5, 0.25, 2.0
RULE = (
    "A published number of one run is *inside* if it lies in our 99 % prediction interval for one "
    "new run, mean ± t(0.995, n-1)·sd·√(1 + 1/n) over n seeds. For a mean of five runs the root is "
    "√(1/5 + 1/n). An sd of five runs has to lie between sd·√F(0.005; 4, n-1) and "
    "sd·√F(0.995; 4, n-1). Accuracies and shares are bounded, so their interval is computed of "
    "arcsin √p and turned back. Epochs are whole and end with the run, so their interval is "
    "rounded outwards and cut there. A published number stands for all numbers that round to it. "
    "One number in a hundred is outside by chance. One seed decides nothing. *Inside* says "
    "something only where the interval is narrow: to either side of our mean, narrower than an "
    f"error that matters. That is {LOSS:.0%} of a loss, {ERRORS:.0%} of an accuracy's errors, "
    f"{RATE:.0%} of a rate (a confusion's, or of a class's errors), {EPOCHS:.0%} of the run for an "
    f"epoch, and a factor {FACTOR:g} for an sd. Where the interval is wider, or our seeds don't "
    "differ at all, the verdict is *can't tell*, with the number of seeds that would tell. Where "
    "it would be wider at any number of seeds, because one run scatters too much, the verdict is "
    "*undecidable*, and only the joint verdict uses the number. Three columns say how sharp a "
    "verdict is: the interval's half-width, how many of our sds the published number is away, and "
    "the largest error of it that would pass. We count epochs from 1 and the notebook from 0, so 1 "
    "is added to a published epoch. (The study says this of the selection only; in the λ table two "
    "minima at 99 of 100 epochs show the same.)"
)


@dataclass(frozen=True)
class NumberVerdict:
    """A published number and ours of one backend."""

    values: tuple[float, ...]  # ours, a seed each
    interval: tuple[float, float] | None  # None: fewer than two seeds
    verdict: str  # one of VERDICTS
    largest_undetected_error: float | None = None  # of the number, which would still be inside
    z_score: float | None = None  # how many of our sds it is above our mean; None for an sd
    seeds_needed: int | None = None  # of "can't tell": to tell at our sd; None if nobody knows
    limit: float | None = None  # of "undecidable": the half-width at any number of seeds

    @property
    def n(self) -> int:
        """Seeds."""
        return len(self.values)

    @property
    def mean(self) -> float:
        """Over seeds; NaN without any."""
        return statistics.mean(self.values)

    @property
    def sd(self) -> float | None:
        """Over seeds, with n - 1; None for fewer than two."""
        return statistics.standard_deviation(self.values) if self.n > 1 else None

    @property
    def half_width(self) -> float | None:
        """From our mean to the interval's farther end."""
        return None if self.interval is None else half_width(self.mean, self.interval)


def judge(number: PublishedNumber, records: Records) -> NumberVerdict:
    """Compare a published number with the runs of one backend, by RULE."""
    return judge_values(number, values_of(number.of_seed, records))


def judge_values(number: PublishedNumber, values: tuple[float, ...]) -> NumberVerdict:
    """Compare a published number with what was measured of each seed, by RULE."""
    if len(values) < 2:
        return NumberVerdict(values, None, "not decided" if values else "no runs")
    low, high = _interval_for(number, values)
    verdict = NumberVerdict(values, (low, high), "outside")
    sd = verdict.sd or 0.0
    if sd and number.statistic != "sd":
        verdict = replace(verdict, z_score=(number.value - verdict.mean) / sd)
    if sd and not low - number.rounding <= number.value <= high + number.rounding:
        return verdict
    verdict = replace(
        verdict,
        largest_undetected_error=max(high - number.value, number.value - low) + number.rounding,
    )
    if not sd:
        return replace(verdict, verdict="can't tell")
    if _is_sharp(number, verdict.mean, (low, high)):
        return replace(verdict, verdict="inside")
    narrowest = _interval_for(number, values, math.inf)
    if not _is_sharp(number, verdict.mean, narrowest):
        limit = None if number.statistic == "sd" else half_width(verdict.mean, narrowest)
        return replace(verdict, verdict="undecidable", limit=limit)
    return replace(verdict, verdict="can't tell", seeds_needed=_seeds_needed(number, verdict))


def _seeds_needed(number: PublishedNumber, verdict: NumberVerdict) -> int:
    """Return the fewest seeds of our mean and sd whose interval is narrow enough."""

    def is_enough(n: int) -> bool:
        return _is_sharp(number, verdict.mean, _interval_for(number, verdict.values, n))

    counts = range(verdict.n, MAX_SEEDS)
    return counts.start + bisect_left(counts, True, key=is_enough)


def swaps(numbers: Sequence[PublishedNumber], records: Records) -> tuple[int, int]:
    """Put each published value in the place of every other of its kind.

    A number of one λ in another's row should be outside there; those printed alike are not tried.

    Returns:
        In how many swaps the verdict is "outside", and how many there are.
    """
    detected = total = 0
    for number in numbers:
        for donor in numbers:
            if not number.kind or donor.kind != number.kind or donor.printed == number.printed:
                continue
            verdict = judge(replace(number, printed=donor.printed), records)
            if verdict.interval is not None:
                total += 1
                detected += verdict.verdict == "outside"
    return detected, total


def half_width(mean: float, interval: tuple[float, float]) -> float:
    """Return the distance from our mean to the interval's farther end."""
    low, high = interval
    return max(high - mean, mean - low)


def _is_sharp(number: PublishedNumber, mean: float, interval: tuple[float, float]) -> bool:
    """Whether a number that is off by what matters would be outside, were ours the true mean."""
    value = number.value
    if number.statistic == "sd":
        low, high = interval
        return high <= FACTOR * value and low >= value / FACTOR
    matters = {
        "loss": LOSS * value,
        "accuracy": ERRORS * (1 - value),
        "share": RATE * min(value, 1 - value),
        "epoch": EPOCHS * number.config.epochs,
    }
    return half_width(mean, interval) + number.rounding <= matters[number.unit]


def _interval_for(
    number: PublishedNumber, values: Sequence[float], n: float | None = None
) -> tuple[float, float]:
    if number.unit in ("accuracy", "share"):
        angles = np.arcsin(np.sqrt(values))
        ends = np.clip(interval(angles, statistic=number.statistic, n=n), 0, math.pi / 2)
        low, high = np.sin(ends) ** 2
        return float(low), float(high)
    low, high = interval(values, statistic=number.statistic, n=n)
    if number.unit == "epoch":
        return float(max(math.floor(low), 1)), float(min(math.ceil(high), number.config.epochs))
    return low, high
