"""The honest protocol: validation chooses, test is read once; and what choosing on test gains."""

from collections.abc import Sequence
from dataclasses import dataclass

from mnist_fn.shared.config import Config
from mnist_fn.shared.runs import metrics
from mnist_fn.shared.runs.store import Records

MEASURES = ("loss", "accuracy")


@dataclass(frozen=True)
class Choice:
    """The best run and epoch of a grid by one column, and the test set's figure there."""

    hidden: list[int]
    l2: float
    validation: int
    epoch: int  # the first is 1
    test: float  # loss in nats, or accuracy 0 to 1


@dataclass(frozen=True)
class Comparison:
    """The choices of one seed: on the validation split, and on the test set of the same runs."""

    seed: int
    measure: str  # one of MEASURES
    chosen_on_validation: Choice
    chosen_on_test: Choice

    @property
    def optimism(self) -> float:
        """How much better choosing on the test set looks; never negative."""
        return abs(self.chosen_on_test.test - self.chosen_on_validation.test)


def compare(records: Records, grid: Sequence[Config]) -> list[Comparison]:
    """Compare the two choices for each seed that has the whole grid, by loss and by accuracy.

    `grid` has configs of the first seed with a validation split: all widths, depths and λ.
    """
    comparisons = []
    for seed in records.seeds:
        configs = [config.replace(seed=seed) for config in grid]
        for measure in MEASURES:
            honest = _choose(records, configs, f"validation_{measure}", measure)
            on_test = _choose(records, configs, f"test_{measure}", measure)
            if honest and on_test:
                comparisons.append(Comparison(seed, measure, honest, on_test))
    return comparisons


def _choose(
    records: Records, grid: Sequence[Config], criterion: str, measure: str
) -> Choice | None:
    """Choose the best run and epoch; of equals the first. None if a run is missing."""
    choices: dict[float, Choice] = {}  # by the criterion's value
    for config in grid:
        rows = records.rows(config, [criterion, f"test_{measure}"])
        if rows is None:
            return None
        best = metrics.best(rows, criterion)
        epoch = int(best["epoch"])
        test = rows[epoch - 1][f"test_{measure}"]
        choice = Choice(list(config.hidden), config.l2, config.validation, epoch, test)
        choices.setdefault(best["value"], choice)
    return choices[metrics.BEST[criterion](choices)]
