"""Options that several commands share. None means: not given, the Config's default holds."""

import functools
import inspect
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from mnist_fn.shared.config import DATASETS, MODELS, PRECISIONS, Config, both_shapes, hidden_of
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.optimizers import OPTIMIZERS, SCHEDULES


def option(text: str, *names: str, **settings: Any) -> Any:
    """An option with its help. A flag's name is given: else it would have a `--no-` form too."""
    return typer.Option(*names, help=text, **settings)


_experiment = partial(option, rich_help_panel="The experiment")
_where = partial(option, rich_help_panel="Where")
_output = partial(option, rich_help_panel="Output")

RunPath = Annotated[Path, typer.Argument(help="The run's folder.")]
RunPaths = Annotated[
    list[Path] | None,
    typer.Argument(help="Runs, or folders of runs such as a study's. Default: runs."),
]
Backend = Annotated[str | None, option("jax, torch, or any installed one. Default: jax.")]
Model = Annotated[
    str | None,
    _experiment(f"{', '.join(f'{k} {v}' for k, v in MODELS.items())}. Default: shallow."),
]
Hidden = Annotated[
    str | None, _experiment("Widths of the hidden layers in place of --model: 256,128.")
]
DatasetName = Annotated[
    str | None,
    _experiment(
        f"{', '.join(DATASETS)}, auto, or a set in --data-dir such as emnist-letters. "
        "Default: mnist."
    ),
]
L2 = Annotated[float | None, _experiment("λ of the penalty λ Σ W² on weights. Default: 0.")]
LearningRate = Annotated[float | None, _experiment("Default: 5e-4.")]
BatchSize = Annotated[int | None, _experiment("Default: 200.")]
Seed = Annotated[int | None, _experiment("Of initial weights, batches and split. Default: 0.")]
Precision = Annotated[str | None, _experiment(f"{', '.join(PRECISIONS)}. Default: float32.")]

# What `train` and `sweep` take of a Config beside its shape, seed, λ and learning rate.
EXPERIMENT: dict[str, Any] = {
    "optimizer": Annotated[str | None, _experiment(f"{', '.join(OPTIMIZERS)}. Default: adam.")],
    "weight_decay": Annotated[
        float | None, _experiment("Decoupled decay of the weights, for adamw.")
    ],
    "momentum": Annotated[float | None, _experiment("Of sgd, such as 0.9. Default: 0.")],
    "nesterov": Annotated[bool | None, _experiment("Nesterov's momentum.", "--nesterov")],
    "schedule": Annotated[
        str | None, _experiment(f"Of the learning rate: {', '.join(SCHEDULES)}. Default: constant.")
    ],
    "warmup": Annotated[
        int | None, _experiment("Steps in which linear-warmup-cosine raises the rate.")
    ],
    "batch_size": BatchSize,
    "epochs": Annotated[int | None, _experiment("Default: 100.")],
    "precision": Precision,
    "dataset": DatasetName,
    "upright": Annotated[
        bool | None,
        _experiment(
            "Turn transposed pictures on reading, or not. Default: EMNIST's are turned.",
            "--upright/--as-stored",
        ),
    ],
    "ink": Annotated[
        str | None,
        _experiment("light on dark or dark on light pictures. Default: their borders tell."),
    ],
    # a float, so that a share is refused as one and not as a word
    "validation": Annotated[
        float | None,
        _experiment("Examples held out of train, a count. Default: 0.", metavar="<int>"),
    ],
}


def _read_devices(text: str) -> str:
    """Devices by their own names: cuda is what PyTorch calls the gpu."""
    return ",".join("gpu" if name.strip() == "cuda" else name for name in text.split(","))


Device = Annotated[str, _where("auto, cpu or gpu.", callback=_read_devices)]
Devices = Annotated[
    str,
    _where("auto, cpu or gpu; two for the two backends, such as gpu,cpu.", callback=_read_devices),
]
DataDir = Annotated[
    Path | None,
    _where(
        "Folder with the dataset's files. Default: where MNIST_FN_DATA says, then the cache, "
        "then a download."
    ),
]
Workers = Annotated[
    int | None, _where("Processes that train, on this machine (needs the extra `ray`).")
]
Threads = Annotated[int | None, _where("Of each worker. Default: 1.")]
Cluster = Annotated[
    str | None, _where("Workers of a Ray cluster: auto, or the HOST:PORT of its head.")
]
Force = Annotated[bool, option("Train finished runs again.", "--force")]
Overwrite = Annotated[
    bool,
    _output("Replace a file in the output's place that mnist-fn did not write.", "--overwrite"),
]
Json = Annotated[bool, _output("One JSON document on stdout.", "--json")]


def with_experiment(command: Callable[..., None]) -> Callable[..., None]:
    """The command with EXPERIMENT's options in the place of its argument `experiment`, in which it
    gets their values by name.
    """

    @functools.wraps(command)
    def called(**values: Any) -> None:
        experiment = {name: values.pop(name) for name in EXPERIMENT}
        command(experiment=experiment, **values)

    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        parameter = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        if parameter.name != "experiment":
            parameters.append(parameter)
            continue
        for name, kind in EXPERIMENT.items():
            parameters.append(parameter.replace(name=name, annotation=kind, default=None))
    called.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportAttributeAccessIssue]
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return called


def command_line() -> str:
    """This very command, as it is kept beside what it found."""
    return shlex.join(["mnist-fn", *sys.argv[1:]])


def hidden_from(model: str | None, hidden: str | None) -> tuple[int, ...] | None:
    """Layer widths from --model or --hidden, None if neither is given.

    Raises:
        InputError: both are given, or either is not understood.
    """
    if model is not None and hidden is not None:
        raise both_shapes()
    if hidden is None:
        return None if model is None else hidden_of(model)
    try:
        return tuple(map(int, words(hidden)))
    except ValueError as error:
        raise InputError("hidden", hidden, "widths such as 512 or 256,128") from error


def make_config(**values: Any) -> Config:
    """A Config from what was given on the command line; None leaves the default.

    Raises:
        InputError: a value out of its range.
    """
    for name, value in list(values.items()):
        if value is None:
            del values[name]
    return Config(**values)


def experiment_config(experiment: dict[str, Any], data_dir: Path | None, **values: Any) -> Config:
    """As `make_config`, from EXPERIMENT's values and others."""
    values |= experiment
    upright = values.pop("upright")
    if upright is not None:
        values["orientation"] = "upright" if upright else "as-stored"
    return make_config(**{**values, "dataset": resolved(values["dataset"], data_dir)})


def resolved(dataset: str | None, data_dir: Path | None) -> str | None:
    """A dataset's name; what `auto` stands for here is said aloud."""
    if dataset != "auto":
        return dataset
    from cli.console import console
    from mnist_fn.shared.data.datasets import resolve_auto

    return resolve_auto(data_dir, lambda line: console.print(line, style="bold"))


def words(text: str | None) -> list[str]:
    """Words between commas, none if None."""
    return list(filter(None, map(str.strip, (text or "").split(","))))


def numbers(name: str, text: str | None) -> list[float]:
    """Numbers between commas, none if None, of the option of that name.

    Raises:
        InputError: one is no number.
    """
    try:
        return list(map(float, words(text)))
    except ValueError as error:
        raise InputError(name, text, "numbers such as 0,3e-5") from error
