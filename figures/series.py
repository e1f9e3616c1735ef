"""Curves out of run records: of each seed the longest run, stacked."""

from collections.abc import Sequence

import numpy as np

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.wording import l2_name, shape_name


def as_runs(records: Run | Sequence[Run]) -> Sequence[Run]:
    """One run stands for a list of it."""
    return [records] if isinstance(records, Run) else records


def select(records: Sequence[Run], hidden: tuple[int, ...], l2: float = 0.0) -> list[Run]:
    """Of each seed the longest run of this shape and λ, by seed; validation splits are others'.

    Raises:
        InputError: there is none.
    """
    longest: dict[int, Run] = {}
    for run in records:
        config = run.config
        if (config.hidden, config.l2, config.validation) == (hidden, l2, 0):
            held = longest.get(config.seed)
            if held is None or len(held.rows) < len(run.rows):
                longest[config.seed] = run
    if not longest:
        raise InputError(
            f"no record of {shape_name(hidden)}, {l2_name(l2)} to draw: this is a figure of the "
            "study, and needs its runs; figures.curves.plot(runs) draws any"
        )
    return [run for _, run in sorted(longest.items())]


def stack(runs: Sequence[Run], column: str) -> np.ndarray:
    """A column over epochs, float64 [seeds, epochs], as long as the shortest run."""
    curves: list[list[float]] = []
    for run in runs:
        curves.append([row[column] for row in run.rows])
    epochs = min(map(len, curves))
    return np.array([curve[:epochs] for curve in curves])


def accuracies(runs: Sequence[Run]) -> np.ndarray:
    """The test accuracy of each class in percent, float64 [classes, seeds, epochs]."""
    labels = range(len(runs[0].data_spec.names))
    return 100 * np.array([stack(runs, f"test_accuracy_{label}") for label in labels])
