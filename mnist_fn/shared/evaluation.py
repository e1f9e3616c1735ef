"""The one evaluation of every run on every backend, from logits, in NumPy float64."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnist_fn.shared.state import ParamTree
from mnist_fn.shared.storage import or_null


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Return counts [classes, classes], int64: row i, column j is how often i was called j."""
    matrix = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(matrix, (labels, predictions), 1)
    return matrix


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Return the log-softmax of logits [n, classes], float64, shifted by the row's maximum."""
    with np.errstate(invalid="ignore"):  # not finite in, NaN out: the trainer stops at that
        shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean over examples of -log softmax(logits)[label], in nats."""
    return float(-log_probabilities(logits)[np.arange(len(labels)), labels].mean())


@dataclass(frozen=True)
class Confusion:
    """One kind of mistake: `count` test digits of class `true` were called `predicted`."""

    true: int
    predicted: int
    count: int
    share: float  # of the true class's examples, 0 to 1

    def __str__(self) -> str:
        return self.named()

    def named(self, names: Sequence[str] = ()) -> str:
        """Return `4 → 9: 12 (1.2%)`, in the classes' names if they are given."""
        true, predicted = (names[i] if names else i for i in (self.true, self.predicted))
        return f"{true} → {predicted}: {self.count} ({self.share:.1%})"


@dataclass(frozen=True)
class Evaluation:
    """What a model does on a split; everything but the loss follows from the predictions."""

    loss: float  # mean cross-entropy in nats, without the penalty
    predictions: np.ndarray  # uint8 [n]
    confusion_matrix: np.ndarray  # int64 [classes, classes], rows are true classes

    @property
    def accuracy(self) -> float:
        """Share of examples on the diagonal, 0 to 1."""
        return float(np.trace(self.confusion_matrix) / self.confusion_matrix.sum())

    @property
    def per_class_accuracy(self) -> np.ndarray:
        """Share of each true class on the diagonal [classes]; NaN for a class without examples."""
        return np.diag(row_normalized(self.confusion_matrix))

    def worst_confusions(self, n: int = 5) -> list[Confusion]:
        """Return the most frequent mistakes by share of their true class, the worst first."""
        return worst_confusions(self.confusion_matrix, n)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: all but the predictions."""
        return {
            "loss": self.loss,
            "accuracy": self.accuracy,
            "per_class_accuracy": list(map(or_null, self.per_class_accuracy)),
            "confusion_matrix": self.confusion_matrix.tolist(),
            "worst_confusions": list(map(vars, self.worst_confusions(10))),
        }


def row_normalized(matrix: np.ndarray) -> np.ndarray:
    """Divide each row by its sum, float64; NaN for an empty row."""
    totals = matrix.sum(axis=1, keepdims=True)
    return np.divide(matrix, totals, out=np.full(matrix.shape, np.nan), where=totals > 0)


def worst_confusions(matrix: np.ndarray, n: int = 5) -> list[Confusion]:
    """Return the `n` most frequent off-diagonal cells, by share of the row; ties by class."""
    mistakes = matrix * ~np.eye(len(matrix), dtype=bool)
    shares = np.nan_to_num(row_normalized(matrix)) * (mistakes > 0)
    confusions = []
    for index in np.argsort(-shares, axis=None, kind="stable")[: min(n, (mistakes > 0).sum())]:
        true, predicted = divmod(int(index), len(matrix))
        count = int(matrix[true, predicted])
        confusions.append(Confusion(true, predicted, count, float(shares[true, predicted])))
    return confusions


def evaluate(logits: np.ndarray, labels: np.ndarray) -> Evaluation:
    """Evaluate logits [n, classes] against labels [n]."""
    predictions = logits.argmax(axis=1).astype(np.uint8)
    matrix = confusion_matrix(labels, predictions, logits.shape[1])
    return Evaluation(cross_entropy(logits, labels), predictions, matrix)


def templates(params: ParamTree) -> np.ndarray:
    """Return a linear model's weights of each class as a square picture, [classes, side, side]."""
    (tensors,) = params.values()  # one layer: a linear model
    side = math.isqrt(tensors["kernel"].shape[0])
    return tensors["kernel"].T.reshape(-1, side, side)


def template_summary(params: ParamTree) -> dict[str, float]:
    """Describe a linear model's templates in three numbers.

    The border is a seventh of the side deep, 4 of 28 pixels, where digits are rarely lit.

    Returns:
        `size`: root mean square of all weights. `border`: the largest |weight| there over the
        largest inside. `roughness`: root mean square of the difference of neighbours over `size`;
        independent weights have √2.
    """
    pictures = templates(params).astype(np.float64)
    side = pictures.shape[1]
    edge = max(1, side // 7)
    inside = np.zeros((side, side), dtype=bool)
    inside[edge:-edge, edge:-edge] = True
    size = float(np.sqrt(np.mean(pictures**2)))
    steps = [np.diff(pictures, axis=axis).ravel() for axis in (1, 2)]
    largest = np.abs(pictures).max(axis=0)
    return {
        "size": size,
        "border": float(largest[~inside].max() / largest[inside].max()),
        "roughness": float(np.sqrt(np.mean(np.concatenate(steps) ** 2)) / size),
    }


def forward(params: ParamTree, pixels: np.ndarray) -> np.ndarray:
    """Compute logits [n, classes] in float64 of pixels [n, in] in [0, 1], ReLU between layers."""
    out = pixels.astype(np.float64)
    for i, layer in enumerate(params.values()):
        out = (np.maximum(out, 0.0) if i else out) @ layer["kernel"] + layer["bias"]
    return out
