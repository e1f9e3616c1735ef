"""What a person sees of a training: a live line on a terminal and in a notebook, plain lines in a
log. What is shown goes to the console that is given.
"""

import io
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset
from mnist_fn.shared.runs.folders import slug
from mnist_fn.shared.runs.metrics import Row
from mnist_fn.shared.runs.run import Place, Run, Watch

DRAW_SECONDS = 0.25  # between two looks of what is live
NOTEBOOK_WIDTH = 100  # characters
_SAID: set[str] = set()


def say_once(dataset: Dataset, console: Console) -> None:
    """What is to be said of a dataset, once a process however many runs are on it."""
    for line in dataset.notes:
        if line not in _SAID:
            _SAID.add(line)
            console.print(line, soft_wrap=True, markup=False)


class Bar(Progress):
    """A live line: rich's on a terminal; in a notebook a display that is written anew; else none.

    In a notebook rich's own needs ipywidgets and is gone from a saved one.
    """

    table: Table | None = None  # over the bar

    def __init__(self, *columns: ProgressColumn, console: Console) -> None:
        super().__init__(*columns, console=console, disable=not console.is_terminal)
        self._display: Any = None
        self._drawn_at = 0.0

    def get_renderables(self) -> Iterable[RenderableType]:
        """See Progress."""
        if self.table is not None:
            yield self.table
        yield from super().get_renderables()

    def start(self) -> None:
        """See Progress."""
        super().start()
        if self.console.is_jupyter:
            from IPython.display import display

            self._display = display(self._page(), raw=True, display_id=True)

    def stop(self) -> None:
        """See Progress."""
        if not self.disable:  # rich before 14 leaves an empty line of one that was never shown
            super().stop()
        self._draw()

    def update(self, *arguments: Any, **changes: Any) -> None:
        """See Progress."""
        super().update(*arguments, **changes)
        if self._display is not None and time.monotonic() - self._drawn_at > DRAW_SECONDS:
            self._draw()

    def _draw(self) -> None:
        if self._display is not None:
            self._display.update(self._page(), raw=True)
            self._drawn_at = time.monotonic()

    def _page(self) -> dict[str, str]:
        """What is shown, in HTML and in text."""
        page = Console(file=io.StringIO(), record=True, width=NOTEBOOK_WIDTH, force_jupyter=False,
                       force_terminal=True, color_system="truecolor")  # fmt: skip
        page.print(self.get_renderable())
        html = page.export_html(inline_styles=True, clear=False, code_format="<pre>{code}</pre>")
        return {"text/html": html, "text/plain": page.export_text()}


class _View:
    """What a bar is within: it is shown while the block runs."""

    _bar: Bar

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def _say(self, line: str) -> None:
        self._console.print(line, soft_wrap=True, markup=False)

    def say_notice(self, text: str) -> None:
        """A notice of a run, in a line."""
        self._say(f"note: {text}")


class TrainingView(_View):
    """A bar of one run's epochs; in a log one line at the start."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._bar = Bar(
            TextColumn("epoch {task.completed:.0f}/{task.total:.0f}"),
            BarColumn(bar_width=None),
            TextColumn("{task.description}"),
            TimeRemainingColumn(compact=True),
            console=console,
        )

    def watch(self, stop: Callable[[], bool]) -> Watch:
        """What tells this view, and hears of a stop."""
        return Watch(self.on_start, self.on_epoch, stop, on_notice=self.say_notice)

    def on_start(self, config: Config, dataset: Dataset, device: str, done: int) -> None:
        """Say what is about to be trained."""
        say_once(dataset, self._console)
        epochs = "1 epoch" if config.epochs == 1 else f"{config.epochs} epochs"
        self._say(
            f"{config.model} on {dataset.name}: {len(dataset.train):,} train, "
            f"{len(dataset.test):,} test; {epochs} on {device}"
            + (f", going on after epoch {done}" if done else "")
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


class SweepView(_View):
    """The epochs of all runs on one bar; a line for each run as it ends."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._expected: list[dict[Config, int]] = []
        self._epochs, self._total, self._finished, self._stood = 0, 0, 0, 0
        self._running = ""
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:.0f} %"),
            TimeRemainingColumn(compact=True),
            console=console,
        )
        self._task = self._bar.add_task("", total=None)

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        if self._stood:
            self._say(f"{self._stood} of {self._total} runs stood finished")

    def watch(self, stop: Callable[[], bool]) -> Watch:
        """What tells this view, and hears of a stop."""
        return Watch(self.on_start, self.on_epoch, stop, self.on_places, self.on_lost,
                     self.say_notice, self.on_plan, self.on_run, self.on_crew)  # fmt: skip

    def on_plan(self, expected: Sequence[Mapping[Config, int]]) -> None:
        """The runs and the epochs that each takes; several plans where backends follow each other,
        since a config is then run once by each.
        """
        self._expected += [dict(each) for each in expected]
        self._epochs += sum(sum(each.values()) for each in expected)
        self._total += sum(map(len, expected))
        self._bar.update(self._task, total=self._epochs)

    def on_start(self, config: Config, dataset: Dataset, device: str, done: int) -> None:
        """A run begins; epochs that it has already are no work."""
        say_once(dataset, self._console)
        self._takes(config, config.epochs - done)
        self._running = f"{config.model} on {device}, epoch {{}} of {config.epochs}"
        self._show(done)

    def on_crew(self, size: int) -> None:
        """Workers are there; there are none here."""

    def on_places(self, places: list[Place]) -> None:
        """What each worker does; there are none here."""

    def on_lost(self, line: str, epochs: int) -> None:
        """A worker is lost; there are none here."""

    def on_epoch(self, row: Row) -> None:
        """Count an epoch of a run."""
        self._bar.update(self._task, advance=1)
        self._show(int(row["epoch"]))

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

    def on_run(self, run: Run) -> None:
        """Say that a run is finished; those that were before are counted, and said at the end."""
        self._finished += 1
        if not run.trained:
            self._takes(run.config, 0)
            self._stood += 1
        if self._finished == self._total:
            self._bar.update(self._task, description=f"{self._total} runs")
        if not run.trained or self._console.is_jupyter:  # the bar has the count
            return
        self._say(
            f"{self._finished}/{self._total} {run.path or slug(run.config, run.backend)} "
            f"test {run.final['test_loss']:.5f} {run.final['test_accuracy']:.2%}"
        )
