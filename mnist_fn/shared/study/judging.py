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
RULE_PARAGRAPHS = (
    "We compare each published number with our 99 % prediction interval. For a number of one run, "
    "this interval says where the number of one new run lies: mean ± t(0.995, n-1)·sd·√(1 + 1/n), "
    "over n seeds of ours. For a mean of five runs, the root is √(1/5 + 1/n). For an sd of five "
    "runs, the interval is sd·√F(0.005; 4, n-1) to sd·√F(0.995; 4, n-1). Accuracies and shares are "
    "bounded: we compute their interval of arcsin √p and transform it back. Epochs are whole "
    "numbers between 1 and the run's length: we round their interval outwards and cut it there. A "
    "published number is rounded, so it stands for all numbers that round to it. It is *outside* "
    "if all of them lie outside the interval. By chance alone, this happens to at most one "
    "number in a hundred, and more often to a confusion that was chosen because it is the largest "
    "of its run. One seed decides nothing.",
    "*Inside* needs a narrow interval as well. Otherwise a wrong number would be inside, too. So "
    "the interval has to reach less far, to either side of our mean, than an error that matters. "
    f"These errors matter: {LOSS:.0%} of a loss, {ERRORS:.0%} of an accuracy's errors, "
    f"{RATE:.0%} of a rate (a confusion's, or of a class's errors), {EPOCHS:.0%} of the run for an "
    f"epoch, and a factor {FACTOR:g} for an sd. If the interval is wider, the verdict is *can't "
    "tell*, with the number of seeds that would tell. It is *can't tell*, too, if our seeds don't "
    "differ at all. If single runs scatter so much that no number of seeds would tell, the verdict "
    "is *undecidable*. Only the joint verdict uses such a number.",
    "Three columns say how sharp a verdict is. The first is the interval's half-width. The second "
    "is the distance of the published number from our mean, in our sds. The third is how "
    "wrong the published number could be and still be judged *inside*.",
    "We count epochs from 1 and the notebook counts from 0, so we add 1 to a published epoch. (The "
    "study says this of the selection only. In the λ table, two minima at 99 of 100 epochs show "
    "the same.)",
)
RULE = " ".join(RULE_PARAGRAPHS)


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
