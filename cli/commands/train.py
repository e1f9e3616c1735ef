"""`mnist-fn train`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli import options
from cli.suggesting import check_is_run
from mnist_fn.shared.errors import InputError

DIGITS_FACTOR = 10  # epochs on the digits in place of one on MNIST


@options.with_experiment
def command(
    backend: Annotated[
        str | None,
        typer.Option(help="jax, torch, or any installed one. Default: jax.", show_default=False),
    ] = None,
    model: options.Model = None,
    hidden: options.Hidden = None,
    l2: options.L2 = None,
    learning_rate: options.LearningRate = None,
    seed: options.Seed = None,
    *,
    experiment: dict[str, Any],
    data_dir: options.DataDir = None,
    device: options.Device = "auto",
    out: Annotated[
        Path | None,
        typer.Option(help="The run's folder. Default: runs/<what it is>.", show_default=False),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="Go on with this run; --epochs may ask for more, --backend for another."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Train a finished run again.")] = False,
    json: options.Json = False,
) -> None:
    """Train a model and record the run. Without options: the study's shallow model, λ = 0.

    The study's best run is: mnist-fn train --backend jax --l2 3e-5
    """
    place = {"device": device, "data_dir": data_dir}
    own = {"l2": l2, "learning_rate": learning_rate, "seed": seed}
    if resume is not None:
        epochs = experiment.pop("epochs")
        shape = {"model": model, "hidden": hidden}
        _refuse_with_resume({**experiment, **shape, **own, "out": out, "force": force or None})
        check_is_run(resume)
        _run_and_show(json, resume, backend=backend, epochs=epochs, **place)
        return
    config = options.experiment_config(
        experiment, data_dir, hidden=options.hidden_from(model, hidden), **own
    )
    if experiment["dataset"] == "auto" and config.dataset == "digits" and experiment["epochs"]:
        config = config.replace(epochs=_epochs_on_digits(config.epochs))
    _run_and_show(json, out, config=config, backend=backend or "jax", force=force, **place)


def _epochs_on_digits(epochs: int) -> int:
    """As many as are worth the given epochs of MNIST: an epoch is 8 batches there, not 300.

    Ten of them would leave the model at 88 %, which is underfitted; a hundred take seconds.
    """
    from cli.console import console

    longer = DIGITS_FACTOR * epochs
    console.print(f"{longer} epochs in place of {epochs}: an epoch of the digits is 8 batches.")
    return longer


def _refuse_with_resume(study: dict[str, Any]) -> None:
    names = [name for name, value in study.items() if value is not None]
    if names:
        raise InputError(
            f"--resume: the run says its own {', '.join(names).replace('_', '-')}; only --epochs, "
            "--backend, --device and --data-dir may be given with it"
        )


def _run_and_show(json: bool, folder: Path | None, **arguments: Any) -> None:
    from cli.training import followed

    with followed() as callbacks:  # before the imports that take longer
        from mnist_fn.shared.runs import trainer
        from mnist_fn.shared.runs.callbacks import Notice
        from mnist_fn.shared.runs.store import RunStore

        if "config" in arguments:
            config, backend = arguments["config"], arguments["backend"]
            if folder is None:
                store = RunStore(Path("runs"))
                folder = store.assign_folders([config], backend)[config]
                if note := store.note_of(config, backend):
                    callbacks.on_event(Notice(note))
            run = trainer.train(**arguments, out=folder, callbacks=callbacks)
        else:
            assert folder is not None  # noqa: S101 - of the run to go on with
            run = trainer.resume(folder, **arguments, callbacks=callbacks)
    from cli.console import answer, console, show_run
    from cli.output import print_json

    if run.loaded:
        console.print(
            "this run was finished before; --force trains it again, "
            f"--resume {folder} --epochs N takes it further",
            soft_wrap=True,
        )
    show_run(run, answer(json))
    if json:
        print_json(run.summary())
