"""Single runs: train, resume, load, evaluate again."""

import contextlib
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from mnist_fn.shared import backend as backends
from mnist_fn.shared.backend import GroupOfOne
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset, Source, load_for, load_test, source_of
from mnist_fn.shared.errors import Argument, InputError
from mnist_fn.shared.evaluation import Evaluation, evaluate
from mnist_fn.shared.runs.callbacks import Callbacks, Notice, stoppable
from mnist_fn.shared.runs.folder import RunFolder, slug
from mnist_fn.shared.runs.loop import Diverged, TrainingJob
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.runs.store import open_run
from mnist_fn.shared.storage import locked
from mnist_fn.shared.wording import counted


@backends.enough_memory()
def train(
    config: Config,
    backend: str = "jax",
    *,
    device: str = "auto",
    data_dir: Source | str | None = None,
    out: Path | str | None = None,
    force: bool = False,
    callbacks: Callbacks | None = None,
    progress: bool = True,
) -> Run:
    """Train one model and evaluate it on the test set, as `mnist-fn train` does.

    Args:
        config: the experiment.
        backend: "jax", "torch", or the name of any installed backend.
        device: "auto", "cpu" or "gpu".
        data_dir: folder with the dataset's files, or a `Dataset`, by whose name the run then is;
            None searches the usual places.
        out: the run's folder. A finished run there is returned as it is, an unfinished one of
            the same config goes on. None keeps everything in memory.
        force: train again what is in `out`.
        callbacks: in place of what is shown. `should_stop` ends the run early: it is returned as
            it is, with `stopped` set, and goes on from there when it is asked for again.
        progress: show how far it is, on stderr.

    Raises:
        InputError: bad data, device or folder; a loss that explodes.
        Interrupted: Ctrl-C; what was done is saved in `out`.
    """
    if not isinstance(config, Config):
        raise InputError(f"a Config is expected to train, not a {type(config).__name__}")
    config, source = source_of(config, data_dir)
    path = None if out is None else Path(out)
    make = backends.find(backend)
    backends.check_device(device)
    if path is not None and RunFolder(path).exists() and not force:
        header = RunFolder(path).read_header()
        if header.finished and header.config == config:  # read without a lock: nothing is written
            return RunFolder(path).load(header)
    with (
        followed(callbacks, progress) as callbacks,
        contextlib.nullcontext() if path is None else locked(path),
    ):
        run = open_run(config, path, overwrite=force)
        return _train(run, make, device, source, callbacks)


@backends.enough_memory()
def resume(
    path: Path | str,
    *,
    epochs: int | None = None,
    backend: str | None = None,
    device: str = "auto",
    data_dir: Source | str | None = None,
    callbacks: Callbacks | None = None,
    progress: bool = True,
) -> Run:
    """Go on with the run in a folder, a finished one to more epochs, on the same or another
    backend. Arguments and errors as for `train`; None keeps what the run has.
    """
    folder = RunFolder(Path(path))
    header = folder.read_header()  # before the lock, which would make the folder
    backend = backend or header.backend
    make = backends.find(backend)
    backends.check_device(device)
    with followed(callbacks, progress) as callbacks, locked(folder.path):
        header = folder.read_header()
        config = header.config if epochs is None else header.config.replace(epochs=epochs)
        if config.beginning != header.config.beginning:
            text = f" is spread over the run's {header.config.epochs} epochs"
            hint = "train a new run for another number"
            raise InputError((Argument("schedule", config.schedule), text), hint=hint)
        name = slug(header.config, header.backend)
        if folder.path.name == name != slug(config, backend):
            goal = counted(config.epochs, "epoch")
            text = f"{folder.path}: keeps its name, and goes on to {goal} on {backend}"
            callbacks.on_event(Notice(text))
        run = open_run(config, folder.path, longer=True)
        _, source = source_of(config, data_dir)
        return _train(run, make, device, source, callbacks)


def load_run(path: Path | str) -> Run:
    """A run from its folder. One that is not finished has `finished` False and is as far as it was
    saved: its history, weights and evaluation.

    Raises:
        InputError: no run there, it diverged, no epoch is saved yet, or it is damaged.
    """
    return RunFolder(Path(path)).load()


@backends.enough_memory()
def evaluate_run(
    path: Path | str,
    *,
    backend: str | None = None,
    device: str = "auto",
    data_dir: Source | str | None = None,
) -> tuple[str, Evaluation, str]:
    """Evaluate a run's saved weights on the test set again.

    Args:
        path: the run's folder.
        backend: None takes the run's own.
        device: "auto", "cpu" or "gpu".
        data_dir: a folder with a test set of the same form, or a dataset with one; None takes the
            run's own.

    Returns the backend's name, the evaluation, and the SHA-256 of the data.

    Raises:
        InputError: no run there, damaged, or nothing trained yet; bad data or device.
    """
    folder = RunFolder(Path(path))
    header = folder.read_header()
    name = backend or header.backend
    make = backends.find(name)
    backends.check_device(device)
    state = folder.read_state(header)
    if data_dir is None:
        dataset = load_for(header.config, data_spec=header.data_spec)
        header.check_dataset(dataset)
    else:
        source = data_dir if isinstance(data_dir, Dataset) else Path(data_dir)
        dataset = load_test(source, header.config.dataset, header.data_spec)
        if dataset.pixels != header.input_dim:
            raise InputError(
                f"{dataset.name}: trained on images of {header.input_dim} pixels, these have "
                f"{dataset.pixels}; give a run on images of that size"
            )
    computer = make(header.config, dataset, device)
    logits = computer.logits(computer.load(state), dataset.test.images)
    return name, evaluate(logits, dataset.test.labels), dataset.sha256


@contextlib.contextmanager
def followed(callbacks: Callbacks | None, progress: bool) -> Iterator[Callbacks]:
    """Within it, Ctrl-C asks for an end, beside what the caller asks for.

    A handler of the caller's own stays: only where Ctrl-C would raise does it ask for an end.

    Args:
        callbacks: the caller's, who then follows the runs.
        progress: without callbacks, show how far the runs are, on stderr.
    """
    if not isinstance(callbacks, Callbacks | None):
        raise InputError("`callbacks`: give one `Callbacks`, such as Callbacks(on_epoch=print)")
    would_raise = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signals = [signal.SIGINT] if would_raise else []
    with stoppable(signals, lambda _: KeyboardInterrupt()) as stop:
        if callbacks is not None or not progress:
            caller = callbacks or Callbacks()
            yield replace(caller, should_stop=lambda: stop.should_stop() or caller.should_stop())
            return
        from rich.console import Console

        from mnist_fn.shared.runs.progress import ProgressView

        with ProgressView(Console(stderr=True, highlight=False)) as view:
            yield view.callbacks(stop.should_stop)


def _train(
    run: Run, make: backends.MakeBackend, device: str, source: Source | None, callbacks: Callbacks
) -> Run:
    if run.finished:
        return run
    started = time.perf_counter()
    data_spec = run.data_spec if run.header.begun else None
    dataset = load_for(run.config, source, data_spec=data_spec)
    loaded = time.perf_counter()
    group = GroupOfOne(make(run.config, dataset, device))
    made = time.perf_counter()
    spent = {"compile": made - loaded, "train": 0.0, "total": made - started}
    (result,) = TrainingJob(group, dataset, callbacks, spent).train([run]).values()
    if isinstance(result, Diverged):
        raise result
    return result
