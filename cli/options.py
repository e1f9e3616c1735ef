"""Options that several commands share. None means: not given, the Config's default holds."""

import functools
import inspect
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from mnist_fn.shared.config import (
    DATASETS,
    MODELS,
    PRECISIONS,
    Config,
    both_shapes,
    hidden_of,
)
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.optimizers import OPTIMIZERS, SCHEDULES

_STUDY = "The experiment"
_WHERE = "Where"


def _option(text: str, *names: str, panel: str = _STUDY, **settings: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel, show_default=False, **settings)


Model = Annotated[
    str | None,
    _option(f"{', '.join(f'{k} {v}' for k, v in MODELS.items())}. Default: shallow."),
]
Hidden = Annotated[str | None, _option("Widths of the hidden layers outright, such as 256,128.")]
DatasetName = Annotated[
    str | None,
    _option(
        f"{', '.join(DATASETS)}, auto, or a set in --data-dir such as emnist-letters. "
        "Default: mnist."
    ),
]
L2 = Annotated[float | None, _option("λ of the penalty λ Σ W² on weights. Default: 0.")]
LearningRate = Annotated[float | None, _option("Default: 5e-4.")]
BatchSize = Annotated[int | None, _option("Default: 200.")]
Seed = Annotated[int | None, _option("Of initial weights, batches and split. Default: 0.")]
Precision = Annotated[str | None, _option(f"{', '.join(PRECISIONS)}. Default: float32.")]

# What `train` and `sweep` take of a Config beside its shape, seed, λ and learning rate.
EXPERIMENT: dict[str, Any] = {
    "optimizer": Annotated[str | None, _option(f"{', '.join(OPTIMIZERS)}. Default: adam.")],
    "weight_decay": Annotated[float | None, _option("Decoupled decay of the weights, for adamw.")],
    "momentum": Annotated[float | None, _option("Of sgd, such as 0.9. Default: 0.")],
    "nesterov": Annotated[
        bool | None, typer.Option("--nesterov", help="Nesterov's momentum.", rich_help_panel=_STUDY)
    ],
    "schedule": Annotated[
        str | None,
        _option(f"Of the learning rate: {', '.join(SCHEDULES)}. Default: constant."),
    ],
    "warmup": Annotated[
        int | None, _option("Steps in which the learning rate rises, for the last.")
    ],
    "batch_size": BatchSize,
    "epochs": Annotated[int | None, _option("Default: 100.")],
    "precision": Precision,
    "dataset": DatasetName,
    "upright": Annotated[
        bool | None,
        typer.Option(
            "--upright/--as-stored",
            help="Turn transposed pictures on reading, or not. Default: EMNIST's are turned.",
            rich_help_panel=_STUDY,
            show_default=False,
        ),
    ],
    "ink": Annotated[
        str | None,
        _option("light on dark or dark on light pictures. Default: their borders tell."),
    ],
    # a float, so that a share is refused as one and not as a word
    "validation": Annotated[
        float | None, _option("Examples held out of train, a count. Default: 0.", metavar="<int>")
    ],
}


def _read_devices(text: str) -> str:
    """Devices by their own names: cuda is what PyTorch calls the gpu."""
    return ",".join("gpu" if name.strip() == "cuda" else name for name in text.split(","))


def device_option(text: str) -> Any:
    """An option for one device or several, with its help."""
    return typer.Option(help=text, rich_help_panel=_WHERE, callback=_read_devices)


Device = Annotated[str, device_option("auto, cpu or gpu.")]
DataDir = Annotated[
    Path | None,
    _option(
        "Folder with the four IDX files. Default: where MNIST_FN_DATA says, then the cache, "
        "then a download.",
        panel=_WHERE,
    ),
]
Workers = Annotated[
    int | None,
    _option("Processes that train, on this machine (needs the extra `ray`).", panel=_WHERE),
]
Threads = Annotated[int | None, _option("Of each worker. Default: 1.", panel=_WHERE)]
Cluster = Annotated[
    str | None,
    _option("Workers of a Ray cluster: auto, or the HOST:PORT of its head.", panel=_WHERE),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace a file in the output's place that mnist-fn did not write.",
        rich_help_panel="Output",
    ),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="One JSON document on stdout.", rich_help_panel="Output"),
]


def with_experiment(command: Callable[..., None]) -> Callable[..., None]:
    """The command with EXPERIMENT's options in the place of its argument `experiment`, in which it
    gets their values by name.
    """

    @functools.wraps(command)
    def called(**given: Any) -> None:
        experiment = {name: given.pop(name) for name in EXPERIMENT}
        command(experiment=experiment, **given)

    own = inspect.signature(command).parameters
    kinds: dict[str, Any] = {}
    for name, parameter in own.items():
        kinds |= EXPERIMENT if name == "experiment" else {name: parameter.annotation}
    called.__signature__ = inspect.Signature(  # pyright: ignore[reportAttributeAccessIssue]
        [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=own[name].default if name in own else None,
                annotation=kind,
            )
            for name, kind in kinds.items()
        ]
    )
    called.__annotations__ = kinds
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
    if hidden is not None:
        try:
            return tuple(int(width) for width in hidden.split(",") if width.strip())
        except ValueError as error:
            raise InputError(
                f"--hidden {hidden[:40]!r}: expected widths such as 512 or 256,128"
            ) from error
    return None if model is None else hidden_of(model)


def make_config(**values: Any) -> Config:
    """A Config from what was given on the command line; None leaves the default.

    Raises:
        InputError: a value out of its range.
    """
    return Config(**{name: value for name, value in values.items() if value is not None})


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

    return resolve_auto(data_dir, lambda line: console.print(line, style="bold", soft_wrap=True))


def words(text: str | None) -> list[str]:
    """Words between commas, none if None."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def numbers(option: str, text: str | None) -> list[float]:
    """Numbers between commas, none if None.

    Raises:
        InputError: one is no number.
    """
    try:
        return [float(part) for part in words(text)]
    except ValueError as error:
        raise InputError(
            f"{option} {(text or '')[:40]!r}: expected numbers such as 0,3e-5"
        ) from error
