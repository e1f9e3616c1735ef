"""The one epoch loop, for every backend and for sweeps: train, evaluate, record, checkpoint."""

import math
import os
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from mnist_fn.shared.backend import Group
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset
from mnist_fn.shared.errors import InputError, Interrupted
from mnist_fn.shared.evaluation import Evaluation
from mnist_fn.shared.runs import metrics
from mnist_fn.shared.runs.metrics import Row
from mnist_fn.shared.runs.records import Header, RunDirectory
from mnist_fn.shared.runs.run import Run, Watch
from mnist_fn.shared.state import StateTree, all_finite
from mnist_fn.shared.streams import batch_order

CHECKPOINT_SECONDS = 5.0  # at most this much work is lost to a kill, apart from the epoch begun
# A loss as large comes of logits as large, whose neighbours in float32 are a nat and more apart:
# what is measured and descended along is rounding. A float64 run is judged alike.
MAX_LOSS = float(1 / np.finfo(np.float32).eps)  # nats
NOT_FINITE = "the loss or the weights are no longer finite"
SAVING_SHARE = 0.05  # of the time, at most: many large models are saved more seldom


@dataclass
class Member:
    """One run of a job: what it is, where it is kept, how far it has come."""

    config: Config
    header: Header
    directory: RunDirectory | None
    rows: list[Row]
    saved: int = 0  # epochs on disk
    notice: str = ""  # to be said before it goes on
    error: InputError | None = None  # why it ended early: it diverged


@dataclass
class Job:
    """Runs of one shape, equally far, trained together to their last epoch."""

    group: Group
    dataset: Dataset
    members: list[Member]
    watch: Watch
    started: float  # time.perf_counter() when the call began
    _good: list[StateTree] = field(init=False, default_factory=list)
    _saved_at: float = field(init=False, default=0.0)
    _save_cost: float = field(init=False, default=0.0)

    def run(self, starts: Sequence[StateTree]) -> list[Run | InputError]:
        """Train each member from its start, the state after its rows.

        Returns a finished run for each member, or the error of one that diverged; the others go
        on without it.

        Raises:
            Interrupted: the watch asked for an end; all is saved.
            InputError: a run can't be written.
        """
        first = self.members[0]
        done, epochs = len(first.rows), first.config.epochs
        state = self.group.load([member.config for member in self.members], starts)
        self._good = list(starts)
        for member in self.members:
            self.watch.on_start(member.config, self.dataset, self.group.device, done)
            if member.notice:
                self.watch.on_notice(member.notice)
        begun = self._saved_at = time.perf_counter()
        with _Orders(self.members, len(self.dataset.train), epochs) as orders:
            for epoch in range(done + 1, epochs + 1):
                if self.watch.should_stop():
                    self._save(self.group.dump(state), self._seconds(begun))
                    if self._alive():
                        raise Interrupted(f"stopped after epoch {epoch - 1} of {epochs}")
                state = self._epoch(state, epoch, orders)
                if not self._alive():
                    break
                self._save_now_and_then(state)
        return self._finish(state, begun)

    def _alive(self) -> bool:
        return any(member.error is None for member in self.members)

    def _epoch(self, state: Any, epoch: int, orders: "_Orders") -> Any:
        state, trained = self.group.train_epoch(state, orders.of(epoch))
        held = self.dataset.validation
        with np.errstate(invalid="ignore"):  # ∞ - ∞ of a model that diverges is dealt with below
            test = self.group.evaluate(state, self.dataset.test)
            validation: Sequence[Evaluation | None] = (
                [None] * len(test) if held is None else self.group.evaluate(state, held)
            )
        # A lone run keeps its last good state, should the next epoch diverge; copying those of
        # many would cost more than their training, and their last checkpoint has to do.
        states = self.group.dump(state) if len(self.members) == 1 else None
        for i, member in enumerate(self.members):
            if member.error is not None:
                continue
            row = metrics.make_row(epoch, trained[i], test[i], validation[i])
            why = _explodes(row)
            if states is not None and not all_finite(states[i]):
                why = why or NOT_FINITE
            if not why:
                member.rows.append(row)
                self.watch.on_epoch(row)
            else:
                if states is not None:
                    self._save(self._good, None)
                self._end(member, epoch, why)
        self._good = states or self._good
        return state

    def _end(self, member: Member, epoch: int, why: str) -> None:
        """A member diverged: its folder says so and keeps what was good."""
        member.error = self._diverged(member, epoch, why)
        if member.directory is not None:
            member.header = replace(member.header, status="diverged")
            member.directory.write_header(member.header)

    def _diverged(self, member: Member, epoch: int, why: str) -> InputError:
        steps = math.ceil(len(self.dataset.train) / member.config.batch_size)
        where = member.directory
        kept = "" if where is None else f"; {where.path} keeps the state after epoch {member.saved}"
        return InputError(
            f"diverged in epoch {epoch} (steps {(epoch - 1) * steps + 1} to {epoch * steps}): "
            f"{why}, at learning rate {member.config.learning_rate:g}: "
            f"try a smaller `learning_rate`{kept}"
        )

    def _seconds(self, begun: float) -> dict[str, float]:
        """Each member's own share, so that the runs of a sweep add up to its duration."""
        now, share = time.perf_counter(), 1 / len(self.members)
        return {
            "compile": 0.0,
            "train": (now - begun) * share,
            "total": (now - self.started) * share,
        }

    def _save_now_and_then(self, state: Any) -> None:
        now = time.perf_counter()
        if now - self._saved_at > max(CHECKPOINT_SECONDS, self._save_cost / SAVING_SHARE):
            self._save(self.group.dump(state), None)
            self._saved_at = time.perf_counter()
            self._save_cost = self._saved_at - now

    def _save(self, states: list[StateTree], seconds: dict[str, float] | None) -> None:
        for member, state in zip(self.members, states, strict=True):
            if member.directory is None or member.error is not None:
                continue
            if not all_finite(state):
                self._end(member, len(member.rows), NOT_FINITE)
                continue
            member.directory.write_progress(member.header, state, member.rows)
            member.saved = len(member.rows)
            if seconds is not None:
                member.header = _plus(member.header, seconds)
                member.directory.write_header(member.header)

    def _finish(self, state: Any, begun: float) -> list[Run | InputError]:
        states = self.group.dump(state)
        tests = self.group.evaluate(state, self.dataset.test)
        self._save(states, None)
        seconds = self._seconds(begun)
        return [
            member.error or self._close(member, state, test, seconds)
            for member, state, test in zip(self.members, states, tests, strict=True)
        ]

    def _close(
        self, member: Member, state: StateTree, test: Evaluation, seconds: dict[str, float]
    ) -> Run:
        member.header = replace(_plus(member.header, seconds), status="finished")
        if member.directory is not None:
            member.directory.write_evaluation(test, state.params)
            member.directory.write_header(member.header)
        return Run(
            member.config,
            self.group.name,
            self.group.device,
            member.rows,
            state,
            test,
            member.header.seconds,
            None if member.directory is None else member.directory.path,
            form=member.header.form,
        )


def _explodes(row: Row) -> str:
    """Why an epoch's losses are those of a training that has diverged; "" if they are not."""
    losses = row["train_loss"], row["test_loss"]
    if not all(map(math.isfinite, losses)):
        return NOT_FINITE
    if max(losses) < MAX_LOSS:
        return ""
    return (
        f"a loss of {max(losses):.2g} nats, and from {MAX_LOSS:.2g} on float32 rounds off a nat "
        "and more"
    )


def _plus(header: Header, seconds: dict[str, float]) -> Header:
    return replace(
        header, seconds={name: header.seconds[name] + spent for name, spent in seconds.items()}
    )


class _Orders:
    """The members' batch orders, an epoch's drawn while the one before it is trained.

    Drawing 60,000 takes some 5 ms, and NumPy lets go of the interpreter meanwhile. Members with
    the same seed share theirs.
    """

    def __init__(self, members: Sequence[Member], n: int, epochs: int) -> None:
        self._seeds = [member.config.seed for member in members]
        self._n, self._epochs = n, epochs
        workers = min(len(set(self._seeds)), os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(workers)
        self._drawing: dict[int, dict[int, Future[np.ndarray]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def of(self, epoch: int) -> list[np.ndarray]:
        """Each member's order in an epoch; the next epoch's are begun."""
        self._begin(epoch)
        drawn = self._drawing.pop(epoch)
        orders = {seed: future.result() for seed, future in drawn.items()}
        self._begin(epoch + 1)
        return [orders[seed] for seed in self._seeds]

    def _begin(self, epoch: int) -> None:
        if epoch <= self._epochs and epoch not in self._drawing:
            self._drawing[epoch] = {
                seed: self._pool.submit(batch_order, seed, epoch, self._n)
                for seed in sorted(set(self._seeds))
            }
