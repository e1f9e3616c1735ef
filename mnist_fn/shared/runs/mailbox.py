"""A worker: trains what it is given and keeps letters for the driver, which alone writes.

The epoch loop is that of every run; where it would write into a run's folder it drops a letter.
Nothing here knows how a worker is reached: `cluster` does.
"""

import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from mnist_fn.shared.backend import Group, enough_memory
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset, hold_out
from mnist_fn.shared.errors import InputError, Interrupted
from mnist_fn.shared.evaluation import Evaluation
from mnist_fn.shared.runs.header import Header
from mnist_fn.shared.runs.loop import Job
from mnist_fn.shared.runs.metrics import Row
from mnist_fn.shared.runs.opening import Opened
from mnist_fn.shared.runs.records import RunDirectory
from mnist_fn.shared.runs.run import Watch
from mnist_fn.shared.runs.shapes import batched, shape_of, shared_group, single_group
from mnist_fn.shared.state import ParamTree, StateTree

ANSWER_SECONDS = 0.5  # a worker that has no letter answers so often, with the epochs done meanwhile


@dataclass(frozen=True)
class Letter:
    """What one run, by its place in the task, has to say; the driver acts on them in order."""

    run: int
    kind: str  # clear, header, notice, progress, evaluation, failed; result of what is no run
    content: Any = None


@dataclass(frozen=True)
class Answer:
    """What a worker says when it is asked: new epochs first, then letters."""

    rows: list[list[Row]]  # of each run of the task
    letters: list[Letter]
    end: str | None = None  # of the task: done, stopped, refused or broken
    reason: str = ""  # why it was refused or broke


class Task(Protocol):
    """What a worker is given to do."""

    def work(self, desk: "Desk") -> None:
        """Do it; raises Interrupted if the desk's mailbox was asked to stop."""
        ...


class Mailbox:
    """Letters until the driver asks; of two states of a run the later takes the earlier's place."""

    def __init__(self) -> None:
        self.stop = False
        self._letters: list[Letter] = []
        self._rows: dict[int, list[Row]] = {}  # of each run, as its loop appends to them
        self._sent: dict[int, int] = {}
        self._lock = threading.Lock()

    def open(self, run: int, rows: list[Row]) -> None:
        """Watch a run's rows from here on."""
        self._rows[run], self._sent[run] = rows, len(rows)

    def put(self, letter: Letter) -> None:
        """Add a letter."""
        with self._lock:
            if letter.kind == "progress":
                self._letters = [
                    one for one in self._letters if (one.run, one.kind) != (letter.run, "progress")
                ]
            self._letters.append(letter)

    def take(self) -> tuple[list[list[Row]], list[Letter]]:
        """What is new: rows of each run, and letters."""
        with self._lock:
            letters, self._letters = self._letters, []
        rows = []  # after the letters: none speaks of a row that is not sent
        for run, there in sorted(self._rows.items()):
            first, last = self._sent[run], len(there)
            rows.append(there[first:last])
            self._sent[run] = last
        return rows, letters


class MailedRun(RunDirectory):
    """What a run's folder is to the epoch loop, where the folder is elsewhere."""

    def __init__(self, path: Path, run: int, mailbox: Mailbox) -> None:
        super().__init__(path)
        self._run, self._mailbox = run, mailbox

    def clear(self) -> None:
        """See RunDirectory."""
        self._put("clear")

    def write_header(self, header: Header) -> None:
        """See RunDirectory."""
        self._put("header", header)

    def write_progress(self, header: Header, state: StateTree, rows: list[Row]) -> None:
        """See RunDirectory; the rows travel by themselves."""
        self._put("progress", (header, state, len(rows)))

    def write_evaluation(self, evaluation: Evaluation, params: ParamTree) -> None:
        """See RunDirectory; the weights are those of the last progress."""
        self._put("evaluation", evaluation)

    def _put(self, kind: str, content: Any = None) -> None:
        self._mailbox.put(Letter(self._run, kind, content))


@dataclass
class Desk:
    """Where a worker works: the data, its mailbox, the program that it compiled last."""

    whole: Dataset
    mailbox: Mailbox = field(default_factory=Mailbox)
    _key: Any = None
    _kept: tuple[Dataset, Group | None] | None = None

    def group(
        self, backend: str, config: Config, device: str, models: int, memory: int | None
    ) -> tuple[Dataset, Group, float]:
        """Data and program for a run, those of the run before if they serve; seconds it took."""
        started = time.perf_counter()
        key = (backend, shape_of(config), device, models, memory)
        if self._key != key or self._kept is None:
            self._kept = None  # before the next takes its memory
            dataset = hold_out(self.whole, config)
            shared = shared_group(backend, config, dataset, device, models, memory)
            self._key, self._kept = key, (dataset, shared)
        dataset, group = self._kept
        group = group or single_group(backend, config, dataset, device)
        return dataset, group, time.perf_counter() - started


@dataclass(frozen=True)
class Training:
    """Runs of one shape, equally far, to be trained to their end."""

    backend: str
    device: str
    memory: int | None
    runs: list[tuple[Path, Opened]]  # each with its folder at the driver

    def work(self, desk: Desk) -> None:
        """Train them, as many at once as the device takes."""
        mailbox, models = desk.mailbox, len(self.runs)
        for run, (_, opened) in enumerate(self.runs):
            mailbox.open(run, opened.rows)
        first = self.runs[0][1].config
        dataset, group, seconds = desk.group(self.backend, first, self.device, models, self.memory)
        for batch in batched(list(enumerate(self.runs)), group.size):
            self._train(batch, dataset, group, seconds / models, mailbox)

    def _train(
        self,
        batch: Sequence[tuple[int, tuple[Path, Opened]]],
        dataset: Dataset,
        group: Group,
        compiled: float,
        mailbox: Mailbox,
    ) -> None:
        started = time.perf_counter()
        mailed = [
            replace(opened, directory=MailedRun(path, run, mailbox))
            for run, (path, opened) in batch
        ]
        members = [run.begin(dataset, group, compiled) for run in mailed]
        for (run, _), member in zip(batch, members, strict=True):
            if member.notice:
                mailbox.put(Letter(run, "notice", member.notice))
        starts = [run.start(dataset) for run in mailed]
        watch = Watch(should_stop=lambda: mailbox.stop)
        ended = Job(group, dataset, members, watch, started).run(starts)
        for (run, _), found in zip(batch, ended, strict=True):
            if isinstance(found, InputError):
                mailbox.put(Letter(run, "failed", str(found)))


class Worker:
    """Works in a thread of its own, so that it can be asked meanwhile."""

    def __init__(self, whole: Dataset) -> None:
        self._desk = Desk(whole)
        self._ended = threading.Event()
        self._end: tuple[str | None, str] = None, ""

    def turn(self, task: Task | None, stop: bool) -> Answer:
        """Begin a task, if one is given, and say what is new, after ANSWER_SECONDS or at its end.

        Args:
            task: only given to a worker whose last one has ended.
            stop: end after this epoch.
        """
        if task is not None:
            self._desk.mailbox, self._end = Mailbox(), (None, "")
            self._ended.clear()
            threading.Thread(target=self._work, args=(task,), daemon=True).start()
        mailbox = self._desk.mailbox
        mailbox.stop = mailbox.stop or stop
        self._ended.wait(ANSWER_SECONDS)
        end = self._end  # before what is new is taken: at the end that is all there is
        return Answer(*mailbox.take(), *end)

    def _work(self, task: Task) -> None:
        end = "done", ""
        try:
            with enough_memory():
                task.work(self._desk)
        except Interrupted:
            end = "stopped", ""
        except InputError as error:
            end = "refused", str(error)
        except BaseException:
            end = "broken", traceback.format_exc()
        self._end = end
        self._ended.set()
