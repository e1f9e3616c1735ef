"""The numbers that the study published, as data, each with how ours is measured."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from statistics import fmean

from mnist_fn.shared.config import Config
from mnist_fn.shared.evaluation import row_normalized
from mnist_fn.shared.runs import metrics
from mnist_fn.shared.runs.store import Records
from mnist_fn.shared.study.experiments import Experiment
from mnist_fn.shared.wording import l2_name

Measure = Callable[[Records, Config], float | None]  # None: that run is missing

_L2_COLUMNS = (
    ("loss", "test_loss", "minimum test loss"),
    ("epoch", "test_loss", "at epoch"),
    ("accuracy", "test_accuracy", "maximum test accuracy"),
    ("epoch", "test_accuracy", "at epoch"),
)
_L2 = {  # by λ
    3e-3: ("0.18321", "99", "0.9570", "35"),
    1e-3: ("0.10213", "65", "0.9756", "80"),
    3e-4: ("0.06128", "99", "0.9828", "76"),
    3e-5: ("0.04754", "89", "0.9854", "89"),
    0.0: ("0.06149", "18", "0.9825", "40"),
}
_SELECTION = {  # minimum test loss and its epoch, five seeds; mean; sd
    "shallow": (
        (("0.06133", "13"), ("0.06090", "15"), ("0.06338", "15"), ("0.06160", "15"),
         ("0.06158", "19")),
        "0.0618", "0.0010",
    ),
    "deep": (
        (("0.06372", "10"), ("0.06802", "10"), ("0.06530", "7"), ("0.06335", "9"),
         ("0.06034", "7")),
        "0.0641", "0.0028",
    ),
}  # fmt: skip
_DIAGONAL = (".990", ".989", ".979", ".985", ".987", ".970", ".984", ".984", ".974", ".960")
CONFUSIONS = {
    (9, 4): ".013", (5, 3): ".011", (9, 3): ".008", (9, 7): ".007", (2, 8): ".007",
    (7, 2): ".007", (5, 6): ".007",
}  # fmt: skip
PLATEAU_EPOCHS = 50  # the last of a linear run, whose mean test loss is its plateau


@dataclass(frozen=True)
class PublishedNumber:
    """One published number and where ours comes from."""

    experiment: str
    what: str
    printed: str  # as published: its last digit says how it was rounded
    unit: str  # "loss", "accuracy", "epoch" or "share"
    config: Config  # of the first seed
    measure: Measure
    statistic: str = "run"  # or "mean", "sd": of five runs
    kind: str = ""  # numbers of one kind are the same measure of different runs
    run: str = ""  # which published run of its config it was measured on
    confusion: bool = False  # one of the run's largest confusions, named for being large

    @property
    def value(self) -> float:
        """The number, epochs counted from 1: the notebook counts from 0."""
        return float(self.printed) + self.counted_from

    @property
    def counted_from(self) -> int:
        """What is added to the printed number."""
        return 1 if self.unit == "epoch" else 0

    @property
    def rounding(self) -> float:
        """Half a unit of the last digit printed."""
        return 0.5 * 10.0 ** -len(self.printed.partition(".")[2])

    def of_seed(self, records: Records, seed: int) -> float | None:
        """Return ours, measured on one seed's run; None if it is missing."""
        return self.measure(records, with_seed(self.config, seed))


@cache
def with_seed(config: Config, seed: int) -> Config:
    """Return the config of another seed. A joint verdict asks for each many thousand times."""
    return config.replace(seed=seed)


def values_of(
    of_seed: Callable[[Records, int], float | None], records: Records
) -> tuple[float, ...]:
    """Return what is measured of each seed, without the seeds whose runs are missing."""
    values: list[float] = []
    for seed in records.seeds:
        value = of_seed(records, seed)
        if value is not None:
            values.append(value)
    return tuple(values)


def numbers(experiments: dict[str, Experiment]) -> list[PublishedNumber]:
    """Return every published number of some experiments."""
    every: list[PublishedNumber] = []
    for name, make in _MAKERS.items():
        if name in experiments:
            every += make(experiments[name].configs)
    return every


def best(records: Records, config: Config, column: str, what: str = "value") -> float | None:
    """Measure the best value of a column over a run's epochs, or the first epoch that had it."""
    rows = records.rows(config, [column])
    return None if rows is None else metrics.best(rows, column)[what]


def last(records: Records, config: Config, column: str, epochs: int = 1) -> float | None:
    """Measure the mean of a column over a run's last epochs."""
    rows = records.rows(config, [column])
    return None if rows is None else fmean(row[column] for row in rows[-epochs:])


def accuracy(records: Records, config: Config) -> float | None:
    """Measure the test accuracy after a run's last epoch."""
    run = records.runs.get(config)
    return None if run is None else run.evaluation.accuracy


def cell(true: int, predicted: int) -> Measure:
    """Measure a cell of the row-normalized confusion matrix after a run's last epoch."""

    def measure(records: Records, config: Config) -> float | None:
        run = records.runs.get(config)
        return None if run is None else float(row_normalized(run.confusion_matrix)[true, predicted])

    return measure


def _width_depth(configs: tuple[Config, ...]) -> Iterator[PublishedNumber]:
    what = f"linear: test loss, mean of the last {PLATEAU_EPOCHS} epochs (“about”)"
    measure = partial(last, column="test_loss", epochs=PLATEAU_EPOCHS)
    yield PublishedNumber("width-depth", what, "0.26", "loss", configs[0], measure)


def _selection(configs: tuple[Config, ...]) -> Iterator[PublishedNumber]:
    number = partial(PublishedNumber, "selection")
    lowest = partial(best, column="test_loss")
    epoch_of_lowest = partial(lowest, what="epoch")
    for config, (runs, mean, sd) in zip(configs, _SELECTION.values(), strict=True):
        name = config.model
        for index, (loss, epoch) in enumerate(runs, start=1):
            run = f"run {index}"
            what = f"{name}, {run}: minimum test loss"
            yield number(what, loss, "loss", config, lowest, run=run)
            what = f"{name}, {run}: at epoch"
            yield number(what, epoch, "epoch", config, epoch_of_lowest, run=run)
        for statistic, value in (("mean", mean), ("sd", sd)):
            what = f"{name}: {statistic} of the five minima"
            yield number(what, value, "loss", config, lowest, statistic)


def _chosen(configs: tuple[Config, ...]) -> Iterator[PublishedNumber]:
    (config,) = configs
    number = partial(PublishedNumber, "chosen")
    yield number("test accuracy", "0.9805", "accuracy", config, accuracy)
    for label, share in enumerate(_DIAGONAL):
        yield number(f"{label} → {label}", share, "share", config, cell(label, label))
    for (true, predicted), share in CONFUSIONS.items():
        measure = cell(true, predicted)
        yield number(f"{true} → {predicted}", share, "share", config, measure, confusion=True)


def _l2(configs: tuple[Config, ...]) -> Iterator[PublishedNumber]:
    number = partial(PublishedNumber, "l2")
    for config in configs:
        name = l2_name(config.l2)
        for printed, (unit, column, what) in zip(_L2[config.l2], _L2_COLUMNS, strict=True):
            what_of_best = "epoch" if unit == "epoch" else "value"
            measure = partial(best, column=column, what=what_of_best)
            kind = f"{column}, {unit}"
            yield number(f"{name}: {what}", printed, unit, config, measure, kind=kind)
        if config.l2 == 0:
            what = f"{name}: test loss after the last epoch (“about”)"
            yield number(what, "0.10", "loss", config, partial(last, column="test_loss"))


_MAKERS = {"width-depth": _width_depth, "selection": _selection, "chosen": _chosen, "l2": _l2}
