"""What a person sees: what was asked for on stdout; progress and notices on stderr, a live line
on a terminal, plain text elsewhere.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Self, TypeVar

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset
from mnist_fn.shared.evaluation import Evaluation
from mnist_fn.shared.runs.metrics import Row
from mnist_fn.shared.runs.run import Place, Run, Watch
from mnist_fn.shared.state import StateTree
from mnist_fn.shared.wording import as_share

BarT = TypeVar("BarT", bound=Progress)
console = Console(stderr=True, highlight=False)


class _Answer(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # `main` knows what becomes of it; rich would exit with 1


def answer(json: bool = False) -> Console:
    """Where what was asked for is shown: stdout, or stderr where --json has stdout for itself."""
    return console if json else _Answer(highlight=False)


WIDE = 20  # classes: a matrix of more is wider than a screen
_SAID: set[str] = set()


def say_once(dataset: Dataset) -> None:
    """What is to be said of a dataset, once a process however many runs are on it."""
    for line in dataset.notes:
        if line not in _SAID:
            _SAID.add(line)
            console.print(line, soft_wrap=True, markup=False)


def say_notice(text: str) -> None:
    """A notice of a run, in a line."""
    console.print(f"note: {text}", soft_wrap=True)


class _BarView:
    """What a bar on a terminal is within: it is shown while the block runs."""

    _bar: Progress

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


class TrainingView(_BarView):
    """A progress bar on a terminal; elsewhere one line at the start."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("epoch {task.completed:.0f}/{task.total:.0f}"),
            BarColumn(bar_width=None),
            TextColumn("{task.description}"),
            TimeRemainingColumn(compact=True),
            console=console,
            disable=not console.is_terminal,
        )

    def on_start(self, config: Config, dataset: Dataset, device: str, done: int) -> None:
        """Say what is about to be trained."""
        say_once(dataset)
        console.print(
            f"{config.model} on {dataset.name}: {len(dataset.train):,} train, "
            f"{len(dataset.test):,} test; {config.epochs} epochs on {device}"
            + (f", going on after epoch {done}" if done else ""),
            soft_wrap=True,
        )
        self._task = self._bar.add_task("compiling", total=config.epochs, completed=done)

    def on_epoch(self, row: Row) -> None:
        """Show an epoch's figures."""
        self._bar.update(
            self._task,
            completed=row["epoch"],
            description=f"train {row['train_loss']:.4f} {row['train_accuracy']:.2%}  "
            f"test {row['test_loss']:.4f} {row['test_accuracy']:.2%}",
        )


class SweepView(_BarView):
    """The epochs of all runs on one bar; elsewhere than on a terminal a line for each run.

    Args:
        expected: the runs and how many epochs each takes; several where backends follow each
            other, since a config is then run once by each.
    """

    def __init__(self, *expected: Mapping[Config, int]) -> None:
        self._expected = [dict(each) for each in expected]
        self._epochs = sum(sum(each.values()) for each in expected)
        self._total, self._finished, self._running = sum(map(len, expected)), 0, ""
        self._bar = self._made(Progress)
        self._task = self._bar.add_task("", total=self._epochs)

    @staticmethod
    def _made(kind: type[BarT]) -> BarT:
        return kind(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:.0f} %"),
            TimeRemainingColumn(compact=True),
            console=console,
            disable=not console.is_terminal,
        )

    def on_start(self, config: Config, dataset: Dataset, device: str, done: int) -> None:
        """A run begins; epochs that it has already are no work."""
        say_once(dataset)
        self._takes(config, config.epochs - done)
        self._running = f"{config.model} on {device}, epoch {{}} of {config.epochs}"
        self._show(done)

    def on_places(self, places: list[Place]) -> None:
        """What each worker does; there are none here."""

    def on_lost(self, line: str, epochs: int) -> None:
        """A worker is lost; there are none here."""

    def watch(self, stop: Callable[[], bool]) -> Watch:
        """What tells this view, and hears of a stop."""
        return Watch(self.on_start, self.on_epoch, stop, self.on_places, self.on_lost, say_notice)

    def on_epoch(self, row: Row) -> None:
        """Count an epoch of a run."""
        self._bar.update(self._task, advance=1)
        self._show(int(row["epoch"]))

    def stood(self, run: Run) -> None:
        """Count a run that was finished before."""
        self._takes(run.config, 0)
        self._finished += 1

    def ended(self) -> None:
        """Count what is no run."""
        self._finished += 1

    def _takes(self, config: Config, epochs: int) -> None:
        """Put what a run really takes in the place of what was expected."""
        expected = next(each for each in self._expected if config in each)
        self._epochs += epochs - expected.pop(config)
        self._bar.update(self._task, total=self._epochs)

    def _show(self, epoch: int) -> None:
        running = self._running.format(epoch)
        text = f"{self._finished}/{self._total} runs, {running}"
        self._bar.update(self._task, description=text)

    def done(self, run: Run) -> Run:
        """Say that a run is finished; gives it without its weights, which stay on disk."""
        if run.trained:
            self._finished += 1
        else:
            self.stood(run)
        console.print(
            f"{self._finished}/{self._total} {run.path} "
            f"test {run.final['test_loss']:.5f} {run.final['test_accuracy']:.2%}"
            + ("" if run.trained else " (stood finished)"),
            soft_wrap=True,
        )
        return replace(run, state=StateTree({}, {}, {}, run.state.step))


def show_run(run: Run, to: Console) -> None:
    """The end of a training: final and best figures, the worst mistakes, where it is."""
    table = Table.grid(padding=(0, 2))
    table.add_row("", Text("loss", justify="right"), Text("accuracy", justify="right"))
    for name in ("train", "test"):
        table.add_row(
            f"final {name}",
            f"{run.final[f'{name}_loss']:.5f}",
            f"{run.final[f'{name}_accuracy']:.2%}",
        )
    loss, accuracy = run.best["test_loss"], run.best["test_accuracy"]
    table.add_row("best test", f"{loss['value']:.5f}", f"{accuracy['value']:.2%}")
    table.add_row("at epoch", f"{loss['epoch']}", f"{accuracy['epoch']}")
    for column in table.columns[1:]:
        column.justify = "right"
    print_table(table, to)
    show_confusions(run.evaluation, to, run.form.names)
    if run.path is not None:
        to.print(Text(f"run: {run.path}"), soft_wrap=True)


def show_confusions(evaluation: Evaluation, to: Console, names: Sequence[str] = ()) -> None:
    """The most frequent mistakes on one line: true → predicted."""
    worst = "   ".join(one.named(names) for one in evaluation.worst_confusions())
    to.print(f"worst confusions: {worst or 'none'}", soft_wrap=True, markup=False)


def show_matrix(evaluation: Evaluation, names: Sequence[str], to: Console) -> None:
    """The confusion matrix with each class's accuracy; rows are true classes. One of many classes
    is wider than any screen: then the three worst mistakes of each.
    """
    matrix, per_class = evaluation.confusion_matrix, evaluation.per_class_accuracy
    many = len(matrix) > WIDE
    table = Table(box=None, padding=(0, 1), pad_edge=False)
    table.add_column("true", justify="right")
    for name in ("examples", "right") if many else names:
        table.add_column(Text(name if many else f"→{name}"), justify="right")
    table.add_column("accuracy", justify="right")
    if many:
        table.add_column("read as")
    for label, row in enumerate(matrix):
        share = as_share(per_class[label])
        if many:
            table.add_row(Text(names[label]), str(row.sum()), str(row[label]), share,
                          Text(_mistakes(row, label, names)))  # fmt: skip
            continue
        cells = [
            Text(str(count), style="bold" if column == label else "red" if count else "dim")
            for column, count in enumerate(row)
        ]
        table.add_row(Text(names[label]), *cells, share)
    print_table(table, to)


def _mistakes(row: np.ndarray, label: int, names: Sequence[str]) -> str:
    order = [int(i) for i in np.argsort(-row, kind="stable") if i != label and row[i]]
    return ", ".join(f"{names[i]} {row[i]}" for i in order[:3])


def print_table(table: Table, to: Console) -> None:
    """At its natural width: rich would cut numbers to fit a narrow terminal."""
    needed = to.measure(table, options=to.options.update(max_width=2000)).maximum
    type(to)(stderr=to.stderr, highlight=False, width=max(needed, to.width)).print(table)
