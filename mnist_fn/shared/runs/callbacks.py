"""How a caller follows runs and stops them: callbacks and their events.

Light to import: a command shows that it starts before it imports what it computes with.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mnist_fn.shared.config import Config

if TYPE_CHECKING:
    from mnist_fn.shared.data.datasets import Dataset
    from mnist_fn.shared.runs.metrics import Row
    from mnist_fn.shared.runs.run import Run


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
    """One of many runs came to its end, or was read finished."""

    run: "Run"


@dataclass(frozen=True)
class TaskEnded:
    """A run came to no end, or a worker's task that is no run to its."""


@dataclass(frozen=True)
class Notice:
    """A line that the user should see."""

    text: str


Event = RunsScheduled | WorkersStarted | RunStarted | RunEnded | TaskEnded | Notice


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
