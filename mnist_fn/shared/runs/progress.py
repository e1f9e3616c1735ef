"""The progress of a run, a sweep or workers: a live line on a terminal and in a notebook, plain
lines in a log.
"""

import io
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mnist_fn.shared.runs import callbacks as events
from mnist_fn.shared.runs.callbacks import Callbacks, RunEnded, RunStarted
from mnist_fn.shared.wording import counted

if TYPE_CHECKING:
    from mnist_fn.shared.data.datasets import Dataset
    from mnist_fn.shared.runs.metrics import Row
    from mnist_fn.shared.runs.run import Run

DRAW_SECONDS = 0.25  # between two updates of a notebook's display
NOTEBOOK_WIDTH = 100  # characters
_PRINTED_NOTES: set[str] = set()


def print_notes(dataset: "Dataset", console: Console) -> None:
    """Print a dataset's notes, each once in a process however many runs are on it."""
    for line in dataset.notes:
        if str(line) not in _PRINTED_NOTES:
            _PRINTED_NOTES.add(str(line))
            console.print(line, soft_wrap=not console.is_terminal, markup=False)


class ProgressView:
    """The progress of whatever is called within the block: one run, many runs, or workers' tasks.

    One run has a bar of its epochs with its figures; in a log, one line at the start. Many have one
    bar of all runs, and a line for each run as it ends. The bar is rich's on a terminal; in a
    notebook, where rich's needs ipywidgets and is gone from a saved one, a display that is updated.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._runs = 0  # scheduled; 0 where a single run is trained
        self._ended = 0
        self._loaded = 0  # of those that ended: finished before
        self._workers = 0
        self._started: RunStarted | None = None  # the last, in this process
        self._display: Any = None  # of a notebook
        self._drawn_at = 0.0
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:.0f} %"),
            TimeElapsedColumn(),  # an epoch may take minutes: something moves
            TimeRemainingColumn(compact=True),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        if self._console.is_jupyter:
            from IPython.display import display

            self._display = display(self._page(), raw=True, display_id=True)
        return self

    def __exit__(self, *_: object) -> None:
        if not self._started and self._loaded == self._ended:  # an error, or all finished before
            self._bar.update(self._task, visible=False)
        if self._console.is_terminal:  # rich before 14 leaves an empty line of one not shown
            self._bar.stop()
        self._update(draw=True)
        if self._loaded:
            self._print(f"{self._loaded} of {self._runs} runs were finished before")

    def callbacks(self, should_stop: Callable[[], bool]) -> Callbacks:
        """Callbacks that show progress here, and ask `should_stop` for a stop."""
        return Callbacks(self.on_epoch, self.on_event, should_stop)

    def on_epoch(self, row: "Row") -> None:
        """Count an epoch and show its figures or its run."""
        assert self._started is not None  # noqa: S101 - an epoch is of a run
        epoch, epochs = int(row["epoch"]), self._started.config.epochs
        if self._runs:
            self._update(advance=1 / epochs, description=self._count(epoch))
            return
        text = (
            f"epoch {epoch}/{epochs}  "
            f"train {row['train_loss']:.4f} {row['train_accuracy']:.2%}  "
            f"test {row['test_loss']:.4f} {row['test_accuracy']:.2%}"
        )
        self._update(advance=1, description=text)

    def on_event(self, event: events.Event) -> None:
        """Show what happened."""
        match event:
            case events.RunsScheduled():
                self._runs += event.count
                self._update(total=self._runs)
            case events.WorkersStarted():
                self._workers = event.count
                workers = counted(event.count, "worker")
                self._print(f"{workers} of {counted(event.threads, 'thread')} on {event.place}")
            case RunStarted():
                self._start(event)
            case RunEnded(run):
                self._end(run)
            case events.Notice():
                self._print(f"note: {event.text}")

    def _start(self, event: RunStarted) -> None:
        print_notes(event.dataset, self._console)
        self._started = event
        config, done = event.config, event.epochs_done
        if self._runs:
            self._update(advance=done / config.epochs, description=self._count(done))
            return
        self._update(total=config.epochs, completed=done, description="first epoch")
        self._print(
            f"{config.model} on {event.dataset.name}: {len(event.dataset.train):,} train, "
            f"{len(event.dataset.test):,} test; {counted(config.epochs, 'epoch')} on {event.device}"
            + (f", going on after epoch {done}" if done else "")
        )

    def _end(self, run: "Run | None") -> None:
        self._ended += 1
        if run is not None and run.loaded:
            self._loaded += 1
            self._update(total=self._runs - self._loaded)
            return
        # epochs of workers are not heard of
        self._update(advance=1 if self._workers else 0, description=self._count())
        if run is not None and not self._console.is_jupyter:  # there the bar counts
            from mnist_fn.shared.runs.folder import slug

            self._print(
                f"{self._ended}/{self._runs} {run.path or slug(run.config, run.backend)} "
                f"test {run.final['test_loss']:.5f} {run.final['test_accuracy']:.2%}"
            )

    def _count(self, epoch: int | None = None) -> str:
        """How many runs ended, and how far the present one is."""
        text = f"{self._ended}/{self._runs} runs"
        if self._workers:
            text += f", {counted(self._workers, 'worker')}"
        elif self._started and epoch is not None:
            config, device = self._started.config, self._started.device
            text += f", {config.model} on {device}, epoch {epoch} of {config.epochs}"
        return text

    def _update(self, draw: bool = False, **changes: Any) -> None:
        """Change the bar; a notebook's is drawn a few times a second, or at once if `draw`."""
        self._bar.update(self._task, **changes)
        if self._display is not None and (draw or time.monotonic() - self._drawn_at > DRAW_SECONDS):
            self._display.update(self._page(), raw=True)
            self._drawn_at = time.monotonic()

    def _page(self) -> dict[str, str]:
        """The bar as a notebook shows it."""
        page = Console(
            file=io.StringIO(), width=NOTEBOOK_WIDTH, force_jupyter=False, color_system=None
        )
        with page.capture() as text:
            page.print(self._bar.get_renderable())
        return {"text/plain": text.get()}

    def _print(self, line: str) -> None:
        self._console.print(line, soft_wrap=not self._console.is_terminal, markup=False)
