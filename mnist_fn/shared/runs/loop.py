"""The one epoch loop, for every backend and for sweeps: train, evaluate, record, checkpoint."""

import logging
import math
import os
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from mnist_fn.shared.backend import Group
from mnist_fn.shared.data.datasets import Dataset
from mnist_fn.shared.errors import Argument, Interrupted
from mnist_fn.shared.evaluation import Evaluation
from mnist_fn.shared.runs import metrics
from mnist_fn.shared.runs.header import Header
from mnist_fn.shared.runs.metrics import Row
from mnist_fn.shared.runs.opening import Diverged, TrainingRun
from mnist_fn.shared.runs.run import Callbacks, Notice, Run, RunStarted, no_evaluation
from mnist_fn.shared.state import StateTree, all_finite
from mnist_fn.shared.streams import batch_order

LOG = logging.getLogger("mnist_fn")
LOG.addHandler(logging.NullHandler())  # silent until the caller sets one up

CHECKPOINT_SECONDS = 5.0  # at most this much work is lost to a kill, apart from the epoch begun
# A loss as large comes of logits as large, whose neighbours in float32 are a nat and more apart:
# what is measured and descended along is rounding. A float64 run is judged alike.
MAX_LOSS = float(1 / np.finfo(np.float32).eps)  # nats
NOT_FINITE = "the loss or the weights are no longer finite"
SAVING_SHARE = 0.05  # of the time, at most: many large models are saved less often


@dataclass
class TrainingJob:
    """Runs of one shape, equally far, trained together to their last epoch."""

    group: Group
    dataset: Dataset
    runs: list[TrainingRun]
    callbacks: Callbacks
    started: float  # time.perf_counter() when the call began
    compile_seconds: float = 0.0  # of each run
    _evaluations: Sequence[Evaluation] = field(init=False, default=())  # after the last epoch
    _begun: float = field(init=False, default=0.0)
    _saved_at: float = field(init=False, default=0.0)
    _save_cost: float = field(init=False, default=0.0)

    def train(self) -> list[Run | Diverged]:
        """Begin each run and train it from its saved state to its last epoch.

        Returns a run for each, or the error of one that diverged; the others go on without it. A
        run that `should_stop` ended has `stopped` set.

        Raises:
            Interrupted: `should_stop` raised it; all is saved.
            InputError: a run began with other data, or can't be written.
        """
        starts = [run.begin(self.dataset, self.group, self.compile_seconds) for run in self.runs]
        state = self.group.load([run.config for run in self.runs], starts)
        done, epochs = len(self.runs[0].rows), self.runs[0].config.epochs
        for run in self.runs:
            event = RunStarted(run.config, self.dataset, self.group.device, done)
            self.callbacks.on_event(event)
            LOG.info(
                "%s: starts after epoch %d of %d on %s", _name(run), done, epochs, event.device
            )
            if run.notice:
                LOG.warning("%s: %s", _name(run), run.notice)
                name = "" if run.folder is None else f"{run.folder.path}: "
                self.callbacks.on_event(Notice(name + run.notice))
        self._begun = self._saved_at = time.perf_counter()
        stopped = False
        with _Orders(self.runs, len(self.dataset.train), epochs) as orders:
            for epoch in range(done + 1, epochs + 1):
                stopped = not self._all_diverged() and self._should_stop(state, epoch - 1)
                if stopped or self._all_diverged():
                    break
                state = self._train_epoch(state, epoch, orders)
                if epoch < epochs:  # the last is saved with the end
                    self._save_if_due(state)
        results = self._finish(state, stopped)
        for run in self.runs:
            if run.error is not None:
                LOG.warning("%s: %s", _name(run), run.error)
            elif run.rows:
                row = run.rows[-1]
                LOG.info(
                    "%s: ends after epoch %d, test loss %.5f, test accuracy %.4f",
                    _name(run),
                    len(run.rows),
                    row["test_loss"],
                    row["test_accuracy"],
                )
        return results

    def _should_stop(self, state: Any, epoch: int) -> bool:
        try:
            return self.callbacks.should_stop()
        except Interrupted:
            self._save(state, self._seconds())
            epochs = self.runs[0].config.epochs
            raise Interrupted(f"stopped after epoch {epoch} of {epochs}") from None

    def _all_diverged(self) -> bool:
        return all(run.error is not None for run in self.runs)

    def _train_epoch(self, state: Any, epoch: int, orders: "_Orders") -> Any:
        state, trained = self.group.train_epoch(state, orders.of(epoch))
        with np.errstate(invalid="ignore"):  # ∞ - ∞ of a model that diverges: see _explosion
            self._evaluations = self.group.evaluate(state, self.dataset.test)
            validation: Sequence[Evaluation | None] = [None] * len(self.runs)
            if self.dataset.validation is not None:
                validation = self.group.evaluate(state, self.dataset.validation)
        for run, train, test, held_out in zip(
            self.runs, trained, self._evaluations, validation, strict=True
        ):
            if run.error is not None:
                continue
            row = metrics.make_row(epoch, train, test, held_out)
            reason = _explosion(row)
            if reason:
                self._end_diverged(run, epoch, reason)
            else:
                run.rows.append(row)
                LOG.debug(
                    "%s: epoch %d, test loss %.5f, test accuracy %.4f",
                    _name(run),
                    epoch,
                    row["test_loss"],
                    row["test_accuracy"],
                )
                self.callbacks.on_epoch(row)
        return state

    def _end_diverged(self, run: TrainingRun, epoch: int, reason: str) -> None:
        """Mark a run as diverged; its folder keeps the last state that was saved."""
        steps = math.ceil(len(self.dataset.train) / run.config.batch_size)
        run.error = Diverged(
            (
                f"diverged in epoch {epoch} (steps {(epoch - 1) * steps + 1} to {epoch * steps}): "
                f"{reason}, at learning rate {run.config.learning_rate:g}: try a smaller ",
                Argument("learning_rate"),
            ),
            run.saved_epochs,
        )
        if run.folder is not None:
            run.header = replace(run.header, status="diverged")
            run.folder.write_header(run.header)

    def _seconds(self) -> dict[str, float]:
        """Each run's own share, so that the runs of a sweep add up to its duration."""
        now, share = time.perf_counter(), 1 / len(self.runs)
        return {"train": (now - self._begun) * share, "total": (now - self.started) * share}

    def _save_if_due(self, state: Any) -> None:
        now = time.perf_counter()
        if now - self._saved_at > max(CHECKPOINT_SECONDS, self._save_cost / SAVING_SHARE):
            self._save(state)
            self._saved_at = time.perf_counter()
            self._save_cost = self._saved_at - now

    def _save(self, state: Any, seconds: dict[str, float] | None = None) -> list[StateTree]:
        """Save every run that has not diverged; one whose tensors are not finite ends here.

        Args:
            state: the group's own.
            seconds: added to each header, which is then written too.

        Returns the states in their shared form.
        """
        states = self.group.dump(state)
        evaluations = self._evaluations or [None] * len(self.runs)
        for run, tree, evaluation in zip(self.runs, states, evaluations, strict=True):
            if run.error is not None:
                continue
            if not all_finite(tree):
                self._end_diverged(run, len(run.rows), NOT_FINITE)
                continue
            if seconds is not None:
                run.header = _add_seconds(run.header, seconds)
            if run.folder is not None:
                run.folder.write_progress(run.header, tree, run.rows, evaluation)
                run.saved_epochs = len(run.rows)
                if seconds is not None:
                    run.folder.write_header(run.header)
        return states

    def _finish(self, state: Any, stopped: bool) -> list[Run | Diverged]:
        if not self._evaluations and self.runs[0].rows:  # killed before the evaluation was saved
            self._evaluations = self.group.evaluate(state, self.dataset.test)
        states = self._save(state)
        evaluations = self._evaluations or [no_evaluation(self.dataset.classes)] * len(states)
        seconds = self._seconds()
        return [
            run.error or self._close(run, tree, evaluation, seconds, stopped)
            for run, tree, evaluation in zip(self.runs, states, evaluations, strict=True)
        ]

    def _close(
        self,
        run: TrainingRun,
        state: StateTree,
        evaluation: Evaluation,
        seconds: dict[str, float],
        stopped: bool,
    ) -> Run:
        status = "unfinished" if stopped else "finished"
        run.header = replace(_add_seconds(run.header, seconds), status=status)
        if run.folder is not None:
            run.folder.write_header(run.header)
        return Run(
            config=run.config,
            backend=self.group.name,
            device=self.group.device,
            rows=run.rows,
            state=state,
            evaluation=evaluation,
            seconds=run.header.seconds,
            path=None if run.folder is None else run.folder.path,
            form=run.header.form,
            finished=not stopped,
            stopped=stopped,
        )


def _name(run: TrainingRun) -> str:
    """What the log calls a run: its folder, or its model, dataset and seed."""
    if run.folder is not None:
        return str(run.folder.path)
    config = run.config
    return f"{config.model} on {config.dataset}, seed {config.seed}"


def _explosion(row: Row) -> str:
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


def _add_seconds(header: Header, seconds: dict[str, float]) -> Header:
    total = dict(header.seconds)
    for name, spent in seconds.items():
        total[name] += spent
    return replace(header, seconds=total)


class _Orders:
    """The runs' batch orders, an epoch's drawn while the one before it is trained.

    Drawing 60,000 takes some 5 ms, and NumPy releases the interpreter meanwhile. Runs with
    the same seed share theirs.
    """

    def __init__(self, runs: Sequence[TrainingRun], n: int, epochs: int) -> None:
        self._seeds = [run.config.seed for run in runs]
        self._n, self._epochs = n, epochs
        threads = min(len(set(self._seeds)), os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(threads)
        self._pending: dict[int, dict[int, Future[np.ndarray]]] = {}  # epoch -> seed -> order

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def of(self, epoch: int) -> list[np.ndarray]:
        """Each run's order in an epoch; drawing the next epoch's begins."""
        self._begin(epoch)
        pending = self._pending.pop(epoch)
        orders = {seed: future.result() for seed, future in pending.items()}
        self._begin(epoch + 1)
        return [orders[seed] for seed in self._seeds]

    def _begin(self, epoch: int) -> None:
        if epoch <= self._epochs and epoch not in self._pending:
            self._pending[epoch] = {
                seed: self._pool.submit(batch_order, seed, epoch, self._n)
                for seed in sorted(set(self._seeds))
            }
