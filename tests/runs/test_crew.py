"""The driver of workers without Ray: workers in this process, some of which never answer."""

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import pytest

from mnist_fn import InputError, Interrupted, Watch, train
from mnist_fn.shared import backend as backends
from mnist_fn.shared.data.datasets import Dataset
from mnist_fn.shared.runs import crew as driver
from mnist_fn.shared.runs.crew import Crew, NodeLost, WorkerLost
from mnist_fn.shared.runs.folders import slug
from mnist_fn.shared.runs.mailbox import Task, Worker
from mnist_fn.shared.runs.many import Unfinished
from mnist_fn.shared.runs.records import RunDirectory
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.runs.sweep import sweep
from tests.support.tiny_backend import TINY, Tiny


class Threaded(Tiny):
    threads = 2


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setattr(backends, "find", lambda _: Threaded)
    monkeypatch.setattr(backends, "check", lambda _: None)
    monkeypatch.setattr(backends, "find_group", lambda _: None)


@dataclass
class Near:
    """See `crew.Hands`: a call is made when its answer is asked for."""

    dataset: Dataset
    deaf: int = 0  # so many workers, the first, never answer when they have a task
    absent: bool = False  # no worker ever comes
    stillborn: Sequence[WorkerLost] = ()  # of what the first workers die as they come
    device: str = "cpu"
    silent: set[Any] = field(default_factory=set)
    numbers: Any = field(default_factory=itertools.count)

    def hire(self) -> tuple[Worker, Callable[[], str]]:
        number, worker = next(self.numbers), Worker(self.dataset)
        if number < self.deaf:
            self.silent.add(worker)
        call = lambda: f"near/{number}"  # noqa: E731
        if self.absent:
            self.silent.add(call)
        if number < len(self.stillborn):
            call = lambda: die(self.stillborn[number])  # noqa: E731
        return worker, call

    def ask(self, worker: Worker, task: Task | None, stop: bool) -> Callable[[], Any]:
        call = lambda: worker.turn(task, stop)  # noqa: E731
        if worker in self.silent:
            self.silent.add(call)
        return call

    def answered(self, calls: Sequence[Any], seconds: float) -> list[Any]:
        there = [call for call in calls if call not in self.silent]
        time.sleep(0 if there else 0.02)
        return there

    def answer(self, call: Any) -> Any:
        return call()

    def dismiss(self, worker: Worker) -> None:
        pass


def die(of: WorkerLost) -> NoReturn:
    raise of


def test_a_notice_of_a_worker_reaches_the_driver_with_its_run(digits, tmp_path, monkeypatch):
    where, seen = tmp_path / slug(TINY, "tiny"), []
    stop = Watch(on_epoch=seen.append, should_stop=lambda: len(seen) == 2)
    with pytest.raises(Interrupted):
        train(TINY, "tiny", out=where, watch=stop)
    monkeypatch.setattr(Threaded, "threads", 1)
    notices = []
    crew = Crew(Near(digits), digits, 1)
    list(sweep([TINY], "tiny", out=tmp_path, crew=crew, watch=Watch(on_notice=notices.append)))
    (said,) = notices
    assert said.startswith(f"{where}: the first 2 epochs were computed with 2 threads")
    assert RunDirectory(where).read_header().status == "finished"


def test_a_worker_that_does_not_answer_is_lost_and_a_run_given_up_is_no_divergence(
    digits, tmp_path, monkeypatch
):
    """Two silent workers, and a third has the first run; then one whose workers are all silent."""
    monkeypatch.setattr(driver, "SILENT_SECONDS", 0.1)
    configs, lost = [TINY, TINY.replace(seed=1)], []
    watch = Watch(on_lost=lambda line, _: lost.append(line))

    def ends(out, deaf):
        lost.clear()
        crew = Crew(Near(digits, deaf), digits, 1)
        return dict(sweep(configs, "tiny", out=tmp_path / out, crew=crew, watch=watch))

    assert all(isinstance(run, Run) for run in ends("two", 2).values())
    assert len(lost) == 2 and "near/0 is lost (it has not answered for 0 s)" in lost[0]
    found = ends("three", 3)
    assert isinstance(found[configs[1]], Run) and len(lost) == 3
    unfinished = Unfinished()
    unfinished.add(found[configs[0]])
    assert unfinished.diverged == []
    assert "asked for again, it goes on after epoch 0" in unfinished.given_up[0]


def test_that_no_worker_comes_is_said_once(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "LONELY_SECONDS", 0.05)
    began, notices = time.monotonic(), []
    watch = Watch(
        on_notice=notices.append, should_stop=lambda: time.monotonic() - began > 0.4
    )  # fmt: skip
    with pytest.raises(Interrupted):
        crew = Crew(Near(digits, absent=True), digits, 1)
        list(sweep([TINY], "tiny", out=tmp_path, crew=crew, watch=watch))
    assert len(notices) == 1 and "no worker has come" in notices[0]


def test_workers_that_die_as_they_come_end_the_command_unless_their_node_went(digits, tmp_path):
    """A node that goes takes all that were on their way to it: more are asked for."""
    process, node = WorkerLost("its process is gone"), NodeLost("its node is gone")

    def ends(out, *stillborn):
        crew = Crew(Near(digits, stillborn=stillborn), digits, 1)
        return list(sweep([TINY], "tiny", out=tmp_path / out, crew=crew))

    with pytest.raises(InputError, match=r"3 in a row were lost.*the same command goes on"):
        ends("run", process, process, process)
    ((_, run),) = ends("run")  # the same command
    assert isinstance(run, Run)
    ((_, run),) = ends("a node", process, node, node, node, process)
    assert isinstance(run, Run)
