"""The files of one run: `run.json`, `metrics.csv`, `checkpoint.safetensors`, `evaluation.json`.

After a kill at any moment the folder is a valid run that resumes. The order of writing ensures it:
the metrics come before the checkpoint that names them (rows past the checkpoint's epoch are dropped
on reading), and the evaluation before the status `finished`.
"""

import contextlib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from mnist_fn.shared.config import Config
from mnist_fn.shared.errors import Argument, InputError, Resume, damaged
from mnist_fn.shared.evaluation import Evaluation
from mnist_fn.shared.runs import metrics
from mnist_fn.shared.runs.checkpoint import (
    Checkpoint,
    read_checkpoint,
    weights_digest,
    write_checkpoint,
)
from mnist_fn.shared.runs.header import Header
from mnist_fn.shared.runs.run import Run, no_evaluation
from mnist_fn.shared.state import ParamTree, StateTree, layer_sizes
from mnist_fn.shared.storage import read_sealed, write_atomically, write_sealed
from mnist_fn.shared.streams import blank_state, initial_state

SCHEMA = 1
HEADER_SCHEMA = 2  # 1 had other keys, which `Header.from_dict` reads
HEADER = "run.json"
RESULTS = ("metrics.csv", "checkpoint.safetensors", "evaluation.json")  # in the order of writing


class RunFolder:
    """The files of one run. Writing needs `storage.locked(path)` around it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header_file = path / HEADER
        self.metrics_file, self.checkpoint_file, self.evaluation_file = map(path.joinpath, RESULTS)

    @classmethod
    def of(cls, run: Run) -> "RunFolder":
        """The folder that a run was read from, or trained in."""
        assert run.path is not None  # noqa: S101 - as it is not in memory alone
        return cls(run.path)

    def exists(self) -> bool:
        """Whether there is a run here, finished or not."""
        return self.header_file.exists()

    def result_files(self) -> list[Path]:
        """The files that exist besides the header, the checkpoint first."""
        files = (self.checkpoint_file, self.evaluation_file, self.metrics_file)
        return list(filter(Path.exists, files))

    def clear(self) -> None:
        """Remove the files of the previous run, and nothing else, to put a new header in place.

        A kill in between leaves a run that starts over: the old header says `unfinished`
        before the checkpoint goes.

        Raises:
            InputError: they can't be removed.
        """
        with contextlib.suppress(InputError):  # none, or damaged: then just replaced
            self.write_header(replace(self.read_header(), status="unfinished"))
        try:
            for file in self.result_files():
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
        document = read_sealed(self.header_file, HEADER_SCHEMA, oldest=1)
        try:
            header = Header.from_dict(document)
            # refuses a model larger than any that is made
            blank_state(header.config, header.input_dim, header.num_classes)
        except (InputError, KeyError, ValueError) as error:
            raise damaged(self.header_file, error) from error
        return header

    def write_header(self, header: Header) -> None:
        """Write `run.json`; InputError if it can't be."""
        write_sealed(self.header_file, {"schema": HEADER_SCHEMA, **header.to_dict()})

    def read(self, header: Header) -> Run:
        """The run as far as it was saved, in its initial state if no epoch was, and without its
        evaluation: a training that goes on makes another.

        Raises:
            InputError: a file is missing from a finished run, damaged, or of another run.
        """
        checkpoint = self._read_checkpoint(header)
        if checkpoint is None:
            state, rows = initial_state(header.config, header.input_dim, header.num_classes), []
        else:
            state, rows = checkpoint.state, metrics.read_csv(self.metrics_file, checkpoint.epoch)
            if metrics.digest(rows) != checkpoint.metrics:
                raise damaged(self.metrics_file, "not the rows that led to the checkpoint")
        evaluation = no_evaluation(header.num_classes)
        return Run(header, rows, state, evaluation, self.path, loaded=True)

    def with_evaluation(self, run: Run) -> Run:
        """The run that `read` returned, with its evaluation if it is saved.

        Raises:
            InputError: it is damaged, or missing from a finished run.
        """
        evaluation = None
        if run.finished or self.evaluation_file.exists():
            evaluation = self._read_evaluation(run.weights)
        if evaluation is None:
            if run.finished:
                raise damaged(self.evaluation_file, "of other weights than the checkpoint's")
            return run  # killed between the checkpoint and its evaluation
        return replace(run, evaluation=evaluation)

    def read_state(self, header: Header) -> StateTree:
        """The last saved state, which needs no other file; InputError if no epoch is saved yet.
        Errors as for `read`.
        """
        checkpoint = self._read_checkpoint(header)
        if checkpoint is None or not checkpoint.epoch:
            raise self._nothing_saved()
        return checkpoint.state

    def load(self, header: Header | None = None) -> Run:
        """The run, finished or as far as it was saved.

        Args:
            header: of this run, if it has been read already.

        Raises:
            InputError: no run here, it diverged, no epoch is saved yet, or a file is damaged.
        """
        header = header or self.read_header()
        if header.status == "diverged":
            hint = ("train another with a smaller ", Argument("learning_rate"))
            raise InputError(f"{self.path}: diverged", hint=hint)
        run = self.read(header)
        if not run.rows:
            raise self._nothing_saved()
        return self.with_evaluation(run)

    def load_finished(self, header: Header | None = None) -> Run:
        """As `load`; InputError for a run that is not finished, too."""
        header = header or self.read_header()
        if header.status == "unfinished":
            raise InputError(f"{self.path}: not finished", hint=("go on with: ", Resume(self.path)))
        return self.load(header)

    def write(self, run: Run) -> None:
        """Save a run's rows, the state after them, its evaluation if it has one, and its header.

        Raises:
            InputError: a file can't be written.
        """
        header, rows = run.header, run.rows
        write_atomically(self.metrics_file, metrics.to_csv(rows))
        backend = header.backend_of(len(rows)) or header.backend
        digest = metrics.digest(rows)
        checkpoint = Checkpoint(run.state, len(rows), header.identity, digest, backend)
        write_checkpoint(self.checkpoint_file, checkpoint)
        if len(run.evaluation.predictions):
            document = _evaluation_document(run.evaluation, weights_digest(run.weights))
            write_sealed(self.evaluation_file, document)
        self.write_header(header)

    def _read_checkpoint(self, header: Header) -> Checkpoint | None:
        """The last checkpoint, None if there is none yet."""
        if not self.checkpoint_file.exists():
            if header.finished:
                raise damaged(self.checkpoint_file, "missing from a finished run")
            return None
        sizes = (header.config, header.input_dim, header.num_classes)
        checkpoint = read_checkpoint(self.checkpoint_file, like=blank_state(*sizes))
        if checkpoint.run != header.identity:
            raise damaged(self.checkpoint_file, "belongs to another run than its run.json")
        done, epochs = checkpoint.epoch, header.config.epochs
        backend = header.backend_of(done)
        if done and checkpoint.backend not in ("", backend):
            raise damaged(
                self.checkpoint_file,
                f"{checkpoint.backend[:20]} did epoch {done}, "
                f"run.json says {backend[:20] or 'none'}",
            )
        if done > epochs or (header.finished and done < epochs):
            raise damaged(self.checkpoint_file, f"{done} epochs, run.json says {epochs}")
        return checkpoint

    def _read_evaluation(self, params: ParamTree) -> Evaluation | None:
        """The evaluation of these weights, None if it is of other weights."""
        document = read_sealed(self.evaluation_file, SCHEMA)
        weights = weights_digest(params)
        if document.get("weights") != weights:
            return None
        try:
            classes = layer_sizes(params)[-1]
            predictions = _predictions_from_text(document["predictions"], classes)
            matrix = np.array(document["confusion_matrix"], dtype=np.int64)
            evaluation = Evaluation(document["loss"], predictions, matrix)
            predicted = np.bincount(predictions, minlength=classes)
            consistent = (
                type(evaluation.loss) is float
                and matrix.shape == (classes, classes)
                and 0 <= matrix.min() < matrix.max()
                and np.array_equal(matrix.sum(axis=0), predicted)
                # figures derived from the others must be what follows from them
                and _evaluation_document(evaluation, weights) == document
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise damaged(self.evaluation_file, error) from error
        if not consistent:
            raise damaged(self.evaluation_file, "its parts disagree")
        return evaluation

    def _nothing_saved(self) -> InputError:
        hint = ("go on with: ", Resume(self.path))
        return InputError(f"{self.path}: no epoch is saved yet", hint=hint)


def slug(config: Config, backend: str) -> str:
    """A folder name that tells runs apart: what differs from the study's recipe, seed, backend.

    No two runs of one dataset and backend have the same. A dataset called `a-64` with a hidden
    layer of 32 gives the name of `a` with layers of 64 and 32: see `RunStore.assign_folders`.
    """
    parts = [config.dataset, config.model]
    for field in fields(Config):
        value = getattr(config, field.name)
        if field.name not in ("dataset", "hidden", "seed") and value != field.default:
            parts.append(f"{field.name.replace('_', '-')}={_exact(value)}")
    return "-".join([*parts, f"seed={config.seed}", backend])


def _exact(value: Any) -> str:
    """A value in a name: `3e-05`; all digits where six would name another number."""
    if not isinstance(value, float):
        return str(value)
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def _evaluation_document(evaluation: Evaluation, weights: str) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "weights": weights,
        **evaluation.to_dict(),
        "predictions": _predictions_to_text(
            evaluation.predictions, len(evaluation.confusion_matrix)
        ),
    }


def _predictions_to_text(predictions: np.ndarray, classes: int) -> str:
    """A digit an example; two hexadecimal ones where there are more than ten classes."""
    return predictions.tobytes().hex() if classes > 10 else "".join(map(str, predictions))


def _predictions_from_text(text: str, classes: int) -> np.ndarray:
    """Read what `_predictions_to_text` wrote, uint8 [n]; ValueError if it can't be that."""
    if classes > 10:
        return np.frombuffer(bytes.fromhex(text), np.uint8)
    return np.frombuffer(text.encode(), np.uint8) - ord("0")
