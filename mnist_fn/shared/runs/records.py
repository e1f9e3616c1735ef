"""A run on disk: `run.json`, `metrics.csv`, `checkpoint.safetensors`, `evaluation.json`.

After a kill at any moment the folder is a valid run that resumes. The order of writing sees
to that: metrics before the checkpoint that names them (rows past the checkpoint's epoch are
dropped on reading), the evaluation before the status `finished`.
"""

import contextlib
import os
import platform
import sys
from dataclasses import fields, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from mnist_fn.shared import source
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.form import MNIST, Form
from mnist_fn.shared.errors import InputError, damaged
from mnist_fn.shared.evaluation import Evaluation
from mnist_fn.shared.runs import metrics
from mnist_fn.shared.runs.checkpoint import (
    Checkpoint,
    read_checkpoint,
    weights_digest,
    write_checkpoint,
)
from mnist_fn.shared.runs.computed import UNKNOWN, Computed, cores, vectors
from mnist_fn.shared.runs.header import Header, well_formed
from mnist_fn.shared.runs.metrics import Row
from mnist_fn.shared.state import ParamTree, StateTree, layer_sizes
from mnist_fn.shared.storage import read_sealed, write_atomically, write_sealed
from mnist_fn.shared.streams import blank_state, initial_state

SCHEMA = 1
PACKAGES = ("mnist-fn", "numpy", "jax", "jaxlib", "flax", "optax", "torch")


class RunDirectory:
    """The files of one run. Writing needs `storage.locked(path)` around it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header_file = path / "run.json"
        self.metrics_file = path / "metrics.csv"
        self.checkpoint_file = path / "checkpoint.safetensors"
        self.evaluation_file = path / "evaluation.json"

    def exists(self) -> bool:
        """Whether there is a run here, finished or not."""
        return self.header_file.exists()

    def results(self) -> list[Path]:
        """The files that are there besides the header."""
        own = (self.checkpoint_file, self.evaluation_file, self.metrics_file)
        return [file for file in own if file.exists()]

    def clear(self) -> None:
        """Remove the files of the run before, and nothing else, to put a new header in place.

        A kill in between leaves a run that starts over: the old header says `unfinished`
        before the checkpoint goes.

        Raises:
            InputError: they can't be removed.
        """
        with contextlib.suppress(InputError):  # none there, or damaged: then just replaced
            self.write_header(replace(self.read_header(), status="unfinished"))
        try:
            for file in self.results():
                file.unlink()
        except OSError as error:
            raise InputError(f"{self.path}: can't be replaced ({error.strerror})") from error

    def read_header(self) -> Header:
        """Read `run.json`.

        Raises:
            InputError: no run here, damaged, or of another schema.
        """
        if not self.exists():
            raise InputError(f"{self.path}: no run here (a run is a folder with run.json)")
        document = read_sealed(self.header_file, SCHEMA)
        try:
            document.setdefault("form", MNIST.to_dict())  # of a run before these were recorded
            document.setdefault("computed", UNKNOWN.to_dict())
            document.setdefault("imported", {})
            values = {field.name: document[field.name] for field in fields(Header)}
            read = {"config": Config.from_dict(values["config"]),
                    "form": Form.from_dict(values["form"]),
                    "computed": Computed.from_dict(values["computed"])}  # fmt: skip
            header = Header(**{**values, **read})
        except (InputError, KeyError) as error:
            raise damaged(self.header_file, error) from error
        if not well_formed(header):
            raise damaged(self.header_file, "a field is of another kind or out of range")
        try:
            blank_state(header.config, header.pixels, header.classes)
        except InputError as error:  # a model larger than any that is made
            raise damaged(self.header_file, error) from error
        return header

    def write_header(self, header: Header) -> None:
        """Write `run.json`; InputError if it can't be."""
        values = {field.name: getattr(header, field.name) for field in fields(Header)}
        write_sealed(
            self.header_file,
            {
                "schema": SCHEMA,
                **values,
                "config": header.config.to_dict(),
                "form": header.form.to_dict(),
                "computed": header.computed.to_dict(),
            },
        )

    def read_progress(self, header: Header) -> tuple[StateTree, list[Row]]:
        """The state after the last saved epoch and the rows up to it; the initial ones if none.

        Raises:
            InputError: a file is damaged or belongs to another run.
        """
        checkpoint = self.read_state(header)
        if checkpoint is None:
            return initial_state(header.config, header.pixels, header.classes), []
        rows = metrics.read_csv(self.metrics_file, checkpoint.epoch)
        if metrics.digest(rows) != checkpoint.metrics:
            raise damaged(self.metrics_file, "not the rows that led to the checkpoint")
        return checkpoint.state, rows

    def read_state(self, header: Header) -> Checkpoint | None:
        """The last checkpoint alone, None if there is none yet. Errors as for `read_progress`."""
        if not self.checkpoint_file.exists():
            if header.status == "finished":
                raise damaged(self.checkpoint_file, "missing from a finished run")
            return None
        sizes = (header.config, header.pixels, header.classes)
        checkpoint = read_checkpoint(self.checkpoint_file, like=blank_state(*sizes))
        if checkpoint.run != header.identity:
            raise damaged(self.checkpoint_file, "belongs to another run than its run.json")
        done, epochs = checkpoint.epoch, header.config.epochs
        by = header.backend_of(done)
        if done and checkpoint.backend not in ("", by):
            raise damaged(
                self.checkpoint_file,
                f"{checkpoint.backend[:20]} did epoch {done}, run.json says {by[:20] or 'none'}",
            )
        if done > epochs or (header.status == "finished" and done < epochs):
            raise damaged(self.checkpoint_file, f"{done} epochs, run.json says {epochs}")
        return checkpoint

    def write_progress(self, header: Header, state: StateTree, rows: list[Row]) -> None:
        """Save the rows and the state after them; InputError if they can't be written."""
        write_atomically(self.metrics_file, metrics.to_csv(rows))
        done, digest = len(rows), metrics.digest(rows)
        by = header.backend_of(done) or header.backend
        write_checkpoint(self.checkpoint_file, Checkpoint(state, done, header.identity, digest, by))

    def write_evaluation(self, evaluation: Evaluation, params: ParamTree) -> None:
        """Write `evaluation.json`; InputError if it can't be."""
        write_sealed(self.evaluation_file, _evaluation_document(evaluation, weights_digest(params)))

    def read_evaluation(self, params: ParamTree) -> Evaluation:
        """The evaluation of these weights.

        Raises:
            InputError: missing, damaged, or of other weights.
        """
        document = read_sealed(self.evaluation_file, SCHEMA)
        weights = weights_digest(params)
        if document.get("weights") != weights:
            raise damaged(self.evaluation_file, "of other weights than the checkpoint's")
        try:
            classes = layer_sizes(params)[-1]
            predictions = _from_text(document["predictions"], classes)
            matrix = np.array(document["confusion_matrix"], dtype=np.int64)
            evaluation = Evaluation(document["loss"], predictions, matrix)
            good = (
                type(evaluation.loss) is float
                and matrix.shape == (classes, classes)
                and 0 <= matrix.min() < matrix.max()
                and np.array_equal(matrix.sum(axis=0), np.bincount(predictions, minlength=classes))
                # what follows from the rest says nothing else
                and _evaluation_document(evaluation, weights) == document
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise damaged(self.evaluation_file, error) from error
        if not good:
            raise damaged(self.evaluation_file, "its parts disagree")
        return evaluation


def _evaluation_document(evaluation: Evaluation, weights: str) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "weights": weights,
        "loss": evaluation.loss,
        "accuracy": evaluation.accuracy,
        "per_class_accuracy": [
            None if np.isnan(share) else float(share) for share in evaluation.per_class_accuracy
        ],
        "confusion_matrix": evaluation.confusion_matrix.tolist(),
        "worst_confusions": [vars(c) for c in evaluation.worst_confusions(10)],
        "predictions": _to_text(evaluation.predictions, len(evaluation.confusion_matrix)),
    }


def _to_text(predictions: np.ndarray, classes: int) -> str:
    """A digit an example; of more than ten classes two hexadecimal ones."""
    return predictions.tobytes().hex() if classes > 10 else "".join(map(str, predictions))


def _from_text(text: str, classes: int) -> np.ndarray:
    """What `_to_text` wrote, uint8 [n]; ValueError if it can't be that."""
    if classes > 10:
        return np.frombuffer(bytes.fromhex(text), np.uint8)
    return np.frombuffer(text.encode(), np.uint8) - ord("0")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result may depend on, none imported, and the
    digests of our own source.
    """
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return {**found, **source.digests()}


def machine() -> str:
    """The processor, the cores of it that this process may use and its vector level, in words."""
    model = platform.processor() or platform.machine()
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a sandbox may hide it
            for line in Path("/proc/cpuinfo").read_text().splitlines():
                if line.startswith("model name"):
                    model = line.partition(":")[2].strip()
                    break
    there, ours = os.cpu_count(), cores()
    used = f"{ours} cores" if ours == there else f"{ours} of {there} cores"
    return ", ".join(part for part in (model, used, vectors()) if part)
