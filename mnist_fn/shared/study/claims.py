"""What the study says in words, each statement judged by a stated number of each seed."""

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mnist_fn.shared.config import Config
from mnist_fn.shared.runs import metrics
from mnist_fn.shared.runs.metrics import Row
from mnist_fn.shared.runs.store import Records
from mnist_fn.shared.statistics import proportion_interval
from mnist_fn.shared.study.experiments import BY_CLASS, CHOSEN_L2, Experiment
from mnist_fn.shared.wording import l2_name

TURNS_UP = 1.25  # final over minimum test loss: above it a run has overfitted
FLAT = 1.02  # that ratio, and the loss of an epoch over a later one: below it nothing moves
LEARNED = 0.98  # accuracy at which a class counts as learned
SENSES = {"above": operator.gt, "at least": operator.ge, "below": operator.lt}
SLOW = (5, 8, 9)  # the classes that the study calls slowest and noisiest
QUICK = (0, 1)


@dataclass(frozen=True)
class Claim:
    """One statement. It holds for a seed whose number is on the right side of the bound."""

    experiment: str
    text: str
    number: str  # what is measured, in words
    sense: str  # one of SENSES
    bound: float
    configs: tuple[Config, ...]  # of the first seed, in the order that `measure` takes their rows
    measure: Callable[[Sequence[list[Row]]], float]
    column: str = "test_loss"  # that it reads

    @property
    def rule(self) -> str:
        """When it holds, in words."""
        return f"{self.sense} {self.bound:g}"

    def of_seed(self, records: Records, seed: int) -> float | None:
        """The number of one seed; None if a run is not there."""
        if self.column == "templates":
            templates = [records.templates.get(c.replace(seed=seed)) for c in self.configs]
            rows = [None if template is None else [template] for template in templates]
        else:
            rows = [records.rows(c.replace(seed=seed), [self.column]) for c in self.configs]
        available = [run_rows for run_rows in rows if run_rows is not None]
        return self.measure(available) if len(available) == len(self.configs) else None

    def holds(self, value: float) -> bool:
        """Whether one seed's number says so."""
        return SENSES[self.sense](value, self.bound)


@dataclass(frozen=True)
class Finding:
    """A claim and the seeds of one backend."""

    values: tuple[float, ...]  # a seed each
    holding: int  # seeds for which it holds

    @property
    def verdict(self) -> str:
        """`holds in 5 of 5`, or `no runs`."""
        return f"holds in {self.holding} of {len(self.values)}" if self.values else "no runs"

    @property
    def share(self) -> tuple[float, float] | None:
        """Of all seeds, the share for which it holds: 95 %, Clopper and Pearson (1934)."""
        return proportion_interval(self.holding, len(self.values)) if self.values else None


def find(claim: Claim, records: Records) -> Finding:
    """Judge a claim by the runs of one backend."""
    seed_values = [claim.of_seed(records, seed) for seed in records.seeds]
    values = tuple(value for value in seed_values if value is not None)
    return Finding(values, sum(map(claim.holds, values)))


def claims(experiments: dict[str, Experiment]) -> list[Claim]:
    """Every claim about these experiments."""
    makers = {
        "width-depth": _width_depth,
        "templates": _templates,
        "selection": _selection,
        "l2": _l2,
        "per-class": _per_class,
    }
    every: list[Claim] = []
    for name, make in makers.items():
        if name in experiments:
            every += [Claim(name, *claim) for claim in make(experiments[name].configs)]
    return every


def lowest(rows: list[Row]) -> float:
    """The minimum test loss."""
    return metrics.best(rows, "test_loss")["value"]


def lowest_at(rows: list[Row]) -> int:
    """The first epoch that has it."""
    return int(metrics.best(rows, "test_loss")["epoch"])


def rise(rows: list[Row]) -> float:
    """Final over minimum test loss: 1 if the last epoch is the best."""
    return rows[-1]["test_loss"] / lowest(rows)


def _rise_of_first(runs: Sequence[list[Row]]) -> float:
    return rise(runs[0])


def _least_of_others_over_first(runs: Sequence[list[Row]]) -> float:
    return min(map(lowest, runs[1:])) / lowest(runs[0])


def spike(rows: list[Row]) -> float:
    """The largest rise of the test loss from one epoch to the next, in nats."""
    return max(following["test_loss"] - row["test_loss"] for row, following in pairwise(rows))


def learned_at(rows: list[Row], label: int) -> int:
    """The first epoch in which a class has LEARNED; one past the last if it never has."""
    reached = (int(r["epoch"]) for r in rows if r[BY_CLASS[label]] >= LEARNED)
    return next(reached, len(rows) + 1)


def _in_order(values: Sequence[float]) -> int:
    """How many neighbours ascend."""
    return sum(a < b for a, b in pairwise(values))


def _width_depth(configs: tuple[Config, ...]) -> Iterator[tuple]:
    linear, *hidden = configs
    shallow, deep = tuple(hidden[: len(hidden) // 2]), tuple(hidden[len(hidden) // 2 :])
    half = len(shallow)
    measure = "final over minimum test loss"
    yield "linear does not overfit", measure, "below", FLAT, (linear,), _rise_of_first
    yield ("linear flattens", "test loss half-way over the final one", "below", FLAT, (linear,),
           lambda runs: runs[0][len(runs[0]) // 2 - 1]["test_loss"] / runs[0][-1]["test_loss"],
           )  # fmt: skip
    for name, layer_configs in (("one hidden layer", shallow), ("two hidden layers", deep)):
        pairs = half - 1
        for text, value in (("better", lowest), ("earlier", lowest_at)):
            yield (f"{name}: wider is {text}", f"neighbouring widths in that order, of {pairs}",
                   "at least", pairs, layer_configs,
                   lambda runs, value=value: _in_order([value(run) for run in runs]))  # fmt: skip
    for text, test in (
        ("deep reaches its minimum in fewer epochs", lambda a, b: lowest_at(b) < lowest_at(a)),
        ("deep overfits harder (final over minimum)", lambda a, b: rise(b) > rise(a)),
        ("deep spikes more (largest rise in one epoch)", lambda a, b: spike(b) > spike(a)),
    ):
        yield (text, f"widths for which it does, of {half}", "at least", half, (*shallow, *deep),
               lambda runs, test=test: sum(map(test, runs[:half], runs[half:])))  # fmt: skip


def _templates(configs: tuple[Config, ...]) -> Iterator[tuple]:
    none, moderate, much = configs

    def ratio(name: str) -> Callable[[Sequence[list[Row]]], float]:
        return lambda runs: runs[1][0][name] / runs[0][0][name]

    border = "largest border weight over the largest inside"
    text = "without L2 the border has the extreme weights"
    yield text, border, "above", 1.0, (none,), lambda runs: runs[0][0]["border"], "templates"
    size, kind = "weights' root mean square over that without L2", "templates"
    name = l2_name(much.l2)
    calmer = f"{l2_name(moderate.l2)} is calmer"
    yield calmer, size, "below", 1.0, (none, moderate), ratio("size"), kind
    yield f"{name} is faint", size, "below", 0.5, (none, much), ratio("size"), kind
    roughness = "neighbours' difference over that without L2, relative to the weights"
    yield f"{name} is smooth", roughness, "below", 0.5, (none, much), ratio("roughness"), kind


def _selection(configs: tuple[Config, ...]) -> Iterator[tuple]:
    def difference(runs: Sequence[list[Row]]) -> float:
        return lowest(runs[1]) - lowest(runs[0])

    measure = "minimum test loss, deep less shallow"
    yield "shallow wins", measure, "above", 0.0, configs, difference


def _l2(configs: tuple[Config, ...]) -> Iterator[tuple]:
    none = next(config for config in configs if config.l2 == 0)
    penalized = tuple(config for config in configs if config.l2)
    strong = tuple(config for config in configs if config.l2 >= 1e-3)
    without, measure = l2_name(0), "final over minimum test loss"
    yield f"{without} turns up", measure, "above", TURNS_UP, (none,), _rise_of_first
    largest = f"{measure}, the largest"
    yield "no other λ does", largest, "below", TURNS_UP, penalized, lambda r: max(map(rise, r))
    best = next(config for config in configs if config.l2 == CHOSEN_L2)
    remaining = tuple(config for config in configs if config is not best)
    ratio = _least_of_others_over_first
    text = f"{l2_name(CHOSEN_L2)} has the smallest test loss"
    measure = "the other λ's smallest minimum over its own"
    yield text, measure, "above", 1.0, (best, *remaining), ratio
    text = " and ".join(l2_name(config.l2) for config in strong) + " underfit"
    measure = f"their smaller minimum over that of {without}"
    yield text, measure, "above", 1.0, (none, *strong), ratio


def _per_class(configs: tuple[Config, ...]) -> Iterator[tuple]:
    remaining = [label for label in range(10) if label not in (*SLOW, *QUICK)]
    reached = f"first epoch at {100 * LEARNED:.0f} %"

    def late(rows: list[Row]) -> list[Row]:
        return rows[len(rows) // 2 :]

    def noise(rows: list[Row], labels: Sequence[int]) -> float:
        return float(np.mean([np.std([r[BY_CLASS[x]] for r in late(rows)]) for x in labels]))

    def slowness(rows: list[Row]) -> float:
        epochs = [learned_at(rows, x) for x in (*QUICK, *remaining)]
        return float(np.mean([learned_at(rows, x) for x in SLOW]) / np.mean(epochs))

    quick, slow = " and ".join(map(str, QUICK)), ", ".join(map(str, SLOW))
    yield (f"{quick} are learned first", f"{reached}: the earliest other less the later of them",
           "above", 0, configs,
           lambda runs: min(learned_at(runs[0], x) for x in (*SLOW, *remaining))
           - max(learned_at(runs[0], x) for x in QUICK), BY_CLASS[0])  # fmt: skip
    yield (f"{quick} stay near .99", "their lowest accuracy in the second half", "above", LEARNED,
           configs, lambda runs: min(r[BY_CLASS[x]] for r in late(runs[0]) for x in QUICK),
           BY_CLASS[0])  # fmt: skip
    yield (f"{slow} are slowest", f"{reached}: their mean over that of the others", "above", 1.0,
           configs, lambda runs: slowness(runs[0]), BY_CLASS[0])  # fmt: skip
    yield (f"{slow} are noisiest", "sd over the second half's epochs: their mean over that of the "
           "others", "above", 1.0, configs,
           lambda runs: noise(runs[0], SLOW) / (noise(runs[0], (*QUICK, *remaining)) or math.nan),
           BY_CLASS[0])  # fmt: skip
