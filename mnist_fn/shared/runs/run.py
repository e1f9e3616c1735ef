"""A trained run as a value, and how a caller follows one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset
from mnist_fn.shared.data.form import MNIST, Form
from mnist_fn.shared.evaluation import Evaluation
from mnist_fn.shared.runs import metrics
from mnist_fn.shared.runs.metrics import Row
from mnist_fn.shared.state import ParamTree, StateTree


@dataclass(frozen=True)
class Run:
    """A trained model and how it came to be."""

    config: Config
    backend: str
    device: str
    rows: list[Row] = field(repr=False)
    state: StateTree = field(repr=False)
    evaluation: Evaluation = field(repr=False)
    seconds: dict[str, float] = field(repr=False)
    path: Path | None = None
    trained: bool = True  # False: it stood finished on disk already
    form: Form = field(default=MNIST, repr=False)  # its classes, how its pictures stand

    @property
    def history(self) -> dict[str, np.ndarray]:
        """Each figure over the epochs, float64 [epochs]: `run.history["test_loss"]`."""
        return {name: np.array([row[name] for row in self.rows]) for name in self.rows[0]}

    @property
    def confusion_matrix(self) -> np.ndarray:
        """Counts on the test set [classes, classes]; rows are true classes."""
        return self.evaluation.confusion_matrix

    @property
    def weights(self) -> ParamTree:
        """By layer, from `layer1` on, its `kernel` [in, out] and its `bias` [out]."""
        return self.state.params

    def without_weights(self) -> "Run":
        """The same without them, to be one of many in memory; they stay on disk, if it is there."""
        return replace(self, state=StateTree({}, {}, {}, self.state.step))

    @property
    def final(self) -> Row:
        """Train and test loss and accuracy after the last epoch."""
        names = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
        return {name: self.rows[-1][name] for name in names}

    @property
    def best(self) -> dict[str, dict[str, float | int]]:
        """The smallest test loss and the largest test accuracy with their epochs."""
        return {name: metrics.best(self.rows, name) for name in ("test_loss", "test_accuracy")}

    def to_frame(self) -> Any:
        """The metrics as a pandas DataFrame, an epoch a row.

        Raises:
            InputError: pandas is not installed.
        """
        from mnist_fn.shared.runs.frames import pandas

        return pandas("run").DataFrame(self.rows).set_index("epoch")

    def _repr_html_(self) -> str:
        """How a notebook shows it."""
        from mnist_fn.shared.runs.card import card

        config = self.config
        about = [f"λ = {config.l2:g}, seed {config.seed}, {config.precision}"]
        about += [] if self.path is None else [str(self.path)]
        title = f"{config.model} on {config.dataset}, {self.backend}"
        return card(title, about, self.rows, self.confusion_matrix)

    def summary(self) -> dict[str, Any]:
        """The document of `mnist-fn train --json`."""
        return {
            "run": None if self.path is None else str(self.path),
            "backend": self.backend,
            "dataset": self.config.dataset,
            "device": self.device,
            "precision": self.config.precision,
            "epochs": len(self.rows),
            "final": self.final,
            "best": self.best,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class Place:
    """A worker and what it does."""

    where: str  # host and process
    what: str = ""  # nothing: it waits
    epoch: int = 0  # that it has done
    epochs: int = 0  # of all


@dataclass(frozen=True)
class Watch:
    """How a caller follows and stops a run; the defaults do neither.

    `on_plan` and `on_run` are of many runs: what is expected, and each as it comes to its end.
    `on_crew`, `on_places` and `on_lost` are of runs that workers train: how many there are, where
    each run is, and what was lost with a worker, in words and in epochs.
    """

    on_start: Callable[[Config, Dataset, str, int], None] = lambda *_: None
    on_epoch: Callable[[Row], None] = lambda _: None
    should_stop: Callable[[], bool] = lambda: False
    on_places: Callable[[list[Place]], None] = lambda _: None
    on_lost: Callable[[str, int], None] = lambda *_: None
    on_notice: Callable[[str], None] = lambda _: None
    # for each backend in its turn, the runs and the epochs that each takes
    on_plan: Callable[[Sequence[Mapping[Config, int]]], None] = lambda _: None
    on_run: Callable[[Run], None] = lambda _: None
    on_crew: Callable[[int], None] = lambda _: None
