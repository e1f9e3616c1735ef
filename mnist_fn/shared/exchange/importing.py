"""A run from weights that were trained elsewhere."""

import time
from pathlib import Path

import numpy as np

from mnist_fn.shared import backend as backends
from mnist_fn.shared.backend import EpochMetrics
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset, load
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.evaluation import evaluate
from mnist_fn.shared.exchange.layers import Source, mlp_of
from mnist_fn.shared.exchange.scaling import Scaling, folded
from mnist_fn.shared.optimizers import slots_of
from mnist_fn.shared.runs import metrics
from mnist_fn.shared.runs.environment import machine, versions
from mnist_fn.shared.runs.folder import RunFolder
from mnist_fn.shared.runs.header import Header
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.runs.trainer import load_run
from mnist_fn.shared.state import ParamTree, StateTree, all_finite, layer_sizes, zeros_like
from mnist_fn.shared.storage import locked
from mnist_fn.shared.streams import blank_state

LOW = {"mnist": 0.9}  # test accuracy: a model of less was read in another way than it was trained
LOW_ELSEWHERE = 0.7
ELSEWHERE = "import"  # in a run's segments, in a backend's place


@backends.enough_memory()
def import_run(
    source: Source,
    out: Path,
    scaling: Scaling,
    *,
    dataset: str = "mnist",
    data_dir: Path | None = None,
    backend: str = "jax",
    device: str = "auto",
) -> Run:
    """Make a finished run of one epoch out of weights, with their figures on the dataset.

    Adam's moments and its steps are 0: a training that resumes from it starts with these.

    Args:
        source: the weights.
        out: the run's folder; none may be there.
        scaling: of the pixels where they were trained; folded into the first layer.
        dataset: what they were trained for, with its files in `data_dir` or the usual places.
        data_dir: see `datasets.load`.
        backend: that evaluates them.
        device: "auto", "cpu" or "gpu".

    Raises:
        InputError: no MLP from this dataset's pixels to its classes, a weight that is not finite;
            a run in `out`; bad data, backend or device.
    """
    started = time.perf_counter()
    make = backends.find(backend)
    backends.check_device(device)
    folder = RunFolder(out)
    if folder.exists() or folder.result_files():
        raise InputError(f"{out}: holds a run already; choose another --out")
    data = load(dataset, data_dir)
    params = _params(source, data, scaling)
    config = Config(
        dataset=dataset,
        hidden=layer_sizes(params)[1:-1],
        epochs=1,
        precision=str(params["layer1"]["kernel"].dtype),
        batch_size=min(Config().batch_size, len(data.train)),
    )
    blank_state(config, data.pixels, data.classes)  # within the size of any model that is made
    slots = {name: zeros_like(params) for name in slots_of(config)}
    state = StateTree(params, slots, step=0)
    computer = make(config, data, device)
    loaded = computer.load(state)
    test = evaluate(computer.logits(loaded, data.test.images), data.test.labels)
    train = evaluate(computer.logits(loaded, data.train.images), data.train.labels)
    n = len(data.train)
    correct = int(np.trace(train.confusion_matrix))
    row = metrics.make_row(1, EpochMetrics(train.loss * n, correct, n), test, None)
    header = Header(
        config=config,
        dataset_sha256=data.sha256,
        input_dim=data.pixels,
        num_classes=data.classes,
        backend=computer.name,
        device=computer.device,
        status="finished",
        versions=versions(),
        machine=machine(),
        segments=[{"backend": ELSEWHERE, "first_epoch": 1}],
        seconds={"compile": 0.0, "train": 0.0, "total": time.perf_counter() - started},
        data_spec=data.data_spec,
        imported={"file": source.path.name, "sha256": source.sha256, "pixels": str(scaling)},
    )
    with locked(out):
        folder.write(Run(header, [row], state, test))
    return load_run(out)


def doubt(run: Run) -> str | None:
    """Return a warning if a model is far worse than such a model should be, else None."""
    accuracy = run.final["test_accuracy"]
    if accuracy >= LOW.get(run.config.dataset, LOW_ELSEWHERE):
        return None
    return (
        f"{accuracy:.1%} right is far below what such a model has: were its pixels scaled in "
        "another way (--pixels), or has it another activation than ReLU, which can't be imported?"
    )


def _params(source: Source, data: Dataset, scaling: Scaling) -> ParamTree:
    if not source.tensors:
        raise InputError(f"{source.path}: no tensors in it; give an MLP's state dict")
    params = mlp_of(
        source.tensors, data.pixels, data.classes, str(source.path), ordered=source.ordered
    )
    dtype = np.result_type(np.float32, *source.tensors.values())  # float64 if any is
    for tensors in params.values():
        for kind, tensor in tensors.items():
            tensors[kind] = tensor.astype(dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        params = folded(params, scaling)
    if not all_finite(StateTree(params, {}, 0)):
        raise InputError(f"{source.path}: a weight is not finite")
    return params
