"""What a sweep's runs say: mean ± sd over seeds of each condition, and which condition is best."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mnist_fn.shared import statistics
from mnist_fn.shared.config import Config
from mnist_fn.shared.errors import Argument, InputError
from mnist_fn.shared.runs import metrics
from mnist_fn.shared.runs.run import Run

METRICS = ("test_accuracy", "test_loss", "validation_accuracy", "validation_loss")
VARIED = ("model", "learning_rate", "l2")  # what tells conditions apart


def unit_of(metric: str) -> str:
    """The unit that `wording.figure` shows a metric in: "loss" or "accuracy"."""
    return metric.rpartition("_")[2]


@dataclass(frozen=True)
class Condition:
    """One combination of model, learning rate and λ over its seeds, after the last epoch."""

    _runs: tuple[Run, ...] = field(repr=False)  # ascending by seed; their last rows are read

    @property
    def config(self) -> Config:
        """Of its first seed."""
        return self._runs[0].config

    @property
    def seeds(self) -> list[int]:
        """Of its runs, ascending."""
        return [run.config.seed for run in self._runs]

    @property
    def name(self) -> dict[str, Any]:
        """What tells it apart, for tables and JSON."""
        return {name: getattr(self.config, name) for name in VARIED}

    @property
    def metrics(self) -> list[str]:
        """The names of the figures that its runs have."""
        return list(figures_of(self._runs[0]))

    def values(self, metric: str) -> np.ndarray:
        """The metric at each seed, float64 [seeds]."""
        return np.array([run.rows[-1][metric] for run in self._runs])

    def mean(self, metric: str) -> float:
        """Over seeds."""
        return float(self.values(metric).mean())

    def sd(self, metric: str) -> float:
        """Over seeds, with n - 1; NaN for a single one."""
        return statistics.standard_deviation(self.values(metric))

    def interval(self, metric: str) -> tuple[float, float]:
        """Student's 95 % interval of the mean, an accuracy's within 0 and 1; NaN for a single seed
        or seeds with one and the same value.
        """
        low, high = statistics.mean_interval(self.values(metric))
        return (max(low, 0.0), min(high, 1.0)) if metric.endswith("accuracy") else (low, high)


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


def figures_of(run: Run) -> dict[str, float]:
    """The figures of a run that are compared: after its last epoch, by metric."""
    last = run.rows[-1]
    return {name: last[name] for name in METRICS if name in last}


def conditions(runs: Iterable[Run]) -> list[Condition]:
    """Finished runs by condition, in the order of their first; equal but for the seed."""
    groups: dict[Config, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.config.replace(seed=0), []).append(run)
    grouped: list[Condition] = []
    for group in groups.values():
        grouped.append(Condition(tuple(sorted(group, key=lambda run: run.config.seed))))
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
        _, ours, theirs = np.intersect1d(top.seeds, rival.seeds, return_indices=True)
        if len(ours) < 2:
            verdicts["untested"].append(rival)
            continue
        gaps = rival.values(metric)[theirs] - top.values(metric)[ours]
        verdict = "worse" if statistics.differs(gaps, len(candidates) - 1) else "undecided"
        verdicts[verdict].append(rival)
    return Best(top, metric, **verdicts)
