"""How a caller follows runs and stops them: callbacks and their events, Ctrl-C and SIGTERM.

Light to import: a command shows that it starts before it imports what it computes with.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from mnist_fn.shared.config import Config
from mnist_fn.shared.errors import Interrupted

if TYPE_CHECKING:
    from mnist_fn.shared.data.datasets import Dataset
    from mnist_fn.shared.runs.metrics import Row
    from mnist_fn.shared.runs.run import Run

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class RunsScheduled:
    """Before many runs, or tasks of workers: how many there are."""

    count: int


@dataclass(frozen=True)
class WorkersStarted:
    """Workers are there to train: how many, and where, in words."""

    count: int
    threads: int  # of each
    place: str


@dataclass(frozen=True)
class RunStarted:
    """A run is about to train in this process."""

    config: Config
    dataset: "Dataset"
    device: str
    epochs_done: int


@dataclass(frozen=True)
class RunEnded:
    """One of many runs, or of workers' tasks, is done."""

    run: "Run | None"  # trained, or read finished; None: it came to no end, or is no run


@dataclass(frozen=True)
class Notice:
    """A line that the user should see."""

    text: str


Event = RunsScheduled | WorkersStarted | RunStarted | RunEnded | Notice


class _Nothing:
    """The callback that neither follows nor stops a run."""

    def __call__(self, *_: object) -> bool:
        return False

    def __repr__(self) -> str:
        return "nothing"


_nothing = _Nothing()


@dataclass(frozen=True)
class Callbacks:
    """How a caller follows and stops runs; the defaults do neither.

    Attributes:
        on_epoch: called with an epoch's row of figures after each epoch trained in this process.
        on_event: called with an Event as runs start and end.
        should_stop: asked before each epoch and between runs. True ends the run with what it has;
            of many runs, it ends the call with `Interrupted`. It may raise `Interrupted` itself:
            the run is saved, and the exception reaches the caller.
    """

    on_epoch: Callable[["Row"], object] = _nothing
    on_event: Callable[[Event], object] = _nothing
    should_stop: Callable[[], bool] = _nothing


class Stop:
    """The signal that asked for an end, 0 if none has come."""

    signal = 0

    def should_stop(self) -> bool:
        """For `Callbacks.should_stop`: False, or Interrupted once a signal has come."""
        if self.signal:
            raise Interrupted("stopped")
        return False

    @property
    def exit_code(self) -> int:
        """The shell's convention: 128 + the signal, 130 for Ctrl-C and 143 for SIGTERM."""
        return 128 + self.signal


@contextlib.contextmanager
def stoppable(
    signals: Sequence[int] = SIGNALS,
    at_once: Callable[[int], BaseException] = lambda number: SystemExit(128 + number),
) -> Iterator[Stop]:
    """Within it, the first signal asks for an end after the epoch with everything saved, by the
    yielded Stop; the second ends at once.

    Python delivers signals to the main thread only; in another thread nothing is changed.

    Args:
        signals: those that ask for an end.
        at_once: what a second one raises, from its number.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, _: FrameType | None) -> None:
        if stop.signal:
            raise at_once(number)
        stop.signal = number
        # A handler may interrupt a write to stderr, and Python's own streams don't re-enter.
        with contextlib.suppress(OSError):
            os.write(2, b"\nstopping after this epoch; once more stops at once\n")

    handlers = {number: signal.signal(number, ask) for number in signals}
    try:
        yield stop
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
