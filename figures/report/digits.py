"""Test digits for the page: those behind each cell of the confusion matrix, and the worst."""

import base64
import math
from typing import Any

import numpy as np

from mnist_fn.shared.data.datasets import Split
from mnist_fn.shared.data.spec import DataSpec
from mnist_fn.shared.evaluation import Evaluation, log_probabilities
from mnist_fn.shared.pictures.preparation import to_png

WRONG = 60  # digits of an off-diagonal cell at most: a good model has fewer
RIGHT = 20  # of a diagonal cell
WORST = 24
EXAMPLES = 40  # from all over the test set, as they come: the cells have the hardest
COLUMNS = 32  # of the sprite


class Digits:
    """Test digits with what the network says of them; pictures are shown upright, light on dark."""

    def __init__(
        self, split: Split, evaluation: Evaluation, logits: np.ndarray, data_spec: DataSpec
    ) -> None:
        """Take the saved evaluation and the logits [n, classes] of its weights."""
        self.split, self.data_spec = split, data_spec
        self.predictions = evaluation.predictions  # uint8 [n]
        shares = np.exp(log_probabilities(logits))
        self.probabilities = shares[np.arange(len(split)), self.predictions]  # float64 [n]

    def of_cell(self, true: int, predicted: int) -> np.ndarray:
        """Indices of the digits to show for a cell: mistakes from the surest, right ones from the
        least sure.
        """
        inside = (self.split.labels == true) & (self.predictions == predicted)
        indices = np.flatnonzero(inside)
        order = np.argsort(self.probabilities[indices], kind="stable")
        return indices[order[:RIGHT]] if true == predicted else indices[order[::-1][:WRONG]]

    def worst(self) -> list[dict[str, Any]]:
        """The mistakes that the network was surest of, each with its picture."""
        wrong = np.flatnonzero(self.split.labels != self.predictions)
        order = np.argsort(-self.probabilities[wrong], kind="stable")[:WORST]
        mistakes: list[dict[str, Any]] = []
        for i in wrong[order].tolist():
            true, predicted = int(self.split.labels[i]), int(self.predictions[i])
            picture = data_uri(to_png(self.data_spec.as_mnist(self.split.images[i])))
            mistake = {"index": i, "true": true, "predicted": predicted, "picture": picture}
            mistakes.append({**mistake, "probability": float(self.probabilities[i])})
        return mistakes

    def in_cells(self, classes: int) -> dict[str, Any]:
        """All cells' digits for `confusion.js`: one picture of them all, row by row, and for each
        cell "true,predicted" its digits as [place in the picture, index, probability]; examples
        to try as [place, true class].
        """
        cells: dict[str, list[list[float]]] = {}
        shown: list[int] = []
        for true in range(classes):
            for predicted in range(classes):
                for i in self.of_cell(true, predicted).tolist():
                    digit = [len(shown), i, round(float(self.probabilities[i]), 3)]
                    cells.setdefault(f"{true},{predicted}", []).append(digit)
                    shown.append(i)
        examples = np.unique(np.linspace(0, len(self.split) - 1, EXAMPLES).astype(int))
        places = range(len(shown), len(shown) + len(examples))
        shown += examples.tolist()
        images = self.data_spec.as_mnist(self.split.images[shown])
        return {
            "cells": cells,
            "examples": list(zip(places, self.split.labels[examples].tolist(), strict=True)),
            "side": images.shape[1],
            "columns": COLUMNS,
            "sprite": data_uri(to_png(_tiled(images))),
        }


def _tiled(images: np.ndarray) -> np.ndarray:
    """Images [n, rows, columns] side by side, COLUMNS in a row."""
    n, height, width = images.shape
    rows = math.ceil(n / COLUMNS)
    full = np.zeros((rows * COLUMNS, height, width), np.uint8)
    full[:n] = images
    tiles = full.reshape(rows, COLUMNS, height, width).swapaxes(1, 2)
    return tiles.reshape(rows * height, COLUMNS * width)


def data_uri(png: bytes) -> str:
    """A PNG file as the address of an image."""
    return "data:image/png;base64," + base64.b64encode(png).decode()
