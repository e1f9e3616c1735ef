"""`mnist-fn train`."""

from pathlib import Path
from typing import Annotated, Any

from cli import options
from cli.options import option
from cli.suggesting import check_is_run
from mnist_fn.shared.errors import InputError

DIGITS_FACTOR = 10  # epochs on the digits in place of one on MNIST


@options.with_experiment
def command(
    backend: options.Backend = None,
    model: options.Model = None,
    hidden: options.Hidden = None,
    l2: options.L2 = None,
    learning_rate: options.LearningRate = None,
    seed: options.Seed = None,
    *,
    experiment: dict[str, Any],
    data_dir: options.DataDir = None,
    device: options.Device = "auto",
    out: Annotated[Path | None, option("The run's folder. Default: runs/<what it is>.")] = None,
    resume: Annotated[
        Path | None,
        option("Go on with this run; --epochs may ask for more, --backend for another."),
    ] = None,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Train a model and record the run. Without options: the study's shallow model, λ = 0.

    The study's best run is: mnist-fn train --backend jax --l2 3e-5
    """
    place: dict[str, Any] = {"device": device, "data_dir": data_dir}
    rates_and_seed = {"l2": l2, "learning_rate": learning_rate, "seed": seed}
    config, epochs = None, experiment["epochs"]
    if resume is not None:
        shape = {"model": model, "hidden": hidden, "out": out, "force": force or None}
        arguments = {**experiment, **shape, **rates_and_seed, "epochs": None}
        names = [name for name, value in arguments.items() if value is not None]
        if names:
            raise InputError(
                f"--resume: the run says its own {', '.join(names).replace('_', '-')}; only "
                "--epochs, --backend, --device and --data-dir may be given with it"
            )
        check_is_run(resume)
    else:
        widths = options.hidden_from(model, hidden)
        config = options.experiment_config(experiment, data_dir, hidden=widths, **rates_and_seed)
        if experiment["dataset"] == "auto" and config.dataset == "digits" and epochs:
            config = config.replace(epochs=_epochs_on_digits(epochs))
    from cli.console import answer, console, show_run
    from cli.output import print_json
    from cli.training import followed

    with followed() as callbacks:  # before the imports that take longer
        from mnist_fn.shared.runs import trainer
        from mnist_fn.shared.runs.callbacks import Notice
        from mnist_fn.shared.runs.store import RunStore

        if resume is not None:
            run = trainer.resume(
                resume, epochs=epochs, backend=backend, callbacks=callbacks, **place
            )
        else:
            assert config is not None  # noqa: S101 - as there is no run to go on with
            name = backend or "jax"
            if out is None:
                store = RunStore(Path("runs"))
                out = store.assign_folders([config], name)[config]
                if note := store.note_of(config, name):
                    callbacks.on_event(Notice(note))
            run = trainer.train(config, name, out=out, force=force, callbacks=callbacks, **place)
    if run.loaded:
        console.print(
            "this run was finished before; --force trains it again, "
            f"--resume {run.path} --epochs N takes it further",
            soft_wrap=True,
        )
    show_run(run, answer(json))
    if json:
        print_json(run.summary())


def _epochs_on_digits(epochs: int) -> int:
    """As many as are worth the given epochs of MNIST: an epoch is 8 batches there, not 300.

    Ten of them would leave the model at 88 %, which is underfitted; a hundred take seconds.
    """
    from cli.console import console

    longer = DIGITS_FACTOR * epochs
    console.print(f"{longer} epochs in place of {epochs}: an epoch of the digits is 8 batches.")
    return longer
