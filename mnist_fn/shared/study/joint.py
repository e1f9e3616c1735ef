"""Is the published study as a whole a draw from ours? One p-value for each experiment and for all.

Single numbers can decide little: the interval for one new run is wide at any number of seeds. All
numbers of a run together decide more, and all runs together more still.

Numbers are grouped by the config that they were measured on: a group has one published run, or
several. It is compared with our seeds of that config in two statistics: how far the mean of its
runs is from our mean, and how much its runs scatter. Stand-ins for the published group are drawn
from our own seeds and compared with the seeds left, in the same way and all rounded to the
published digits; so neither normality nor the choice of the largest confusions has to be modelled.
A statistic's rank among the stand-ins' is its p-value; the sum of -log p over the statistics of
several groups is ranked among the stand-ins' sums again (Fisher's combination by permutation;
Pesarin and Salmaso 2010). Groups are independent: the study trained each of its runs separately.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mnist_fn.shared.config import Config
from mnist_fn.shared.evaluation import worst_confusions
from mnist_fn.shared.runs.store import Records
from mnist_fn.shared.study.published import PublishedNumber, cell, with_seed

DRAWS = 999  # stand-ins: the least p-value is 0.001
SHRINKAGE = 0.5  # of our seeds' correlations towards none: there are few seeds for 18 numbers
ROUNDING = 1e-9  # of a statistic: those that are equal but for it count as equally far
MIN_SEEDS = 4  # of ours beyond the group's own runs: fewer have no covariance to speak of
WHOLE_STUDY = "the study"
RULE = (
    "The joint verdict asks whether the published numbers, of an experiment or of the whole "
    "study, are a draw from our runs. It compares all numbers of one published run at once, "
    "and several runs of a config by their mean and their scatter. It measures their squared "
    "distance from our seeds in our seeds' covariance (correlations shrunk by "
    f"{SHRINKAGE:.0%}; losses as logarithms, shares as arcsin √p, all rounded as printed). To "
    "say how usual this distance is, stand-ins for the published runs are drawn from our "
    f"seeds and compared with the remaining seeds, {DRAWS} times. p is the share of stand-ins "
    "that are as far away or farther. The confusions of a stand-in are its own largest ones, "
    "as the published ones are. Experiments are combined by the sum of -log p, ranked in the "
    "same way. A p below 0.05 says that the published numbers are not a draw from our runs."
)


@dataclass(frozen=True)
class PublishedGroup:
    """Published runs of one config, each with the same numbers measured on it."""

    experiment: str
    config: Config  # of the first seed
    runs: tuple[tuple[PublishedNumber, ...], ...]  # the numbers of each published run


@dataclass(frozen=True)
class JointVerdict:
    """How likely a study like ours is to be as far from ours as the published one is."""

    groups: int  # published configs that were compared
    numbers: int
    seeds: tuple[int, int]  # the fewest and the most of ours behind a group
    p: float
    least_p: float  # that could have come out: few seeds limit it


@dataclass(frozen=True)
class Sample:
    """Numbers of a group's published runs and of our seeds, on the scale of comparison."""

    published: np.ndarray  # [runs, numbers]
    rounding: np.ndarray  # [numbers]: half a unit of the last printed digit
    # Ours, [seeds, numbers]; one for each seed as a stand-in, since its largest confusions are
    # other cells than the published ones. `ours` has the published cells.
    ours: np.ndarray
    as_stand_in: list[np.ndarray]


def groups(numbers: Sequence[PublishedNumber]) -> list[PublishedGroup]:
    """Group the numbers of single runs by config; means and sds follow from these."""
    runs: dict[tuple[str, Config], dict[str, list[PublishedNumber]]] = {}
    for number in numbers:
        if number.statistic == "run":
            of_config = runs.setdefault((number.experiment, number.config), {})
            of_config.setdefault(number.run, []).append(number)
    grouped: list[PublishedGroup] = []
    for (experiment, config), by_run in runs.items():
        grouped.append(PublishedGroup(experiment, config, tuple(map(tuple, by_run.values()))))
    return grouped


def judge_jointly(numbers: Sequence[PublishedNumber], records: Records) -> dict[str, JointVerdict]:
    """Judge all published numbers together, and those of each experiment.

    Args:
        numbers: published.
        records: our runs on one backend.

    Returns:
        By experiment, and by WHOLE_STUDY; groups with too few seeds of ours are left out.
    """
    rng = np.random.default_rng(0)
    evidence: dict[str, list[np.ndarray]] = {}  # -log p: published, then each stand-in
    compared: dict[str, list[tuple[int, int]]] = {}  # numbers and seeds of each group
    for group in groups(numbers):
        sample = sample_of(group, records)
        seeds, runs = len(sample.ours), len(sample.published)
        if seeds < runs + MIN_SEEDS:
            continue
        statistics = statistics_of(sample, rng)
        for name in (group.experiment, WHOLE_STUDY):
            evidence.setdefault(name, []).append(-np.log(p_values(statistics)).sum(axis=1))
            compared.setdefault(name, []).append((sample.published.size, seeds))
    verdicts = {}
    for name, of_groups in evidence.items():
        total = np.sum(of_groups, axis=0)
        counts, seeds_behind = zip(*compared[name], strict=True)
        stand_ins = total[1:]
        as_far_as_any = int(np.sum(stand_ins >= stand_ins.max() - ROUNDING))
        verdicts[name] = JointVerdict(
            groups=len(of_groups),
            numbers=sum(counts),
            seeds=(min(seeds_behind), max(seeds_behind)),
            p=float(p_values(total[:, None])[0, 0]),
            least_p=1 / (DRAWS + 1) if len(of_groups) > 1 else as_far_as_any / DRAWS,
        )
    return verdicts


def statistics_of(sample: Sample, rng: np.random.Generator) -> np.ndarray:
    """Compare the published group, then each of DRAWS stand-ins: [1 + DRAWS, 2]."""
    runs, seeds = len(sample.published), len(sample.ours)
    published = compare(sample.published, sample.ours, sample.rounding)
    stand_ins: list[tuple[float, float]] = []
    if runs == 1:  # there are only as many stand-ins as seeds
        for seed, ours in enumerate(sample.as_stand_in):
            remaining = np.delete(ours, seed, axis=0)
            stand_ins.append(compare(ours[[seed]], remaining, sample.rounding))
        return np.vstack([published, np.array(stand_ins)[rng.integers(seeds, size=DRAWS)]])
    for _ in range(DRAWS):
        chosen = rng.choice(seeds, runs, replace=False)
        remaining = np.delete(sample.ours, chosen, axis=0)
        stand_ins.append(compare(sample.ours[chosen], remaining, sample.rounding))
    return np.vstack([published, stand_ins])


def compare(group: np.ndarray, ours: np.ndarray, rounding: np.ndarray) -> tuple[float, float]:
    """Return how far a group's mean is from ours, and how unlike its scatter is.

    Both are squared distances in our seeds' covariance, divided by the number of numbers. The
    second is |log| of the ratio of the group's own scatter to ours; 0 for a single run.

    Args:
        group: [runs, numbers], published or a stand-in.
        ours: [seeds, numbers].
        rounding: [numbers].
    """
    runs, numbers = group.shape
    covariance = shrunk_covariance(ours) + np.diag(rounding**2 / 3)  # of a uniform error
    inverse = np.linalg.inv(covariance)
    away = group.mean(axis=0) - ours.mean(axis=0)
    distance = float(away @ inverse @ away) / numbers / (1 / runs + 1 / len(ours))
    if runs == 1:
        return distance, 0.0
    deviations = group - group.mean(axis=0)
    scatter = float(np.sum((deviations @ inverse) * deviations)) / (runs - 1) / numbers
    return distance, abs(math.log(max(scatter, 1e-12)))


def shrunk_covariance(values: np.ndarray) -> np.ndarray:
    """Return the covariance [numbers, numbers] of rows, its correlations shrunk by SHRINKAGE."""
    covariance = np.atleast_2d(np.cov(values, rowvar=False, ddof=1))
    return (1 - SHRINKAGE) * covariance + SHRINKAGE * np.diag(np.diag(covariance))


def p_values(statistics: np.ndarray) -> np.ndarray:
    """Rank each row's statistics among the stand-ins'; 1/(draws + 1) is the farthest.

    Args:
        statistics: [1 + draws, statistics], the published group's first; larger is farther.

    Returns:
        The same shape. A stand-in counts itself, the published group counts as one more.
    """
    draws = len(statistics) - 1
    p = np.empty(statistics.shape)
    for column, values in enumerate(statistics.T):
        stand_ins = np.sort(values[1:])
        nearer = np.searchsorted(stand_ins, values - ROUNDING)
        p[:, column] = (draws - nearer) / draws
        p[0, column] = (draws - nearer[0] + 1) / (draws + 1)
    return p


def sample_of(group: PublishedGroup, records: Records) -> Sample:
    """Take a group's numbers and those of our seeds that have all of them."""
    first = group.runs[0]
    seeds: list[int] = []
    for seed in records.seeds:
        if None not in [number.of_seed(records, seed) for number in first]:
            seeds.append(seed)
    ours = _rows(first, seeds, records)
    as_stand_in: list[np.ndarray] = []
    for seed in seeds:
        numbers = with_own_confusions(first, seed, records)
        as_stand_in.append(ours if numbers == first else _rows(numbers, seeds, records))
    published: list[list[float]] = []
    for run in group.runs:
        published.append([on_scale(number.unit, number.value) for number in run])
    rounding = np.array(list(map(_rounding_on_scale, first)))
    return Sample(np.array(published), rounding, ours, as_stand_in)


def with_own_confusions(
    numbers: Sequence[PublishedNumber], seed: int, records: Records
) -> tuple[PublishedNumber, ...]:
    """Put a run's own largest confusions in the place of the published ones, as many."""
    replaced = list(numbers)
    places = np.flatnonzero([number.confusion for number in numbers])
    if places.size:
        run = records.runs[with_seed(numbers[0].config, seed)]
        largest = worst_confusions(run.confusion_matrix, len(places))
        for place, confusion in zip(places, largest, strict=False):
            measure = cell(confusion.true, confusion.predicted)
            replaced[place] = replace(replaced[place], measure=measure)
    return tuple(replaced)


def on_scale(unit: str, value: float) -> float:
    """Put a number where its spread is even: losses on a log scale, shares as arcsin √p."""
    if unit == "loss":
        return math.log(value)
    if unit in ("accuracy", "share"):
        return math.asin(math.sqrt(min(max(value, 0.0), 1.0)))
    return value


def _rows(numbers: Sequence[PublishedNumber], seeds: Sequence[int], records: Records) -> np.ndarray:
    """Ours as they would have been printed, on the scale of comparison: [seeds, numbers]."""
    rows = np.empty((len(seeds), len(numbers)))
    for row, seed in zip(rows, seeds, strict=True):
        for column, number in enumerate(numbers):
            value = number.of_seed(records, seed)
            if value is None:
                raise ValueError(f"{number.what}: seed {seed} has no such run")
            digits = len(number.printed.partition(".")[2])
            row[column] = on_scale(number.unit, round(value, digits))
    return rows


def _rounding_on_scale(number: PublishedNumber) -> float:
    low = max(number.value - number.rounding, 1e-9)
    high = max(number.value + number.rounding, 1e-9)
    return (on_scale(number.unit, high) - on_scale(number.unit, low)) / 2
