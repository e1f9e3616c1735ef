"""What a script or a notebook calls: the commands' own work, followed and stopped as there.

Each shows a live line on a terminal and in a notebook and plain lines in a log, on stderr;
`progress=False` shows nothing, nor do `callbacks` of the caller's, who then follows the run.
Ctrl-C or a notebook's interrupt ends after the epoch with everything saved; a second one at once.
"""

import contextlib
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import source_of
from mnist_fn.shared.runs import trainer
from mnist_fn.shared.runs.callbacks import Callbacks, stoppable
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.sweeps.comparison import check_metric
from mnist_fn.shared.sweeps.request import (
    Numbers,
    SweepRequest,
    Workers,
    bytes_of,
    grid,
    several,
    shapes,
)
from mnist_fn.shared.sweeps.sweep import Sweep
from mnist_fn.shared.sweeps.sweep import sweep as run_sweep

if TYPE_CHECKING:
    from mnist_fn.shared.data.datasets import Dataset
    from mnist_fn.shared.study.running import Study


def train(
    config: Config,
    backend: str = "jax",
    *,
    device: str = "auto",
    data_dir: "Path | str | Dataset | None" = None,
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
        progress: show how far it is.

    Raises:
        InputError: bad data, device or folder; a loss that explodes.
        Interrupted: Ctrl-C; what was done is saved in `out`.
    """
    with _followed(callbacks, progress) as followed:
        return trainer.train(
            config,
            backend,
            device=device,
            data_dir=data_dir,
            out=out,
            force=force,
            callbacks=followed,
        )


def resume(
    path: Path | str,
    *,
    epochs: int | None = None,
    backend: str | None = None,
    device: str = "auto",
    data_dir: "Path | str | Dataset | None" = None,
    callbacks: Callbacks | None = None,
    progress: bool = True,
) -> Run:
    """Go on with the run in a folder, a finished one to more epochs, on the same or another
    backend. Arguments and errors as for `train`; None keeps what the run has.
    """
    with _followed(callbacks, progress) as followed:
        return trainer.resume(
            path,
            epochs=epochs,
            backend=backend,
            device=device,
            data_dir=data_dir,
            callbacks=followed,
        )


def sweep(
    config: Config | None = None,
    *,
    seeds: int = 1,
    l2: Numbers = (),
    learning_rate: Numbers = (),
    model: str | Sequence[str] = (),
    hidden: Sequence[int] | Sequence[Sequence[int]] = (),
    backend: str = "jax",
    metric: str | None = None,
    device: str = "auto",
    data_dir: "Path | str | Dataset | None" = None,
    max_memory: int | str | None = None,
    workers: int | None = None,
    threads: int | None = None,
    cluster: str | None = None,
    out: Path | str | None = None,
    force: bool = False,
    callbacks: Callbacks | None = None,
    progress: bool = True,
) -> Sweep:
    """Train every combination of seeds, λ, learning rates and shapes and compare them, as
    `mnist-fn sweep` does.

        result = sweep(Config(epochs=20), l2=[0, 3e-5, 3e-4], seeds=5, out="runs")
        result.best.config.l2, result.to_frame(), result[0].history

    Args:
        config: what all have in common, its seed the first; None is `Config()`.
        seeds: runs of each combination.
        l2: λ, one or several.
        learning_rate: one or several.
        model: names of shapes, "linear", "shallow" or "deep"; one or several.
        hidden: widths of shapes outright, (256, 128) or a list of such.
        backend: "jax", "torch", or any installed one.
        metric: that the best is best in, "test_accuracy", "test_loss", "validation_accuracy" or
            "validation_loss"; None is the accuracy, on the validation split if there is one.
        device: "auto", "cpu" or "gpu".
        data_dir: as for `train`.
        max_memory: bytes for data and models together, or text such as "8G"; None: what the
            device has.
        workers, threads: processes that train on this machine, and the threads of each (needs the
            extra `ray`, and `out`).
        cluster: "auto" or HOST:PORT of a Ray cluster's head, whose workers train.
        out: folder of the runs, each in one of its own. Finished ones are not trained again.
            None keeps all in memory.
        force: train finished runs again.
        callbacks, progress: as for `train`; a stop ends the sweep with `Interrupted`.

    Returns:
        The finished runs in a sequence, with `best`, `best_by(...)`, `conditions`, `failures` and
        `to_frame()`.

    Raises:
        InputError: a value out of its range or given twice, bad data, device or folder; none of the
            runs came to its end.
        Interrupted: Ctrl-C; all is saved in `out`.
    """
    base, source = source_of(config or Config(), data_dir)
    axes = {"l2": several(l2), "learning_rate": several(learning_rate)}
    request = SweepRequest(
        tuple(grid(base, seeds=seeds, hidden=shapes(model, hidden), **axes)),
        backend=backend,
        device=device,
        data_dir=source,
        out=None if out is None else Path(out),
        max_memory=bytes_of(max_memory),
        overwrite=force,
        workers=Workers.of(workers, threads, cluster),
        metric=check_metric(metric, base),
    )
    with _followed(callbacks, progress) as followed:
        return run_sweep(request, followed)


def study(
    *,
    backend: str = "jax",
    seeds: int | None = None,
    seed: int = 0,
    only: str | Sequence[str] | None = None,
    quick: bool = False,
    dataset: str = "mnist",
    device: str = "auto",
    data_dir: Path | str | None = None,
    workers: int | None = None,
    threads: int | None = None,
    cluster: str | None = None,
    out: Path | str | None = None,
    progress: bool = True,
) -> "Study":
    """Run the study's experiments and judge every number that it published, as `mnist-fn study`
    does; all of them take hours, `quick=True` a minute.

    Args:
        backend: "jax", "torch", any installed one, or "both".
        seeds: runs of each config; None is 5.
        seed: the first.
        only: experiments, with commas or in a list: width-depth, templates, selection, chosen, l2,
            per-class, honest; None is all.
        quick: one seed, few epochs: a trial, not the study.
        dataset: whose; published numbers are MNIST's.
        device, data_dir, workers, threads, cluster, progress: as for `sweep`.
        out: folder of the runs, of study.json and study.md; None is runs, or runs-quick for a quick
            one. Finished runs are not trained again.

    Returns:
        Its `document`, `page`, `outside` and `to_frame()`.

    Raises:
        InputError: bad data, device, folder, experiment or number of seeds.
        Interrupted: Ctrl-C; all is saved.
    """
    given = {name: value for name, value in locals().items() if value is not None}
    progress = given.pop("progress")
    words = ", ".join(f"{name}={value!r}" for name, value in given.items())
    from mnist_fn.shared.study.running import run_study

    pool = Workers.of(*(given.pop(name, None) for name in ("workers", "threads", "cluster")))
    with _followed(None, progress) as callbacks:
        return run_study(
            **given, workers=pool, command=f"mnist_fn.study({words})", callbacks=callbacks
        )


@contextlib.contextmanager
def _followed(callbacks: Callbacks | None, progress: bool) -> Iterator[Callbacks]:
    """The caller's callbacks, or else, if wanted, a progress view's; Ctrl-C stops what they follow.

    A handler of the caller's own stays: only where Ctrl-C would raise does it ask for an end.
    """
    plain = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signals = [signal.SIGINT] if plain else []
    caller = callbacks or Callbacks()
    with stoppable(signals, lambda _: KeyboardInterrupt()) as stop, contextlib.ExitStack() as views:

        def should_stop() -> bool:
            return stop.should_stop() or caller.should_stop()

        followed = replace(caller, should_stop=should_stop)
        if progress and callbacks is None:
            from rich.console import Console

            from mnist_fn.shared.runs.progress import ProgressView

            view = views.enter_context(ProgressView(Console(stderr=True, highlight=False)))
            followed = view.callbacks(should_stop)
        yield followed
