"""What a person sees of many runs: at workers where each is, here one after another."""

import time
from collections import deque

from rich.console import Console
from rich.table import Table

from mnist_fn.shared.runs.metrics import Row
from mnist_fn.shared.runs.progress import DRAW_SECONDS, SweepView
from mnist_fn.shared.runs.run import Place
from mnist_fn.shared.runs.staff import Staff

LINE_SECONDS = 30.0  # between two lines in a log
RATE_SECONDS = 60.0  # over which epochs a second are taken


class WorkersView(SweepView):
    """Where each run is, over the bar of all; in a log the same on one line now and then."""

    def __init__(self, console: Console, staff: Staff) -> None:
        super().__init__(console)
        self._staff = staff
        self._trained, self._shown = 0, 0.0
        self._since: deque[tuple[float, int]] = deque()
        self._line_due = time.monotonic() + LINE_SECONDS

    def on_crew(self, size: int) -> None:
        """Say who trains."""
        address = self._staff.address
        where = "this machine" if address is None else f"the cluster {address}"
        staffed = f"{_count(size, 'worker')} of {_count(self._staff.threads, 'thread')}"
        self._say(f"{staffed} on {where}")

    def on_epoch(self, row: Row) -> None:
        """Count an epoch of any run."""
        self._trained += 1
        self._bar.update(self._task, advance=1)

    def on_lost(self, line: str, epochs: int) -> None:
        """A worker is lost, and so many epochs are to be trained again."""
        self._say(line)
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
        if self._console.is_terminal or self._console.is_jupyter:
            self._bar.table = _table(busy, self._console)
            self._bar.update(self._task, description=self._counts(len(busy)))
        elif now >= self._line_due:
            self._line_due = now + LINE_SECONDS
            shown = "; ".join(f"{p.what} {_epochs(p)} at {_worker(p)}" for p in busy[:4])
            more = f"; and {len(busy) - 4} more" if len(busy) > 4 else ""
            where = f": {shown}{more}" if busy else ""
            self._say(f"{self._counts(len(busy))}{self._left()}{where}")

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


def view_of(staff: Staff | None, console: Console) -> SweepView:
    """What shows many runs, at workers or here."""
    return SweepView(console) if staff is None else WorkersView(console, staff)


def _count(number: int, name: str) -> str:
    return f"{number} {name}" + "s" * (number != 1)


def _worker(place: Place) -> str:
    """Host and process, a long host by its beginning."""
    host, _, process = place.where.rpartition("/")
    return f"{host.partition('.')[0][:20]}/{process}"


def _epochs(place: Place) -> str:
    return f"{place.epoch}/{place.epochs}"


def _table(busy: list[Place], console: Console) -> Table:
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
