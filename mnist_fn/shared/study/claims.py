"""What the study says in words, each statement judged by a stated number of each seed."""

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np

from mnist_fn.shared.config import Config
from mnist_fn.shared.runs import metrics
from mnist_fn.shared.runs.metrics import Row
from mnist_fn.shared.runs.store import Records
from mnist_fn.shared.statistics import proportion_interval
from mnist_fn.shared.storage import or_null
from mnist_fn.shared.study.experiments import BY_CLASS, CHOSEN_L2, Experiment
from mnist_fn.shared.study.published import values_of, with_seed
from mnist_fn.shared.wording import l2_name

TURNS_UP = 1.25  # final over minimum test loss: above it a run has overfitted
FLAT = 1.02  # that ratio, and the loss of an epoch over a later one: below it nothing moves
LEARNED = 0.98  # accuracy at which a class counts as learned
SENSES = {"above": operator.gt, "at least": operator.ge, "below": operator.lt}
SLOW = (5, 8, 9)  # the classes that the study calls slowest and noisiest
QUICK = (0, 1)
RISE = "final over minimum test loss"
Measure = Callable[[list[Row]], float]  # of one run
RunsMeasure = Callable[[Sequence[list[Row]]], float]  # of all runs that a claim is about


@dataclass(frozen=True)
class Claim:
    """One statement. It holds for a seed whose number is on the right side of the bound."""

    experiment: str
    text: str
    number: str  # what is measured, in words
    sense: str  # one of SENSES
    bound: float
    configs: tuple[Config, ...]  # of the first seed, in the order that `measure` takes their rows
    measure: RunsMeasure
    column: str = "test_loss"  # that it reads

    @property
    def rule(self) -> str:
        """When the claim holds, in words."""
        return f"{self.sense} {self.bound:g}"

    def of_seed(self, records: Records, seed: int) -> float | None:
        """Return the number of one seed; None if a run is missing."""
        runs: list[list[Row]] = []
        for config in self.configs:
            if self.column == "templates":
                summary = records.templates.get(with_seed(config, seed))
                rows = None if summary is None else [summary]
            else:
                rows = records.rows(with_seed(config, seed), [self.column])
            if rows is None:
                return None
            runs.append(rows)
        return self.measure(runs)

    def holds(self, value: float) -> bool:
        """Return whether the claim holds for a seed with this number."""
        return SENSES[self.sense](value, self.bound)

    def judge(self, records: Records) -> dict[str, Any]:
        """Judge the claim by the runs of one backend; returns plain values, as study.json has them.

        The confidence interval is of the share of all seeds for which the claim holds: 95 %,
        Clopper and Pearson (1934).
        """
        values = values_of(self.of_seed, records)
        holding = sum(map(self.holds, values))
        verdict, interval = "no runs", None
        if values:
            verdict = f"holds in {holding} of {len(values)}"
            interval = list(proportion_interval(holding, len(values)))
        return {
            "verdict": verdict,
            "holding": holding,
            "confidence_interval": interval,
            "values": list(map(or_null, values)),
        }


def claims(experiments: dict[str, Experiment]) -> list[Claim]:
    """Return every claim about some experiments."""
    every: list[Claim] = []
    for name, make in _MAKERS.items():
        if name in experiments:
            every += [Claim(name, *claim) for claim in make(experiments[name].configs)]
    return every


def _lowest(rows: list[Row]) -> float:
    return metrics.best(rows, "test_loss")["value"]


def _lowest_at(rows: list[Row]) -> int:
    return int(metrics.best(rows, "test_loss")["epoch"])


def _rise(rows: list[Row]) -> float:
    """Return the final over the minimum test loss: 1 if the last epoch is the best."""
    return rows[-1]["test_loss"] / _lowest(rows)


def _rise_of_first(runs: Sequence[list[Row]]) -> float:
    return _rise(runs[0])


def _others_over_first(runs: Sequence[list[Row]]) -> float:
    """Return the smallest test loss of all runs but the first, over the first's."""
    return min(map(_lowest, runs[1:])) / _lowest(runs[0])


def _spike(rows: list[Row]) -> float:
    """Return the largest rise of the test loss from one epoch to the next, in nats."""
    return float(np.diff([row["test_loss"] for row in rows]).max())


def _learned_at(rows: list[Row], label: int) -> int:
    """Return the first epoch in which a class has LEARNED; one past the last if it never has."""
    for row in rows:
        if row[BY_CLASS[label]] >= LEARNED:
            return int(row["epoch"])
    return len(rows) + 1


def _width_depth(configs: tuple[Config, ...]) -> Iterator[tuple]:
    linear, *hidden = configs
    half = len(hidden) // 2
    shallow, deep = tuple(hidden[:half]), tuple(hidden[half:])

    def half_way(runs: Sequence[list[Row]]) -> float:
        (rows,) = runs
        return rows[len(rows) // 2 - 1]["test_loss"] / rows[-1]["test_loss"]

    def in_order(of_run: Measure) -> RunsMeasure:
        return lambda runs: int((np.diff(list(map(of_run, runs))) > 0).sum())

    def deeper_is_more(of_run: Measure) -> RunsMeasure:
        def count(runs: Sequence[list[Row]]) -> int:
            values = np.array([of_run(rows) for rows in runs])
            return int((values[half:] > values[:half]).sum())

        return count

    yield "linear does not overfit", RISE, "below", FLAT, (linear,), _rise_of_first
    ratio = "test loss half-way over the final one"
    yield "linear flattens", ratio, "below", FLAT, (linear,), half_way
    neighbours = f"neighbouring widths in that order, of {half - 1}"
    for name, layers in (("one hidden layer", shallow), ("two hidden layers", deep)):
        for text, of_run in (("better", _lowest), ("earlier", _lowest_at)):
            claim = f"{name}: wider is {text}"
            yield claim, neighbours, "at least", half - 1, layers, in_order(of_run)
    for text, of_run in (
        ("deep reaches its minimum in fewer epochs", lambda rows: -_lowest_at(rows)),
        ("deep overfits harder (final over minimum)", _rise),
        ("deep spikes more (largest rise in one epoch)", _spike),
    ):
        number = f"widths for which it does, of {half}"
        yield text, number, "at least", half, (*shallow, *deep), deeper_is_more(of_run)


def _templates(configs: tuple[Config, ...]) -> Iterator[tuple]:
    none, moderate, strong = configs

    def ratio(name: str) -> RunsMeasure:
        return lambda runs: runs[1][0][name] / runs[0][0][name]

    border = "largest border weight over the largest inside"
    text = "without L2 the border has the extreme weights"
    yield text, border, "above", 1.0, (none,), lambda runs: runs[0][0]["border"], "templates"
    size = "weights' root mean square over that without L2"
    roughness = "neighbours' difference over that without L2, relative to the weights"
    for config, word, number, bound, name in (
        (moderate, "calmer", size, 1.0, "size"),
        (strong, "faint", size, 0.5, "size"),
        (strong, "smooth", roughness, 0.5, "roughness"),
    ):
        text = f"{l2_name(config.l2)} is {word}"
        yield text, number, "below", bound, (none, config), ratio(name), "templates"


def _selection(configs: tuple[Config, ...]) -> Iterator[tuple]:
    def difference(runs: Sequence[list[Row]]) -> float:
        return _lowest(runs[1]) - _lowest(runs[0])

    yield "shallow wins", "minimum test loss, deep less shallow", "above", 0.0, configs, difference


def _l2(configs: tuple[Config, ...]) -> Iterator[tuple]:
    by_l2 = {config.l2: config for config in configs}
    none, best = by_l2.pop(0.0), by_l2[CHOSEN_L2]
    penalized = tuple(by_l2.values())
    strong = tuple(config for config in penalized if config.l2 >= 1e-3)
    rivals = list(configs)
    rivals.remove(best)
    without = l2_name(0)
    yield f"{without} turns up", RISE, "above", TURNS_UP, (none,), _rise_of_first
    largest = f"{RISE}, the largest"
    yield "no other λ does", largest, "below", TURNS_UP, penalized, lambda r: max(map(_rise, r))
    text = f"{l2_name(CHOSEN_L2)} has the smallest test loss"
    number = "the other λ's smallest minimum over its own"
    yield text, number, "above", 1.0, (best, *rivals), _others_over_first
    text = " and ".join(l2_name(config.l2) for config in strong) + " underfit"
    number = f"their smaller minimum over that of {without}"
    yield text, number, "above", 1.0, (none, *strong), _others_over_first


def _per_class(configs: tuple[Config, ...]) -> Iterator[tuple]:
    ordinary = sorted(set(range(10)).difference(SLOW, QUICK))
    reached = f"first epoch at {100 * LEARNED:.0f} %"

    def learned(runs: Sequence[list[Row]], labels: Iterable[int]) -> list[int]:
        return [_learned_at(runs[0], label) for label in labels]

    def late(runs: Sequence[list[Row]], labels: Iterable[int]) -> np.ndarray:
        """Return accuracies in the second half of the epochs, [epochs, labels]."""
        (rows,) = runs
        columns = itemgetter(*[BY_CLASS[label] for label in labels])
        return np.array(list(map(columns, rows[len(rows) // 2 :])))

    def lead(runs: Sequence[list[Row]]) -> float:
        return min(learned(runs, (*SLOW, *ordinary))) - max(learned(runs, QUICK))

    def slowness(runs: Sequence[list[Row]]) -> float:
        return float(np.mean(learned(runs, SLOW)) / np.mean(learned(runs, (*QUICK, *ordinary))))

    def noise(runs: Sequence[list[Row]]) -> float:
        calm = late(runs, (*QUICK, *ordinary)).std(axis=0).mean()
        return float(late(runs, SLOW).std(axis=0).mean() / calm) if calm else math.nan

    quick, slow = " and ".join(map(str, QUICK)), ", ".join(map(str, SLOW))
    for text, number, sense, bound, measure in (
        (f"{quick} are learned first", f"{reached}: the earliest other less the later of them",
         "above", 0, lead),
        (f"{quick} stay near .99", "their lowest accuracy in the second half",
         "above", LEARNED, lambda runs: float(late(runs, QUICK).min())),
        (f"{slow} are slowest", f"{reached}: their mean over that of the others",
         "above", 1.0, slowness),
        (f"{slow} are noisiest", "sd over the second half's epochs: their mean over that of the "
         "others", "above", 1.0, noise),
    ):  # fmt: skip
        yield text, number, sense, bound, configs, measure, BY_CLASS[0]


_MAKERS = {
    "width-depth": _width_depth,
    "templates": _templates,
    "selection": _selection,
    "l2": _l2,
    "per-class": _per_class,
}
