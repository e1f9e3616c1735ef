"""The one epoch loop, for every backend and for sweeps: train, evaluate, record, checkpoint."""

import logging
import math
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mnist_fn.shared.backend import Group
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset
from mnist_fn.shared.errors import Argument, Interrupted, Resume
from mnist_fn.shared.evaluation import Evaluation
from mnist_fn.shared.runs import metrics
from mnist_fn.shared.runs.callbacks import Callbacks, Notice, RunStarted
from mnist_fn.shared.runs.folder import run_of
from mnist_fn.shared.runs.metrics import Row
from mnist_fn.shared.runs.opening import Diverged, TrainingRun
from mnist_fn.shared.runs.run import Run, no_evaluation
from mnist_fn.shared.state import StateTree, all_finite
from mnist_fn.shared.streams import batch_order

LOG = logging.getLogger("mnist_fn")
LOG.addHandler(logging.NullHandler())  # silent until the caller sets one up

CHECKPOINT_SECONDS = 5.0  # at most this much work is lost to a kill, apart from the epoch begun
# A loss as large comes of logits as large, whose neighbours in float32 are a nat and more apart:
# what is measured and descended along is rounding. A float64 run is judged alike.
MAX_LOSS = float(1 / np.finfo(np.float32).eps)  # nats
LOST = (
    *("it was in memory only and is lost; give ", Argument("out")),
    ", a folder, to go on from there",
)
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

    def train(self) -> dict[Config, Run | Diverged]:
        """Begin each run and train it from its saved state to its last epoch.

        Returns a run for each config, or the error of one that diverged; the others go on without
        it. A run that `should_stop` ended has `stopped` set.

        Raises:
            Interrupted: `should_stop` raised it; all is saved.
            InputError: a run began with other data, or can't be written.
        """
        starts = [run.begin(self.dataset, self.group, self.compile_seconds) for run in self.runs]
        state = self.group.load([run.config for run in self.runs], starts)
        done, epochs = len(self.runs[0].rows), self.runs[0].config.epochs
        for run in self.runs:
            self._announce(run)
        self._begun = self._saved_at = time.perf_counter()
        stopped = False
        # 60,000 take some 5 ms, and NumPy releases the interpreter: an epoch's orders are drawn
        # while the one before it is trained
        with ThreadPoolExecutor() as pool:
            orders = self._draw(pool, done + 1)
            for epoch in range(done + 1, epochs + 1):
                stopped = not self._all_diverged() and self._should_stop(state, epoch - 1)
                if stopped or self._all_diverged():
                    break
                drawn = [orders[run.config.seed].result() for run in self.runs]
                orders = self._draw(pool, epoch + 1)
                state = self._train_epoch(state, epoch, drawn)
                if epoch < epochs:  # the last is saved with the end
                    self._save_if_due(state)
        return self._finish(state, stopped)

    def _announce(self, run: TrainingRun) -> None:
        done, device = len(run.rows), self.group.device
        self.callbacks.on_event(RunStarted(run.config, self.dataset, device, done))
        LOG.info(
            "%s: starts after epoch %d of %d on %s", _name(run), done, run.config.epochs, device
        )
        if run.notice:
            LOG.warning("%s: %s", _name(run), run.notice)
            name = "" if run.folder is None else f"{run.folder.path}: "
            self.callbacks.on_event(Notice(name + run.notice))

    def _draw(self, pool: ThreadPoolExecutor, epoch: int) -> dict[int, Future[np.ndarray]]:
        """Each seed's order in an epoch."""
        seeds = sorted({run.config.seed for run in self.runs})
        n = len(self.dataset.train)
        return {seed: pool.submit(batch_order, seed, epoch, n) for seed in seeds}

    def _should_stop(self, state: Any, epoch: int) -> bool:
        try:
            return self.callbacks.should_stop()
        except Interrupted:
            self._save(state, "unfinished")
            run = self.runs[0]
            then = LOST if run.folder is None else ("go on with: ", Resume(run.folder.path))
            text = f"stopped after epoch {epoch} of {run.config.epochs}; "
            raise Interrupted(text, then) from None

    def _all_diverged(self) -> bool:
        return all(run.error is not None for run in self.runs)

    def _train_epoch(self, state: Any, epoch: int, orders: list[np.ndarray]) -> Any:
        state, trained = self.group.train_epoch(state, orders)
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
                LOG.debug("%s: epoch %d, %s", _name(run), epoch, _test(run))
                self.callbacks.on_epoch(row)
        return state

    def _end_diverged(self, run: TrainingRun, epoch: int, reason: str) -> None:
        """Mark a run as diverged; its folder keeps the last state that was saved."""
        steps = math.ceil(len(self.dataset.train) / run.config.batch_size)
        saved = ""
        if run.folder is not None and run.saved_epochs:
            saved = f"; {run.folder.path} keeps the state after epoch {run.saved_epochs}"
        run.error = Diverged(
            (
                f"diverged in epoch {epoch} (steps {(epoch - 1) * steps + 1} to {epoch * steps}): "
                f"{reason}, at learning rate {run.config.learning_rate:g}: try a smaller ",
                Argument("learning_rate"),
                saved,
            )
        )
        run.header = replace(run.header, status="diverged")
        if run.folder is not None and run.writes:
            run.folder.write_header(run.header)

    def _save_if_due(self, state: Any) -> None:
        now = time.perf_counter()
        if now - self._saved_at > max(CHECKPOINT_SECONDS, self._save_cost / SAVING_SHARE):
            self._save(state)
            self._saved_at = time.perf_counter()
            self._save_cost = self._saved_at - now

    def _save(self, state: Any, status: str | None = None) -> list[StateTree]:
        """Save every run that has not diverged; one whose tensors are not finite ends here.

        Args:
            state: the group's own.
            status: of runs that end here, whose headers get it with the seconds spent.

        Returns the states in their shared form.
        """
        states = self.group.dump(state)
        now, share = time.perf_counter(), 1 / len(self.runs)  # the shares add up to the whole
        evaluations = self._evaluations or [None] * len(self.runs)
        for run, tree, evaluation in zip(self.runs, states, evaluations, strict=True):
            if run.error is None and not all_finite(tree):
                self._end_diverged(run, len(run.rows), NOT_FINITE)
            if run.error is not None:
                continue
            if status is not None:
                seconds = dict(run.header.seconds)
                seconds["train"] += (now - self._begun) * share
                seconds["total"] += (now - self.started) * share
                run.header = replace(run.header, status=status, seconds=seconds)
            if run.folder is not None and run.writes:
                run.folder.write_progress(run.header, tree, run.rows, evaluation)
                run.saved_epochs = len(run.rows)
                if status is not None:
                    run.folder.write_header(run.header)
        return states

    def _finish(self, state: Any, stopped: bool) -> dict[Config, Run | Diverged]:
        if not self._evaluations and self.runs[0].rows:  # killed before the evaluation was saved
            self._evaluations = self.group.evaluate(state, self.dataset.test)
        states = self._save(state, "unfinished" if stopped else "finished")
        evaluations = self._evaluations or [no_evaluation(self.dataset.classes)] * len(states)
        results: dict[Config, Run | Diverged] = {}
        for run, tree, evaluation in zip(self.runs, states, evaluations, strict=True):
            if run.error is not None:
                LOG.warning("%s: %s", _name(run), run.error)
                results[run.config] = run.error
                continue
            if run.rows:
                LOG.info("%s: ends after epoch %d, %s", _name(run), len(run.rows), _test(run))
            path = None if run.folder is None else run.folder.path
            result = run_of(run.header, tree, run.rows, evaluation, path)
            results[run.config] = replace(result, stopped=stopped)
        return results


def _name(run: TrainingRun) -> str:
    """What the log calls a run: its folder, or its model, dataset and seed."""
    if run.folder is not None:
        return str(run.folder.path)
    config = run.config
    return f"{config.model} on {config.dataset}, seed {config.seed}"


def _test(run: TrainingRun) -> str:
    """The last epoch's figures on the test set, for the log."""
    row = run.rows[-1]
    return f"test loss {row['test_loss']:.5f}, test accuracy {row['test_accuracy']:.4f}"


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
