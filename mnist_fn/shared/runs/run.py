"""A trained run as a value."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mnist_fn.shared.config import Config
from mnist_fn.shared.data.spec import DataSpec
from mnist_fn.shared.evaluation import Evaluation
from mnist_fn.shared.runs import metrics, prediction
from mnist_fn.shared.runs.header import Header
from mnist_fn.shared.runs.metrics import Row
from mnist_fn.shared.runs.notebook import html_table, pandas
from mnist_fn.shared.state import ParamTree, StateTree


@dataclass(frozen=True)
class Run:
    """A trained model and how it came to be.

    A run that was stopped, or is loaded before its last epoch, has `finished` False: its history,
    weights and evaluation are those of the last saved epoch.
    """

    header: Header  # what run.json says of it
    rows: list[Row] = field(repr=False)
    state: StateTree = field(repr=False)
    evaluation: Evaluation = field(repr=False)
    path: Path | None = None
    stopped: bool = False  # ended early in this call, by the caller's `should_stop`
    loaded: bool = False  # read from disk, not trained in this call

    @property
    def config(self) -> Config:
        """The experiment."""
        return self.header.config

    @property
    def backend(self) -> str:
        """The name of the backend that computed last."""
        return self.header.backend

    @property
    def device(self) -> str:
        """What it computed on, in words."""
        return self.header.device

    @property
    def seconds(self) -> dict[str, float]:
        """Spent to `compile`, to `train` and in `total`."""
        return self.header.seconds

    @property
    def data_spec(self) -> DataSpec:
        """The data's classes, and how its pictures stand."""
        return self.header.data_spec

    @property
    def finished(self) -> bool:
        """Whether it came to its last epoch."""
        return self.header.status == "finished"

    @property
    def history(self) -> dict[str, np.ndarray]:
        """Each figure over the epochs, float64 [epochs]: `run.history["test_loss"]`."""
        history: dict[str, np.ndarray] = {}
        for name in self.rows[0] if self.rows else ():
            history[name] = np.array([row[name] for row in self.rows])
        return history

    @property
    def confusion_matrix(self) -> np.ndarray:
        """Counts on the test set [classes, classes]; rows are true classes."""
        return self.evaluation.confusion_matrix

    @property
    def weights(self) -> ParamTree:
        """By layer, from `layer1` on, its `kernel` [in, out] and its `bias` [out]."""
        return self.state.params

    def without_weights(self) -> "Run":
        """The same run without its tensors, so that thousands fit into memory."""
        return replace(self, state=StateTree({}, {}, self.state.step))

    @property
    def final(self) -> Row:
        """Train and test loss and accuracy after the last epoch."""
        return {name: self.rows[-1][name] for name in metrics.FIGURES}

    @property
    def best(self) -> dict[str, dict[str, float | int]]:
        """The smallest test loss and the largest test accuracy with their epochs."""
        return metrics.bests(self.rows)

    def predict_proba(self, images: Any) -> np.ndarray:
        """Probability of each class, float64 [n, classes]; see `prediction`."""
        return prediction.predict_probabilities(self.weights, images)

    def predict(self, images: Any) -> np.ndarray:
        """Index of the likeliest class of each image, int [n]; see `prediction`."""
        return self.predict_proba(images).argmax(axis=1)

    def score(self, images: Any, labels: Any) -> float:
        """Accuracy on images with their class indices [n]."""
        return prediction.accuracy(self.predict(images), labels)

    def to_frame(self) -> Any:
        """The metrics as a pandas DataFrame, an epoch a row.

        Raises:
            InputError: pandas is not installed.
        """
        return pandas("run").DataFrame(self.rows).set_index("epoch")

    def _repr_html_(self) -> str:
        """HTML for a notebook."""
        config = self.config
        title = [
            f"{config.model} on {config.dataset}, {self.backend}",
            f"λ = {config.l2:g}, seed {config.seed}, {config.precision}",
        ]
        if self.path is not None:
            title.append(str(self.path))
        if not self.finished:
            title.append(f"not finished: {len(self.rows)} of {config.epochs} epochs")
        rows = []
        if self.rows:
            final, (loss, accuracy) = self.rows[-1], self.best.values()
            best = f"epochs {loss['epoch']} and {accuracy['epoch']}"
            for name, test, epochs in (
                ("final", (final["test_loss"], final["test_accuracy"]), f"epoch {len(self.rows)}"),
                ("best", (loss["value"], accuracy["value"]), best),
            ):
                rows.append([f"{name} test", f"{test[0]:.5f}", f"{test[1]:.2%}", epochs])
        return html_table(["", "loss", "accuracy", ""], rows, title)

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


def no_evaluation(classes: int) -> Evaluation:
    """The evaluation of a run of which none is saved: no loss, no predictions, no counts."""
    matrix = np.zeros((classes, classes), np.int64)
    return Evaluation(np.nan, np.zeros(0, np.uint8), matrix)
