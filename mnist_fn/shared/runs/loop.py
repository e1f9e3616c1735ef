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
from mnist_fn.shared.errors import Argument, InputError, Interrupted, Resume
from mnist_fn.shared.evaluation import Evaluation
from mnist_fn.shared.runs import metrics
from mnist_fn.shared.runs.callbacks import Callbacks, Notice, RunStarted
from mnist_fn.shared.runs.environment import Hardware, cores, machine, vectors, versions
from mnist_fn.shared.runs.folder import RunFolder
from mnist_fn.shared.runs.header import SECONDS, Header
from mnist_fn.shared.runs.metrics import Row
from mnist_fn.shared.runs.run import Run, no_evaluation
from mnist_fn.shared.state import all_finite
from mnist_fn.shared.streams import batch_order, initial_state

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


class Diverged(InputError):  # noqa: N818 - it is the user's learning rate
    """A run's loss or weights exploded."""

    header: Header  # of the run, its status `diverged`


@dataclass
class TrainingJob:
    """Runs of one shape, equally far, trained together to their last epoch."""

    group: Group
    dataset: Dataset
    callbacks: Callbacks
    spent: dict[str, float]  # seconds that each run took before, as in its header
    _runs: list[Run | Diverged] = field(init=False, default_factory=list)
    _evaluations: Sequence[Evaluation] = field(init=False, default=())  # after the last epoch
    _saved_epochs: int = field(init=False, default=0)
    _saved_at: float = field(init=False, default=0.0)
    _save_cost: float = field(init=False, default=0.0)

    def train(self, opened: Sequence[Run]) -> dict[Config, Run | Diverged]:
        """Begin each run, as `open_run` returns it, and train it to its last epoch.

        Returns each run, or the error of one that diverged; the others go on without it. A run
        that `should_stop` ended has `stopped` set.

        Raises:
            Interrupted: `should_stop` raised it; all is saved.
            InputError: a run began with other data, or can't be written.
        """
        runs = [self._begin(run) for run in opened]
        self._runs = [*runs]
        configs = [run.config for run in runs]
        self._saved_at = time.perf_counter()
        state = self.group.load(configs, [run.state for run in runs])
        self._saved_epochs, epochs = len(runs[0].rows), configs[0].epochs
        stopped = False
        # 60,000 take some 5 ms, and NumPy releases the interpreter: an epoch's orders are drawn
        # while the one before it is trained
        with ThreadPoolExecutor() as pool:
            orders = self._draw(pool, configs, self._saved_epochs + 1)
            for epoch in range(self._saved_epochs + 1, epochs + 1):
                stopped = bool(self._training) and self._should_stop(state, epoch - 1)
                if stopped or not self._training:
                    break
                drawn = [orders[config.seed].result() for config in configs]
                orders = self._draw(pool, configs, epoch + 1)
                state = self._train_epoch(state, epoch, drawn)
                if epoch < epochs:  # the last is saved with the end
                    self._save_if_due(state)
        self._finish(state, stopped)
        return dict(zip(configs, self._runs, strict=True))

    @property
    def _training(self) -> list[tuple[int, Run]]:
        """The runs that have not diverged, with their places among all."""
        return [(place, run) for place, run in enumerate(self._runs) if isinstance(run, Run)]

    def _begin(self, opened: Run) -> Run:
        run = begin_run(opened, self.dataset, self.group, self.spent)
        name, done = _name(run), len(run.rows)
        self.callbacks.on_event(RunStarted(run.config, self.dataset, run.device, done))
        LOG.info("%s: starts after epoch %d of %d on %s", name, done, run.config.epochs, run.device)
        if warning := change_of_threads(opened.header, run.header, done):
            LOG.warning("%s: %s", name, warning)
            where = "" if run.path is None else f"{run.path}: "
            self.callbacks.on_event(Notice(where + warning))
        return run

    def _draw(
        self, pool: ThreadPoolExecutor, configs: Sequence[Config], epoch: int
    ) -> dict[int, Future[np.ndarray]]:
        """Each seed's order in an epoch."""
        seeds = sorted({config.seed for config in configs})
        n = len(self.dataset.train)
        return {seed: pool.submit(batch_order, seed, epoch, n) for seed in seeds}

    def _should_stop(self, state: Any, epoch: int) -> bool:
        try:
            return self.callbacks.should_stop()
        except Interrupted:
            self._save(state)
            if not self._training:  # a moment was not finite, which no loss shows
                return True
            _, run = self._training[0]
            then = LOST if run.path is None else ("go on with: ", Resume(run.path))
            text = f"stopped after epoch {epoch} of {run.config.epochs}; "
            raise Interrupted(text, then) from None

    def _train_epoch(self, state: Any, epoch: int, orders: list[np.ndarray]) -> Any:
        state, trained = self.group.train_epoch(state, orders)
        with np.errstate(invalid="ignore"):  # ∞ - ∞ of a model that diverges: see _explosion
            self._evaluations = self.group.evaluate(state, self.dataset.test)
            validation: Sequence[Evaluation | None] = [None] * len(self._runs)
            if self.dataset.validation is not None:
                validation = self.group.evaluate(state, self.dataset.validation)
        for place, run in self._training:
            test, held_out = self._evaluations[place], validation[place]
            row = metrics.make_row(epoch, trained[place], test, held_out)
            reason = _explosion(row)
            if reason:
                self._end_diverged(place, run, epoch, reason)
            else:
                run.rows.append(row)
                LOG.debug("%s: epoch %d, %s", _name(run), epoch, _test(run))
                self.callbacks.on_epoch(row)
        return state

    def _end_diverged(self, place: int, run: Run, epoch: int, reason: str) -> None:
        """Put the error in a run's place; its folder keeps the last state that was saved."""
        steps = math.ceil(len(self.dataset.train) / run.config.batch_size)
        saved = ""
        if run.path is not None and self._saved_epochs:
            saved = f"; {run.path} keeps the state after epoch {self._saved_epochs}"
        text = (
            f"diverged in epoch {epoch} (steps {(epoch - 1) * steps + 1} to {epoch * steps}): "
            f"{reason}, at learning rate {run.config.learning_rate:g}: try a smaller "
        )
        error = Diverged((text, Argument("learning_rate"), saved))
        LOG.warning("%s: %s", _name(run), error)
        error.header = replace(run.header, status="diverged")
        self._runs[place] = error
        if run.path is not None:
            RunFolder(run.path).write_header(error.header)

    def _save_if_due(self, state: Any) -> None:
        now = time.perf_counter()
        if now - self._saved_at > max(CHECKPOINT_SECONDS, self._save_cost / SAVING_SHARE):
            self._save(state)
            self._save_cost = time.perf_counter() - now

    def _save(self, state: Any, status: str = "unfinished") -> None:
        """Save every run that has not diverged; one whose tensors are not finite ends here."""
        states = self.group.dump(state)
        now = time.perf_counter()
        spent = (now - self._saved_at) / len(self._runs)  # the shares add up to the whole
        self._saved_at = now
        for place, run in self._training:
            if not all_finite(states[place]):
                self._end_diverged(place, run, len(run.rows), NOT_FINITE)
                continue
            seconds = {name: run.seconds[name] + spent for name in ("train", "total")}
            header = replace(run.header, status=status, seconds={**run.seconds, **seconds})
            run = replace(run, header=header, state=states[place])
            if self._evaluations:
                run = replace(run, evaluation=self._evaluations[place])
            self._runs[place] = run
            if run.path is not None:
                RunFolder(run.path).write(run)
        self._saved_epochs = max((len(run.rows) for _, run in self._training), default=0)

    def _finish(self, state: Any, stopped: bool) -> None:
        """Save the end of each run."""
        if not self._evaluations and self._saved_epochs:  # trained by a call that was killed then
            self._evaluations = self.group.evaluate(state, self.dataset.test)
        self._save(state, "unfinished" if stopped else "finished")
        for place, run in self._training:
            if run.rows:
                LOG.info("%s: ends after epoch %d, %s", _name(run), len(run.rows), _test(run))
            self._runs[place] = replace(run, stopped=stopped)


def _name(run: Run) -> str:
    """What the log calls a run: its folder, or its model, dataset and seed."""
    if run.path is not None:
        return str(run.path)
    config = run.config
    return f"{config.model} on {config.dataset}, seed {config.seed}"


def _test(run: Run) -> str:
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


def begin_run(run: Run, dataset: Dataset, group: Group, spent: dict[str, float]) -> Run:
    """Let an opened run go on with these data by this program, and write its header.

    `spent` has the seconds that the call has taken for it until now, as in the header.

    Raises:
        InputError: the run began with other data, or can't be written.
    """
    before = run.header
    if before.begun:
        before.check_dataset(dataset)
    hardware = Hardware(cores(), getattr(group, "threads", None), vectors())
    means: dict[str, Any] = {
        "backend": group.name,
        "device": group.device,
        "machine": machine(),
        "versions": versions(),
    }
    segment = {**means, "first_epoch": len(run.rows) + 1, "hardware": hardware.to_dict()}
    header = replace(
        before,
        dataset_sha256=dataset.sha256,
        input_dim=dataset.pixels,
        num_classes=dataset.classes,
        **means,
        status="unfinished",
        segments=segments_with(before, segment),
        seconds={name: before.seconds[name] + spent[name] for name in SECONDS},
        data_spec=before.data_spec if before.begun else dataset.data_spec,
        hardware=hardware,
    )
    if run.path is not None:
        folder = RunFolder(run.path)
        if not before.begun:
            folder.clear()  # only now that the new run can begin
        folder.write_header(header)
    run = replace(run, header=header, rows=list(run.rows), loaded=False)
    if before.begun:
        return run
    state = initial_state(run.config, dataset.pixels, dataset.classes)
    return replace(run, state=state, evaluation=no_evaluation(dataset.classes))


def change_of_threads(before: Header, now: Header, epochs: int) -> str:
    """A warning if a run goes on with other threads than its first epochs were computed with,
    else "".
    """
    if not epochs or before.backend != now.backend or before.hardware.threads is None:
        return ""
    if before.hardware == now.hardware:
        return ""
    return (
        f"epochs 1 to {epochs} were computed with {before.hardware}, the others "
        f"with {now.hardware}: the result is not to the bit that of either throughout"
    )


def segments_with(header: Header, segment: dict[str, Any]) -> list[dict[str, Any]]:
    """A run's segments, with another one if it goes on by other means than before.

    Args:
        header: the run's header so far.
        segment: what goes on now, from its first epoch.
    """
    if not header.segments:
        return [segment]
    # An old segment does not say what computed it: the header's fields are those of the last.
    segments = [*header.segments[:-1], header.filled_segments()[-1]]
    while segments and segments[-1]["first_epoch"] == segment["first_epoch"]:
        segments.pop()  # it has done no epoch
    if segments and segments[-1] == {**segment, "first_epoch": segments[-1]["first_epoch"]}:
        return segments
    return [*segments, segment]
