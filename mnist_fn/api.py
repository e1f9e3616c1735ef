"""What a script or a notebook calls: the commands' own work, followed and stopped as there.

Each shows a live line on a terminal and in a notebook and plain lines in a log, on stderr;
`progress=False` shows nothing, and so does a `watch` of the caller's, who then follows the run.
Ctrl-C or a notebook's interrupt ends after the epoch, with all saved; a second one at once.
"""

import contextlib
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_fn.shared.config import Config
from mnist_fn.shared.errors import Interrupted, way_on
from mnist_fn.shared.runs import trainer
from mnist_fn.shared.runs.run import Run, Watch
from mnist_fn.shared.runs.staff import Staff, staff_of
from mnist_fn.shared.runs.stopping import stoppable
from mnist_fn.shared.runs.swept import Numbers, Sweep, run_sweep

if TYPE_CHECKING:
    from mnist_fn.shared.runs.progress import SweepView, TrainingView
    from mnist_fn.shared.study.running import Study

LOST = "it was in memory alone and is lost; give `out`, a folder, to go on from there"
SAME = "the same call goes on from there"


def train(
    config: Config,
    backend: str = "jax",
    *,
    device: str = "auto",
    data_dir: Path | str | None = None,
    out: Path | str | None = None,
    force: bool = False,
    watch: Watch | None = None,
    progress: bool = True,
) -> Run:
    """Train one model and evaluate it on the test set, as `mnist-fn train` does.

    Args:
        config: the experiment.
        backend: "jax", "torch", or the name of any installed backend.
        device: "auto", "cpu" or "gpu".
        data_dir: folder with the dataset's files; None searches the usual places.
        out: the run's folder. A finished run there is returned as it is, an unfinished one of
            the same config goes on. None keeps everything in memory.
        force: train anew what is in `out`.
        watch: callbacks, in place of what is shown.
        progress: show how far it is.

    Raises:
        InputError: bad data, device or folder; a loss that explodes.
        Interrupted: Ctrl-C, or `watch.should_stop`; what was done is saved in `out`.
    """
    where: dict[str, Any] = {"device": device, "data_dir": data_dir}
    with _followed(_line(progress, watch), watch, LOST if out is None else _goes_on(out)) as own:
        return trainer.train(config, backend, **where, out=out, force=force, watch=own)


def resume(
    path: Path | str,
    *,
    epochs: int | None = None,
    backend: str | None = None,
    device: str = "auto",
    data_dir: Path | str | None = None,
    watch: Watch | None = None,
    progress: bool = True,
) -> Run:
    """Go on with the run in a folder, a finished one to more epochs, on the same or another
    backend. Arguments and errors as for `train`; None keeps what the run has.
    """
    where: dict[str, Any] = {"device": device, "data_dir": data_dir}
    with _followed(_line(progress, watch), watch, _goes_on(path)) as own:
        return trainer.resume(path, epochs=epochs, backend=backend, **where, watch=own)


def sweep(
    config: Config | None = None,
    *,
    seeds: int = 1,
    l2: Numbers = (),
    learning_rate: Numbers = (),
    model: str | Sequence[str] = (),
    hidden: Sequence[int] | Sequence[Sequence[int]] = (),
    backend: str = "jax",
    by: str | None = None,
    device: str = "auto",
    data_dir: Path | str | None = None,
    max_memory: int | str | None = None,
    workers: int | None = None,
    threads: int | None = None,
    cluster: str | None = None,
    out: Path | str | None = None,
    force: bool = False,
    progress: bool = True,
) -> Sweep:
    """Train every combination of seeds, λ, learning rates and shapes and compare them, as
    `mnist-fn sweep` does.

        found = sweep(Config(epochs=20), l2=[0, 3e-5, 3e-4], seeds=5, out="runs")
        found.best[0].cell.config.l2, found.to_frame(), found[0].history

    Args:
        config: what all have in common, its seed the first; None is `Config()`.
        seeds: runs of each combination.
        l2: λ, one or several.
        learning_rate: one or several.
        model: names of shapes, "linear", "shallow" or "deep"; one or several.
        hidden: widths of shapes outright, (256, 128) or a list of such.
        backend: "jax", "torch", or any installed one.
        by: what the best λ is best in, "test_accuracy", "test_loss", "validation_accuracy" or
            "validation_loss"; None is the accuracy, on the validation split if there is one.
        device: "auto", "cpu" or "gpu".
        data_dir: as for `train`.
        max_memory: bytes for data and models together, or text such as "8G"; None: what the
            device has.
        workers, threads: processes that train on this machine, and the threads of each (needs the
            extra `ray`, and `out`).
        cluster: "auto" or HOST:PORT of a Ray cluster's head, whose workers train.
        out: folder of the runs, each in one of its own. Finished ones are not trained again. Their
            weights are then on disk alone: `load_run(run.path)`. None keeps all in memory.
        force: train finished runs anew.
        progress: show how far it is.

    Returns:
        The finished runs in a sequence, with `cells`, `best`, `unfinished` and `to_frame()`.

    Raises:
        InputError: a value out of its range or given twice, bad data, device or folder; none of the
            runs came to its end.
        Interrupted: Ctrl-C; all is saved in `out`.
    """
    staff = staff_of(workers, threads, cluster)
    with _followed(_bar(progress, staff), None, LOST if out is None else SAME) as watch:
        return run_sweep(
            config or Config(), seeds=seeds, l2=l2, learning_rate=learning_rate, model=model,
            hidden=hidden, backend=backend, by=by, device=device, data_dir=data_dir,
            max_memory=max_memory, staff=staff, out=out, force=force, watch=watch,
        )  # fmt: skip


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
    asked: dict[str, Any] = {
        "backend": backend, "seeds": seeds, "seed": seed, "only": only, "quick": quick,
        "dataset": dataset, "device": device, "data_dir": data_dir,
    }  # fmt: skip
    crew = {"workers": workers, "threads": threads, "cluster": cluster}
    from mnist_fn.shared.study.running import run_study

    all_asked = {**asked, **crew, "out": out}
    given = ", ".join(f"{name}={value!r}" for name, value in all_asked.items() if value is not None)
    staff = staff_of(**crew)
    with _followed(_bar(progress, staff), None, SAME) as watch:
        return run_study(
            **asked, staff=staff, out=out, command=f"mnist_fn.study({given})", watch=watch
        )


@contextlib.contextmanager
def _followed(
    view: "TrainingView | SweepView | None", watch: Watch | None, rest: str
) -> Iterator[Watch]:
    """The watch of a call; a stop says the `rest` of what it has to say."""
    # somebody's own handler stays: only where Ctrl-C would raise does it ask for an end instead
    plain = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with (
        stoppable([signal.SIGINT] if plain else [], lambda _: KeyboardInterrupt()) as stop,
        contextlib.nullcontext() if view is None else view,
    ):
        before = watch or Watch()
        own = replace(before, should_stop=lambda: stop() or before.should_stop())
        try:
            yield own if view is None else view.watch(stop)
        except Interrupted as reason:
            raise Interrupted(f"{reason}; {rest}") from None


def _goes_on(path: Path | str) -> str:
    return f"go on with: {way_on(path)}"


def _line(progress: bool, watch: Watch | None) -> "TrainingView | None":
    if not progress or watch is not None:
        return None
    from rich.console import Console

    from mnist_fn.shared.runs.progress import TrainingView

    return TrainingView(Console(stderr=True, highlight=False))


def _bar(progress: bool, staff: Staff | None) -> "SweepView | None":
    if not progress:
        return None
    from rich.console import Console

    from mnist_fn.shared.runs.progress_workers import view_of

    return view_of(staff, Console(stderr=True, highlight=False))
