"""Workers as a command has them, and what a person sees of them."""

import contextlib
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.progress import Progress
from rich.table import Table

from cli.console import SweepView, console
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import load
from mnist_fn.shared.runs.metrics import Row
from mnist_fn.shared.runs.run import Place

if TYPE_CHECKING:
    from mnist_fn.shared.runs.cluster import Staff
    from mnist_fn.shared.runs.crew import Crew

LINE_SECONDS = 30.0  # between two lines in a log
DRAW_SECONDS = 0.25  # between two looks of the table
RATE_SECONDS = 60.0  # over which epochs a second are taken


@contextlib.contextmanager
def crew_of(
    staff: "Staff | None", dataset: str, data_dir: Path | None, device: str
) -> "Iterator[Crew | None]":
    """The workers that were asked for, if any; errors as for `cluster.crew`."""
    if staff is None:
        yield None
        return
    from mnist_fn.shared.runs import cluster

    with cluster.crew(staff, load(dataset, data_dir), device) as crew:
        where = "this machine" if staff.address is None else f"the cluster {staff.address}"
        staffed = f"{_count(crew.size, 'worker')} of {_count(staff.threads, 'thread')}"
        console.print(f"{staffed} on {where}", soft_wrap=True)
        yield crew


def view_of(crew: "Crew | None", *expected: Mapping[Config, int]) -> SweepView:
    """What shows many runs, at workers or here."""
    return SweepView(*expected) if crew is None else WorkersView(*expected)


class _Bar(Progress):
    """A bar with a table over it."""

    table: Table | None = None

    def get_renderables(self) -> Iterable[RenderableType]:
        """See Progress."""
        if self.table is not None:
            yield self.table
        yield from super().get_renderables()


class WorkersView(SweepView):
    """Where each run is, over the bar of all; in a log the same on one line now and then."""

    def __init__(self, *expected: Mapping[Config, int]) -> None:
        super().__init__(*expected)
        self._bar = self._table_bar = self._made(_Bar)
        self._task = self._bar.add_task("", total=self._epochs)
        self._trained, self._shown = 0, 0.0
        self._since: deque[tuple[float, int]] = deque()
        self._line_due = time.monotonic() + LINE_SECONDS

    def on_epoch(self, row: Row) -> None:
        """Count an epoch of any run."""
        self._trained += 1
        self._bar.update(self._task, advance=1)

    def on_lost(self, line: str, epochs: int) -> None:
        """A worker is lost, and so many epochs are to be trained again."""
        console.print(line, soft_wrap=True)
        self._epochs += epochs
        self._bar.update(self._task, total=self._epochs)

    def on_places(self, places: list[Place]) -> None:
        """What each worker does."""
        now = time.monotonic()
        if now - self._shown < DRAW_SECONDS:
            return
        self._shown = now
        self._since.append((now, self._trained))
        while now - self._since[0][0] > RATE_SECONDS:
            self._since.popleft()
        busy = [place for place in places if place.what]
        if console.is_terminal:
            self._table_bar.table = _table(busy)
            self._bar.update(self._task, description=self._counts(len(busy)))
        elif now >= self._line_due:
            self._line_due = now + LINE_SECONDS
            shown = "; ".join(f"{p.what} {_epochs(p)} at {_worker(p)}" for p in busy[:4])
            more = f"; and {len(busy) - 4} more" if len(busy) > 4 else ""
            console.print(f"{self._counts(len(busy))}{self._left()}: {shown}{more}", soft_wrap=True)

    def _counts(self, busy: int) -> str:
        rate = self._rate()
        shown = f"{rate:.3g}" if rate < 1000 else f"{rate:,.0f}"  # never 1e+03
        at_work = f"{_count(busy, 'worker')} busy, {shown} epochs/s"
        return f"{self._finished}/{self._total} runs, {at_work}"

    def _left(self) -> str:
        rate = self._rate()
        if not rate:
            return ""
        minutes = (self._epochs - self._bar.tasks[0].completed) / rate / 60
        if minutes >= 120:
            return f", {minutes / 60:.1f} h left"
        return f", {minutes:.0f} min left" if minutes >= 1 else ", under 1 min left"

    def _rate(self) -> float:
        (begun, before), (now, trained) = self._since[0], self._since[-1]
        return (trained - before) / (now - begun) if now > begun else 0.0


def _count(number: int, name: str) -> str:
    return f"{number} {name}" + "s" * (number != 1)


def _worker(place: Place) -> str:
    """Host and process, a long host by its beginning."""
    host, _, process = place.where.rpartition("/")
    return f"{host.partition('.')[0][:20]}/{process}"


def _epochs(place: Place) -> str:
    return f"{place.epoch}/{place.epochs}"


def _table(busy: list[Place]) -> Table:
    """A line for each worker; of a long run's name the end, which tells it apart."""
    rows = max(1, console.height - 6)
    shown = busy[:rows]
    table = Table(box=None, pad_edge=False)
    for name in ("worker", "epoch", "run"):
        table.add_column(name, no_wrap=True, justify="right" if name == "epoch" else "left")
    taken = sum(max((len(of(p)) for p in shown), default=0) for of in (_worker, _epochs))
    room = max(10, console.width - taken - 4)  # two columns' gaps of two
    for place in shown:
        what = place.what if len(place.what) <= room else "…" + place.what[1 - room :]
        table.add_row(_worker(place), _epochs(place), what)
    if len(busy) > rows:
        table.add_row(f"and {len(busy) - rows} more", "", "")
    return table
