"""The driver of many workers: hands out work, asks what is new, and alone writes.

A worker that is lost loses what it had not sent; its work goes to another from there. Nothing here
knows how workers are reached: `cluster` does.
"""

import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from mnist_fn.shared.data.datasets import Dataset
from mnist_fn.shared.errors import InputError, Interrupted
from mnist_fn.shared.runs.mailbox import Answer, Task
from mnist_fn.shared.runs.run import Place, Watch

LOSSES = 3  # of its worker, and a run is given up: it may be what kills them
LONELY_SECONDS = 30.0  # without any worker, before it is said
SILENT_SECONDS = 120.0  # a worker answers twice a second, but an import may keep it from that


class WorkerLost(Exception):  # noqa: N818 - it is dealt with, no error
    """A worker or its node is gone; says why in a few words."""


class NodeLost(WorkerLost):
    """It went with its node, which tells nothing of workers: however many were on it."""


class GivenUp(InputError):  # noqa: N818 - as WorkerLost
    """A run's workers were lost LOSSES times: the run is left where it is."""


class Hands(Protocol):
    """How workers are reached."""

    device: str  # of every worker: "cpu" or "gpu"

    def hire(self) -> tuple[Any, Any]:
        """A new worker, and the call that it answers with where it is, once it is there."""
        ...

    def ask(self, worker: Any, task: Task | None, stop: bool) -> Any:
        """Call a worker's `turn`."""
        ...

    def answered(self, calls: Sequence[Any], seconds: float) -> list[Any]:
        """Those of the calls that are answered; waits at most so long for the first."""
        ...

    def answer(self, call: Any) -> Any:
        """A call's answer.

        Raises WorkerLost or NodeLost, or InputError if the worker may not be used.
        """
        ...

    def dismiss(self, worker: Any) -> None:
        """End a worker."""
        ...


class Work(Protocol):
    """What a worker is to do, as the driver sees it."""

    def begin(self) -> Task:
        """The task as it stands: anew after a worker was lost."""
        ...

    def take(self, answer: Answer) -> None:
        """Keep what a worker says."""
        ...

    def lost(self, reason: str, given_up: bool) -> tuple[str, int]:
        """What is said of a lost worker: in a line, and the epochs that went with it."""
        ...

    def end(self, kept: bool) -> list[Any]:
        """The results; there are none if the work was broken off (`kept` is false)."""
        ...

    def place(self, where: str) -> Place:
        """Itself at a worker."""
        ...


@dataclass(eq=False)
class _Seat:
    worker: Any
    call: Any  # not answered yet; None: it waits for work
    asked: float = field(default_factory=time.monotonic)
    where: str = ""  # "": it is on its way
    work: Work | None = None
    task: Task | None = None
    rested: bool = False  # had nothing to do: it may have been lost since, and not by its work

    @property
    def silent(self) -> bool:
        """Whether it does not answer any more, though its connection stands."""
        asked = self.call is not None and bool(self.where)
        return asked and time.monotonic() - self.asked > SILENT_SECONDS


@dataclass
class Crew:
    """Workers that outlast the work they are given."""

    hands: Hands
    dataset: Dataset  # that every worker has
    size: int
    _seats: list[_Seat] = field(default_factory=list)
    _losses: dict[Work, int] = field(default_factory=dict)  # of each work's workers
    _stillborn: int = 0  # workers lost one after another before they could be asked

    @property
    def device(self) -> str:
        """Of every worker."""
        return self.hands.device

    def models(self, runs: int) -> int:
        """How many runs a worker is given at once: on a GPU its share, to go together."""
        return 1 if self.device == "cpu" else -(-runs // self.size)

    def work(self, works: Sequence[Work], watch: Watch) -> Iterator[Any]:
        """Have all done and yield each one's results as they come.

        Raises:
            Interrupted: the watch asked for it; what was done is kept.
            InputError: a worker refuses its task, or none can be had.
        """
        todo, left = deque(works), len(works)
        lonely_at = time.monotonic() + LONELY_SECONDS
        try:
            while left:
                stop = watch.should_stop()
                if stop and not any(seat.work for seat in self._seats):
                    raise Interrupted(f"stopped with {left} of {len(works)} runs to be finished")
                if not stop:
                    self._hand_out(todo)
                for seat, there in self._answered(stop):
                    work = seat.work
                    ended = self._listen(seat, there, todo, watch)
                    if work is not None and ended is not None:
                        left -= 1
                        yield from ended
                if time.monotonic() > lonely_at and not any(seat.where for seat in self._seats):
                    lonely_at = math.inf
                    watch.on_notice(
                        f"no worker has come for {LONELY_SECONDS:.0f} s: where they are asked for "
                        "there is no room; they are waited for"
                    )
                watch.on_places([_place(seat) for seat in self._seats if seat.where])
        finally:
            self._break_off()

    def _hand_out(self, todo: deque[Work]) -> None:
        waiting = sum(seat.work is None for seat in self._seats)
        for _ in range(min(self.size - len(self._seats), len(todo) - waiting)):
            self._seats.append(_Seat(*self.hands.hire()))
        for seat in self._seats:
            if todo and seat.where and seat.work is None:
                work = todo.popleft()
                seat.task, seat.work = work.begin(), work

    def _answered(self, stop: bool) -> list[tuple[_Seat, bool]]:
        """Those that have answered, and with False those that should have long ago."""
        for seat in self._seats:
            seat.rested = seat.rested or (bool(seat.where) and seat.work is None)
            if seat.work is not None and seat.call is None:
                seat.call, seat.task = self.hands.ask(seat.worker, seat.task, stop), None
                seat.asked = time.monotonic()
        calls = {id(seat.call): seat for seat in self._seats if seat.call is not None}
        there = self.hands.answered([seat.call for seat in calls.values()], 0.5)
        answered = [(calls.pop(id(call)), True) for call in there]
        return answered + [(seat, False) for seat in calls.values() if seat.silent]

    def _listen(
        self, seat: _Seat, there: bool, todo: deque[Work], watch: Watch
    ) -> list[Any] | None:
        """Act on an answer; the results of work that has ended, else None."""
        call, seat.call = seat.call, None
        try:
            if not there:
                raise WorkerLost(f"it has not answered for {SILENT_SECONDS:.0f} s")
            answer = self.hands.answer(call)
        except WorkerLost as lost:
            return self._lose(seat, lost, todo, watch)
        if seat.work is None:
            seat.where, self._stillborn = answer, 0
            return None
        work, seat.rested = seat.work, False
        work.take(answer)
        if answer.end is None:
            return None
        if answer.end == "refused":
            raise InputError(answer.reason)
        if answer.end == "broken":
            raise RuntimeError(f"{seat.where}: {answer.reason}")
        seat.work = None
        if answer.end == "stopped":
            work.end(kept=False)
            return None
        return work.end(kept=True)

    def _lose(
        self, seat: _Seat, reason: WorkerLost, todo: deque[Work], watch: Watch
    ) -> list[Any] | None:
        self._seats.remove(seat)
        self.hands.dismiss(seat.worker)
        work = seat.work
        if work is None:
            self._stillborn += not seat.where and not isinstance(reason, NodeLost)
            if self._stillborn == LOSSES:
                raise InputError(
                    f"no worker can be had: {LOSSES} in a row were lost as they came ({reason}); "
                    "what is done stays, and the same command goes on"
                )
            return None
        losses = self._losses[work] = self._losses.get(work, 0) + (not seat.rested)
        given_up = losses == LOSSES
        line, epochs = work.lost(f"{seat.where} is lost ({reason})", given_up)
        watch.on_lost(line, epochs)
        if given_up:
            return work.end(kept=True)
        todo.appendleft(work)
        return None

    def _break_off(self) -> None:
        """Nothing goes on that nobody listens to any more."""
        for seat in [seat for seat in self._seats if seat.work is not None]:
            self._seats.remove(seat)
            self.hands.dismiss(seat.worker)
            if seat.work is not None:
                seat.work.end(kept=False)


def _place(seat: _Seat) -> Place:
    return Place(seat.where) if seat.work is None else seat.work.place(seat.where)
