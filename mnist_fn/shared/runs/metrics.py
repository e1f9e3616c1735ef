"""One row of figures an epoch, and their CSV form: exact, so that equal runs give equal bytes."""

import csv
import hashlib
import io
import itertools
import math
import os
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO

from mnist_fn.shared.backend import EpochMetrics
from mnist_fn.shared.data.spec import MAX_CLASSES
from mnist_fn.shared.errors import InputError, damaged
from mnist_fn.shared.evaluation import Evaluation
from mnist_fn.shared.storage import open_plain

Row = dict[str, float]
MAX_LINE_BYTES = 2**13
FIGURES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")  # in every row
MAX_COLUMNS = 3 + len(FIGURES) + MAX_CLASSES  # the epoch, two of a validation split, the classes
BEST = {"test_loss": min, "test_accuracy": max, "validation_loss": min, "validation_accuracy": max}


def make_row(
    epoch: int, train: EpochMetrics, test: Evaluation, validation: Evaluation | None
) -> Row:
    """The figures of an epoch (the first is 1). Accuracies are shares, 0 to 1."""
    row: Row = {
        "epoch": epoch,
        "train_loss": train.loss,
        "train_accuracy": train.accuracy,
        "test_loss": test.loss,
        "test_accuracy": test.accuracy,
    }
    if validation is not None:
        row |= {"validation_loss": validation.loss, "validation_accuracy": validation.accuracy}
    for label, share in enumerate(test.per_class_accuracy):
        row[f"test_accuracy_{label}"] = float(share)
    return row


def best(rows: Sequence[Row], name: str) -> dict[str, float | int]:
    """The best value of a column and the first epoch that had it."""
    values = [row[name] for row in rows]
    value = BEST[name](values)
    return {"value": value, "epoch": int(rows[values.index(value)]["epoch"])}


def bests(rows: Sequence[Row]) -> dict[str, dict[str, float | int]]:
    """The smallest test loss and the largest test accuracy with their epochs."""
    return {name: best(rows, name) for name in ("test_loss", "test_accuracy")}


def to_csv(rows: Sequence[Row]) -> bytes:
    """CSV with a header line; floats in the shortest form that reads back to the same value."""
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "epoch": int(row["epoch"])} for row in rows)
    return text.getvalue().encode()


def digest(rows: Sequence[Row]) -> str:
    """SHA-256 of the rows' CSV, hexadecimal: a checkpoint names the rows that led to it."""
    return hashlib.sha256(to_csv(rows)).hexdigest()


def read_csv(path: Path, epochs: int) -> list[Row]:
    """The first `epochs` rows of a metrics file.

    Raises:
        InputError: missing, fewer rows, epochs out of turn, or a value that is no number.
    """
    rows = read_at_most(path, epochs)
    if len(rows) < epochs:
        raise damaged(path, f"{len(rows)} epochs, the checkpoint has {epochs}")
    return rows


def read_at_most(path: Path, epochs: int) -> list[Row]:
    """As `read_csv`, of an unfinished run those that are there."""
    rows = []
    try:
        with open_plain(path) as file:
            # without quotes a line of the file is a record, and bounded as one
            reader = csv.DictReader(_lines(file, epochs + 1), quoting=csv.QUOTE_NONE)
            if len(reader.fieldnames or ()) > MAX_COLUMNS:
                raise ValueError(f"it has more than {MAX_COLUMNS} columns")
            for number, raw in enumerate(itertools.islice(reader, epochs), start=1):
                row = {name: float(value) for name, value in raw.items()}
                # NaN is the accuracy of a class without examples
                finite = all(map(math.isfinite, itemgetter(*FIGURES)(row)))
                if row["epoch"] != number or not finite or math.inf in map(abs, row.values()):
                    raise ValueError(f"row {number} is not epoch {number}'s")
                rows.append({**row, "epoch": number})
    except InputError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, csv.Error) as error:
        raise damaged(path, error) from error
    return rows


def _lines(file: BinaryIO, most: int) -> Iterator[str]:
    """Lines of bounded length, one in memory at a time, of a file that `most` such lines fill."""
    if os.fstat(file.fileno()).st_size > most * MAX_LINE_BYTES:
        raise ValueError("it is too large for its epochs")
    while line := file.readline(MAX_LINE_BYTES):
        if len(line) == MAX_LINE_BYTES:
            raise ValueError("a line is too long")
        yield line.decode()
