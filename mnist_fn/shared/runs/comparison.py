"""What a sweep says: mean ± sd over seeds for each combination, and the best λ of each model."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mnist_fn.shared import statistics
from mnist_fn.shared.config import Config
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.runs.run import Run

MEASURES = ("test_accuracy", "test_loss", "validation_accuracy", "validation_loss")


@dataclass(frozen=True)
class Ended:
    """What is compared of a finished run: thousands of these stay in memory, not of their runs."""

    config: Config
    path: Path | None
    values: dict[str, float]  # measure -> after the last epoch


def ended(run: Run) -> Ended:
    """The figures of a run that are compared."""
    last = run.rows[-1]
    return Ended(run.config, run.path, {name: last[name] for name in MEASURES if name in last})


@dataclass(frozen=True)
class Cell:
    """One combination of model, learning rate and λ over its seeds, after the last epoch."""

    config: Config  # of any of its seeds
    seeds: tuple[int, ...]
    values: dict[str, np.ndarray] = field(repr=False)  # measure -> float64 [seeds]

    @property
    def name(self) -> dict[str, Any]:
        """What tells it apart, for tables and JSON."""
        config = self.config
        return {"model": config.model, "learning_rate": config.learning_rate, "l2": config.l2}

    def mean(self, measure: str) -> float:
        """Return the mean over seeds."""
        return statistics.mean(self.values[measure])

    def sd(self, measure: str) -> float:
        """Return the standard deviation over seeds, with n - 1; NaN for a single one."""
        return statistics.standard_deviation(self.values[measure])

    def interval(self, measure: str) -> tuple[float, float]:
        """Return Student's 95 % interval of the mean, an accuracy's within 0 and 1; NaN for a
        single seed, or seeds that are all alike.
        """
        low, high = statistics.mean_interval(self.values[measure])
        if measure.endswith("accuracy"):
            low, high = np.clip((low, high), 0.0, 1.0)
        return float(low), float(high)


@dataclass(frozen=True)
class Best:
    """The λ with the best mean among those of one model and learning rate."""

    cell: Cell
    measure: str
    l2_interval: tuple[float, float] | None  # smallest and largest λ not told apart from it


def cells(runs: Iterable[Ended]) -> list[Cell]:
    """Runs by combination, in the order of their first; equal but for the seed."""
    by_combination: dict[Config, list[Ended]] = {}
    for run in runs:
        by_combination.setdefault(run.config.replace(seed=0), []).append(run)
    found = []
    for together in by_combination.values():
        ordered = sorted(together, key=lambda run: run.config.seed)
        measures = ordered[0].values
        values = {name: np.array([run.values[name] for run in ordered]) for name in measures}
        seeds = tuple(run.config.seed for run in ordered)
        found.append(Cell(ordered[0].config, seeds, values))
    return found


def check_measure(name: str | None, config: Config) -> str:
    """The measure to choose λ by: `name`, else accuracy, on the validation split if there is one.

    Raises:
        InputError: no such measure, or no validation split for it.
    """
    if name is None:
        return "validation_accuracy" if config.validation else "test_accuracy"
    if name not in MEASURES:
        raise InputError(f"`by={name[:40]!r}`: must be one of {', '.join(MEASURES)}")
    if name.startswith("validation") and not config.validation:
        raise InputError(f'`by="{name}"`: there is no validation split; add `validation`')
    return name


def best(found: Sequence[Cell], measure: str) -> list[Best]:
    """The best λ of each model and learning rate, in the order of their first."""
    series: dict[Config, list[Cell]] = {}
    for cell in found:
        series.setdefault(cell.config.replace(seed=0, l2=0.0), []).append(cell)
    sign = 1 if measure.endswith("loss") else -1
    chosen = []
    for together in series.values():
        top = min(together, key=lambda cell: sign * cell.mean(measure))
        chosen.append(Best(top, measure, _l2_interval(top, together, measure)))
    return chosen


def _l2_interval(top: Cell, others: Sequence[Cell], measure: str) -> tuple[float, float] | None:
    """λ whose difference from the best has a 95 % interval with 0 in it.

    Paired by seed (the same initial weights and batches), Student's t, Bonferroni's correction
    over the λ compared. None where there is no other λ, or
    fewer than two seeds are shared.
    """
    rest = [cell for cell in others if cell is not top]
    if not rest:
        return None
    kept = [top.config.l2]
    for cell in rest:
        shared = sorted(set(cell.seeds) & set(top.seeds))
        if len(shared) < 2:
            return None
        differences = _at(cell, measure, shared) - _at(top, measure, shared)
        if not statistics.differs(differences, comparisons=len(rest)):
            kept.append(cell.config.l2)
    return min(kept), max(kept)


def _at(cell: Cell, measure: str, seeds: Sequence[int]) -> np.ndarray:
    return cell.values[measure][[cell.seeds.index(seed) for seed in seeds]]
