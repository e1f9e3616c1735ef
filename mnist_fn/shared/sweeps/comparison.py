"""What a sweep's runs say: mean ± sd over seeds of each condition, and which condition is best."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mnist_fn.shared import statistics
from mnist_fn.shared.config import Config
from mnist_fn.shared.errors import Argument, InputError
from mnist_fn.shared.runs import metrics
from mnist_fn.shared.runs.folder import RunFolder
from mnist_fn.shared.runs.run import Run

METRICS = ("test_accuracy", "test_loss", "validation_accuracy", "validation_loss")
VARIED = ("model", "learning_rate", "l2")  # what tells conditions apart


@dataclass(frozen=True)
class Result:
    """The figures of a finished run that are compared: thousands of these fit into memory."""

    config: Config
    values: dict[str, float]  # metric -> value after the last epoch
    path: Path | None  # of the run's folder
    in_memory: Run | None = None  # the run itself, where it has no folder

    def load(self) -> Run:
        """The run; InputError if it has changed since."""
        if self.path is None:
            assert self.in_memory is not None  # noqa: S101 - without a folder it is
            return self.in_memory
        run = RunFolder(self.path).load()
        if result_of(run) != self or not run.finished:
            raise InputError(
                f"{self.path}: changed since this sweep, resumed or trained again; make the sweep "
                "again to compare what is there"
            )
        return run


def result_of(run: Run) -> Result:
    """The figures of a run that are compared."""
    last = run.rows[-1]
    values = {name: last[name] for name in METRICS if name in last}
    return Result(run.config, values, run.path, run if run.path is None else None)


def unit_of(metric: str) -> str:
    """The unit that `wording.figure` shows a metric in: "loss" or "accuracy"."""
    return metric.rpartition("_")[2]


@dataclass(frozen=True)
class Condition:
    """One combination of model, learning rate and λ over its seeds, after the last epoch."""

    config: Config  # of its first seed
    seeds: tuple[int, ...]  # ascending
    values: dict[str, np.ndarray] = field(repr=False)  # metric -> float64 [seeds]

    @property
    def name(self) -> dict[str, Any]:
        """What tells it apart, for tables and JSON."""
        return {name: getattr(self.config, name) for name in VARIED}

    def mean(self, metric: str) -> float:
        """Over seeds."""
        return float(self.values[metric].mean())

    def sd(self, metric: str) -> float:
        """Over seeds, with n - 1; NaN for a single one."""
        return statistics.standard_deviation(self.values[metric])

    def interval(self, metric: str) -> tuple[float, float]:
        """Student's 95 % interval of the mean, an accuracy's within 0 and 1; NaN for a single seed
        or seeds with one and the same value.
        """
        low, high = statistics.mean_interval(self.values[metric])
        return (max(low, 0.0), min(high, 1.0)) if metric.endswith("accuracy") else (low, high)

    def at_seeds(self, metric: str, seeds: Sequence[int]) -> np.ndarray:
        """The metric at these seeds, float64 [len(seeds)]."""
        return self.values[metric][np.searchsorted(self.seeds, seeds)]


@dataclass(frozen=True)
class Best:
    """The condition with the best mean, and what a paired test says of each other one."""

    condition: Condition
    metric: str
    worse: list[Condition]  # significantly: the test tells them apart from the best
    undecided: list[Condition]  # the test does not tell them apart
    untested: list[Condition]  # fewer than two seeds are shared

    @property
    def config(self) -> Config:
        """Of the best condition's first seed."""
        return self.condition.config


def conditions(results: Iterable[Result]) -> list[Condition]:
    """Results by condition, in the order of their first; equal but for the seed."""
    groups: dict[Config, list[Result]] = {}
    for result in results:
        groups.setdefault(result.config.replace(seed=0), []).append(result)
    grouped: list[Condition] = []
    for group in groups.values():
        group.sort(key=lambda result: result.config.seed)
        values: dict[str, np.ndarray] = {}
        for metric in group[0].values:
            values[metric] = np.array([result.values[metric] for result in group])
        seeds = tuple(result.config.seed for result in group)
        grouped.append(Condition(group[0].config, seeds, values))
    return grouped


def check_metric(name: str | None, config: Config) -> str:
    """The metric to choose by: `name`, else accuracy, on the validation split if there is one.

    Raises:
        InputError: no such metric, or no validation split for it.
    """
    if name is None:
        return "validation_accuracy" if config.validation else "test_accuracy"
    if name not in METRICS:
        raise InputError("metric", name, tuple(METRICS))
    if name.startswith("validation") and not config.validation:
        hint = ("there is no validation split; add ", Argument("validation"))
        raise InputError("metric", name, hint=hint)
    return name


def best(candidates: Sequence[Condition], metric: str) -> Best:
    """The condition with the best mean of the metric; the first of equals.

    The others are told apart from it by a test paired by seed (the same initial weights and
    batches): Student's t, with Bonferroni's correction for the number of conditions.
    """
    top = metrics.BEST[metric](candidates, key=lambda condition: condition.mean(metric))
    verdicts: dict[str, list[Condition]] = {"worse": [], "undecided": [], "untested": []}
    for rival in candidates:
        if rival is top:
            continue
        shared = sorted(set(rival.seeds) & set(top.seeds))
        if len(shared) < 2:
            verdicts["untested"].append(rival)
            continue
        gaps = rival.at_seeds(metric, shared) - top.at_seeds(metric, shared)
        verdict = "worse" if statistics.differs(gaps, len(candidates) - 1) else "undecided"
        verdicts[verdict].append(rival)
    return Best(top, metric, **verdicts)
