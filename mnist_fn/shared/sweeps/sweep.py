"""A sweep: its runs trained, and what comparing them says."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from pathlib import Path
from typing import Any, overload

from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Source, source_of
from mnist_fn.shared.errors import Argument, InputError, Message
from mnist_fn.shared.runs.callbacks import Callbacks
from mnist_fn.shared.runs.folder import RunFolder
from mnist_fn.shared.runs.notebook import html_table, pandas, text_table
from mnist_fn.shared.runs.run import Run, no_evaluation
from mnist_fn.shared.runs.trainer import followed
from mnist_fn.shared.storage import or_null
from mnist_fn.shared.sweeps import comparison
from mnist_fn.shared.sweeps.comparison import VARIED, Best, Condition, figures_of
from mnist_fn.shared.sweeps.request import (
    Numbers,
    SweepRequest,
    Workers,
    bytes_of,
    grid,
    several,
    shapes,
)
from mnist_fn.shared.sweeps.runner import failures_document, train_runs
from mnist_fn.shared.wording import counted, figure, spread

MAX_ROWS = 12  # of the table that Python shows


@dataclass(frozen=True, repr=False)
class Sweep(Sequence[Run]):
    """A sweep's finished runs, a sequence of `Run`, and what comparing them says.

    Runs that are on disk are read when they are asked for: thousands of them need not fit into
    memory. A run that has changed since the sweep raises InputError.
    """

    _compared: list[Run]  # of those on disk the last row only: `sweep[i]` is the whole run
    backend: str
    metric: str  # that the best is best in
    failures: list[InputError] = field(default_factory=list)  # of runs that came to no end

    def __len__(self) -> int:
        return len(self._compared)

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> list[Run]: ...
    def __getitem__(self, index: int | slice) -> Run | list[Run]:
        if isinstance(index, slice):
            return list(map(_whole, self._compared[index]))
        return _whole(self._compared[index])

    @property
    def conditions(self) -> list[Condition]:
        """Each combination of model, learning rate and λ, with mean, sd and interval over seeds."""
        return comparison.conditions(self._compared)

    @property
    def best(self) -> Best:
        """The condition with the best mean of the metric, over all that was compared."""
        return comparison.best(self.conditions, self.metric)

    def best_by(self, *names: str) -> dict[Any, Best]:
        """The best condition of each model, learning rate or λ: `best_by("model")`.

        Args:
            names: of "model", "learning_rate", "l2"; with several, keys are tuples.

        Raises:
            InputError: another name, or none.
        """
        if not names or not set(names) <= set(VARIED):
            raise InputError(f"best_by{names!r}: give some of {', '.join(VARIED)}")

        groups: dict[Any, list[Condition]] = {}
        for condition in self.conditions:
            groups.setdefault(itemgetter(*names)(condition.name), []).append(condition)
        return {key: comparison.best(group, self.metric) for key, group in groups.items()}

    @property
    def sentences(self) -> list[str | Message]:
        """Which condition is best, which λ is best for each shape and learning rate, and which
        runs did not come to their end.
        """
        series = self.best_by("model", "learning_rate")
        lines: list[str | Message] = []
        if len(series) > 1:
            lines.append(f"best of all: {_describe(self.best)}")
        for best in series.values():
            lines.append(f"best λ for {_describe_series(best)}")
        if self.metric.startswith("test") and len(self.conditions) > 1:
            lines.append(
                Message(
                    "chosen on the test set, the best figure is biased: it looks better than the "
                    "condition is; to choose without bias, hold out ",
                    Argument("validation"),
                )
            )
        return lines + [Message("not finished: ", error) for error in self.failures]

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Head and rows: mean ± sd over seeds for each condition, after the last epoch."""
        conditions = self.conditions
        metrics = conditions[0].metrics
        names = [metric.replace("_", " ") for metric in metrics]
        rows = []
        for condition in conditions:
            config, seeds = condition.config, str(len(condition.seeds))
            row = [config.model, f"{config.learning_rate:g}", f"{config.l2:g}", seeds]
            for metric in metrics:
                unit = comparison.unit_of(metric)
                row.append(spread(condition.mean(metric), condition.sd(metric), unit))
            rows.append(row)
        return ["model", "learning rate", "λ", "seeds", *names], rows

    def to_frame(self) -> Any:
        """A pandas DataFrame, a run a row: what tells it apart, its seed, and its figures after the
        last epoch (losses in nats, accuracies 0 to 1).

        Raises:
            InputError: pandas is not installed.
        """
        rows = []
        for run in self._compared:
            row = {name: getattr(run.config, name) for name in (*VARIED, "seed")}
            rows.append({**row, **figures_of(run)})
        return pandas("sweep").DataFrame(rows)

    def to_dict(self, translate: Callable[[Message], str] = str) -> dict[str, Any]:
        """The document of `mnist-fn sweep --json`, without its figure.

        Args:
            translate: rewords each message of a run that did not come to its end.
        """
        series = self.best_by("model", "learning_rate")
        return {
            "runs": [run.path and str(run.path) for run in self._compared],
            **failures_document(self.failures, translate),
            "backend": self.backend,
            "epochs": self._compared[0].config.epochs,
            "metric": self.metric,
            "conditions": list(map(_condition_document, self.conditions)),
            "best": _best_document(self.best),
            "best_by_model_and_learning_rate": list(map(_best_document, series.values())),
        }

    def __repr__(self) -> str:
        """How Python shows it: the first conditions in a table, and the best."""
        head, rows = self.table()
        lines = [text_table(head, rows[:MAX_ROWS])]
        if len(rows) > MAX_ROWS:
            lines.append(f"… and {len(rows) - MAX_ROWS} more, in `conditions`")
        lines.append(f"best: {_describe(self.best)}")
        if self.failures:
            lines.append(f"not finished: {counted(len(self.failures), 'run')}, see `failures`")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """HTML for a notebook."""
        return html_table(*self.table(), notes=[*map(str, self.sentences)])


def sweep(
    config: Config | None = None,
    *,
    seeds: int | Sequence[int] = 1,
    l2: Numbers = (),
    learning_rate: Numbers = (),
    model: str | Sequence[str] = (),
    hidden: Sequence[int] | Sequence[Sequence[int]] = (),
    backend: str = "jax",
    metric: str | None = None,
    device: str = "auto",
    data_dir: Source | str | None = None,
    max_memory: int | str | None = None,
    workers: int | None = None,
    threads: int | None = None,
    cluster: str | None = None,
    out: Path | str | None = None,
    force: bool = False,
    callbacks: Callbacks | None = None,
    progress: bool = True,
) -> Sweep:
    """Train every combination of seeds, λ, learning rates and shapes and compare them, as
    `mnist-fn sweep` does.

        result = sweep(Config(epochs=20), l2=[0, 3e-5, 3e-4], seeds=5, out="runs")
        result.best.config.l2, result.to_frame(), result[0].history

    Args:
        config: what all have in common, its seed the first; None is `Config()`.
        seeds: how many runs of each combination, or the seeds of these: [0, 1, 7].
        l2: λ, one or several.
        learning_rate: one or several.
        model: names of shapes, "linear", "shallow" or "deep"; one or several.
        hidden: widths of shapes outright, (256, 128) or a list of such.
        backend: "jax", "torch", or any installed one.
        metric: that the best is best in, "test_accuracy", "test_loss", "validation_accuracy" or
            "validation_loss"; None is the accuracy, on the validation split if there is one.
        device: "auto", "cpu" or "gpu".
        data_dir: as for `train`.
        max_memory: bytes for data and models together, or text such as "8G"; None: what the
            device has.
        workers, threads: processes that train on this machine, and the threads of each (needs the
            extra `ray`, and `out`).
        cluster: "auto" or HOST:PORT of a Ray cluster's head, whose workers train.
        out: folder of the runs, each in one of its own. Finished ones are not trained again.
            None keeps all in memory.
        force: train finished runs again.
        callbacks, progress: as for `train`; a stop ends the sweep with `Interrupted`.

    Returns:
        The finished runs in a sequence, with `best`, `best_by(...)`, `conditions`, `failures` and
        `to_frame()`.

    Raises:
        InputError: a value out of its range or given twice, bad data, device or folder; none of the
            runs came to its end.
        Interrupted: Ctrl-C; all is saved in `out`.
    """
    base, source = source_of(config or Config(), data_dir)
    axes = {"l2": several(l2), "learning_rate": several(learning_rate)}
    request = SweepRequest(
        tuple(grid(base, seeds=seeds, hidden=shapes(model, hidden), **axes)),
        backend=backend,
        device=device,
        data_dir=source,
        out=None if out is None else Path(out),
        max_memory=bytes_of(max_memory),
        overwrite=force,
        workers=Workers.of(workers, threads, cluster),
    )
    metric = comparison.check_metric(metric, base)
    with followed(callbacks, progress) as callbacks:
        return compare(request, callbacks, metric)


def compare(
    request: SweepRequest, callbacks: Callbacks | None = None, metric: str = "test_accuracy"
) -> Sweep:
    """Train or read every run of a request and compare them by a metric.

    Raises:
        InputError: as `runner.train_runs`; no run came to its end.
        Interrupted: `should_stop` asked for it; what was done is in the request's folder.
    """
    runs: dict[Config, Run] = {}
    failures: list[InputError] = []
    for _, config, run in train_runs([request], callbacks or Callbacks()):
        if isinstance(run, InputError):
            failures.append(run)
        elif run.path is None:
            runs[config] = run
        else:
            light = replace(run.without_weights(), rows=run.rows[-1:])
            runs[config] = replace(light, evaluation=no_evaluation(0))
    if not runs:
        count, first = len(request.configs), failures[0]
        raise InputError(f"none of {count} runs came to its end; the first: {first}")
    ordered = [runs[config] for config in request.configs if config in runs]
    return Sweep(ordered, request.backend, metric, failures)


def _whole(compared: Run) -> Run:
    """A sweep's run with all that it has; InputError if it has changed since."""
    if compared.path is None:
        return compared
    run = RunFolder(compared.path).load()
    if not run.finished or run.config != compared.config or figures_of(run) != figures_of(compared):
        raise InputError(
            f"{run.path}: changed since this sweep, resumed or trained again; make the sweep "
            "again to compare what is there"
        )
    return run


def _describe(best: Best) -> str:
    config = best.config
    return (
        f"{config.model} at learning rate {config.learning_rate:g}, λ {config.l2:g}, "
        f"{_figure(best)}"
    )


def _figure(best: Best) -> str:
    """The best mean with its interval."""
    condition, metric, unit = best.condition, best.metric, comparison.unit_of(best.metric)
    text = f"{metric.replace('_', ' ')} {figure(condition.mean(metric), unit)}"
    low, high = condition.interval(metric)
    if not math.isnan(low):
        interval = f"{figure(low, unit)} to {figure(high, unit)}"
        return f"{text} (95 % interval of the mean: {interval})"
    if len(condition.seeds) > 1:
        return f"{text} (all seeds alike: no interval)"
    return text


def _describe_series(best: Best) -> str:
    """The best λ of one shape and learning rate, and what the test says of each other λ."""
    config = best.config
    text = f"{config.model} at learning rate {config.learning_rate:g}: {config.l2:g}, "
    text += _figure(best)
    for verdict, rivals in (
        ("not significantly different", best.undecided),
        ("significantly worse", best.worse),
        ("fewer than two seeds, so not tested", best.untested),
    ):
        if rivals:
            l2 = sorted(rival.config.l2 for rival in rivals)
            text += f"; {verdict}: λ {', '.join(map('{:g}'.format, l2))}"
    return text


def _condition_document(condition: Condition) -> dict[str, Any]:
    figures = {}
    for metric in condition.metrics:
        figures[metric] = {"mean": condition.mean(metric), "sd": or_null(condition.sd(metric))}
    return {**condition.name, "seeds": len(condition.seeds), **figures}


def _best_document(best: Best) -> dict[str, Any]:
    condition = best.condition
    return {
        **condition.name,
        "mean": condition.mean(best.metric),
        "interval": list(map(or_null, condition.interval(best.metric))),
        "worse": [rival.name for rival in best.worse],
        "undecided": [rival.name for rival in best.undecided],
        "untested": [rival.name for rival in best.untested],
    }
