"""Options that several commands share. None means: not given, the Config's default holds."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnist_fn.shared.config import DATASETS, MODELS, OPTIMIZERS, PRECISIONS, Config
from mnist_fn.shared.errors import InputError

if TYPE_CHECKING:
    from mnist_fn.shared.runs.cluster import Staff

_STUDY = "The experiment"
_WHERE = "Where"
MAX_WORKERS = 10_000


def _option(text: str, *names: str, panel: str = _STUDY, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel, show_default=False, **more)


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
Validation = Annotated[int | None, _option("Examples held out of train. Default: 0.")]
L2 = Annotated[float | None, _option("λ of the penalty λ Σ W² on weights. Default: 0.")]
Optimizer = Annotated[str | None, _option(f"{' or '.join(OPTIMIZERS)}. Default: adam.")]
WeightDecay = Annotated[float | None, _option("Decoupled decay of the weights, for adamw.")]
LearningRate = Annotated[float | None, _option("Default: 5e-4.")]
BatchSize = Annotated[int | None, _option("Default: 200.")]
Epochs = Annotated[int | None, _option("Default: 100.")]
Seed = Annotated[int | None, _option("Of initial weights, batches and split. Default: 0.")]
Precision = Annotated[str | None, _option(f"{', '.join(PRECISIONS)}. Default: float32.")]
Device = Annotated[str, typer.Option(help="auto, cpu or gpu.", rich_help_panel=_WHERE)]
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
Upright = Annotated[
    bool | None,
    typer.Option(
        "--upright/--as-stored",
        help="Turn transposed pictures on reading, or not. Default: EMNIST's are turned.",
        rich_help_panel=_STUDY,
        show_default=False,
    ),
]
Ink = Annotated[
    str | None,
    _option("light on dark or dark on light pictures. Default: their borders tell."),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="One JSON document on stdout.", rich_help_panel="Output"),
]


def command_line() -> str:
    """This very command, as it is kept beside what it found."""
    return shlex.join(["mnist-fn", *sys.argv[1:]])


def staff(workers: int | None, threads: int | None, cluster: str | None) -> "Staff | None":
    """The workers that were asked for; None if this process is to train.

    Raises:
        InputError: a number out of its range, or threads of no worker.
    """
    if workers is None and cluster is None:
        if threads is not None:
            raise InputError(f"--threads {threads}: of each worker; give --workers too")
        return None
    if workers is not None and not 1 <= workers <= MAX_WORKERS:
        raise InputError(f"--workers {workers}: must be between 1 and {MAX_WORKERS}")
    if threads is not None and not 1 <= threads <= 1024:
        raise InputError(f"--threads {threads}: must be between 1 and 1024")
    if cluster is not None and cluster != "auto" and not _host_and_port(cluster):
        raise InputError(
            f"--cluster {cluster[:60]!r}: expected auto, or the head's HOST:PORT, on a machine "
            "of the cluster"
        )
    from mnist_fn.shared.runs.cluster import Staff

    return Staff(workers, threads or 1, cluster)


def _host_and_port(address: str) -> bool:
    host, _, port = address.rpartition(":")
    return bool(host) and "/" not in host and port.isdecimal() and 0 < int(port) < 2**16


def hidden_from(model: str | None, hidden: str | None) -> tuple[int, ...] | None:
    """Layer widths from --model or --hidden, None if neither is given.

    Raises:
        InputError: both are given, or either is not understood.
    """
    if model is not None and hidden is not None:
        raise InputError("--model and --hidden: give one of them, they both say the layers")
    if hidden is not None:
        try:
            return tuple(int(width) for width in hidden.split(",") if width.strip())
        except ValueError as error:
            raise InputError(
                f"--hidden {hidden[:40]!r}: expected widths such as 512 or 256,128"
            ) from error
    if model is None:
        return None
    if model not in MODELS:
        raise InputError(f"--model {model[:40]!r}: must be one of {', '.join(MODELS)}")
    return MODELS[model]


def make_config(**given: Any) -> Config:
    """A Config from what was given on the command line; None leaves the default.

    Raises:
        InputError: a value out of its range.
    """
    return Config(**{name: value for name, value in given.items() if value is not None})


def orientation(upright: bool | None) -> str | None:
    """What --upright or --as-stored say; None without them."""
    return None if upright is None else "upright" if upright else "as-stored"


def resolved(dataset: str | None, data_dir: Path | None) -> str | None:
    """A dataset's name; what `auto` stands for here is said aloud."""
    if dataset != "auto":
        return dataset
    from cli.console import console
    from mnist_fn.shared.data.datasets import resolve_auto

    return resolve_auto(data_dir, lambda line: console.print(line, style="bold"))


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


def shapes(model: str | None, hidden: list[str] | None) -> list[tuple[int, ...]]:
    """Shapes from --model with commas or repeated --hidden; none if neither is given.

    Raises:
        InputError: both are given, or either is not understood.
    """
    if model is not None and hidden:
        raise InputError("--model and --hidden: give one of them, they both say the layers")
    found = [hidden_from(name, None) for name in words(model)]
    found += [hidden_from(None, widths) for widths in hidden or ()]
    return [shape for shape in found if shape is not None]


def size_in_bytes(text: str | None) -> int | None:
    """Bytes from text such as 500M or 8G (powers of 1000); None stays None.

    Raises:
        InputError: not understood, or not above 0.
    """
    if text is None:
        return None
    units = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
    number = text.strip().upper().removesuffix("B")
    unit = units.get(number[-1:], 1)
    try:
        size = float(number[:-1] if unit > 1 else number) * unit
        if not 1 <= size < 2**63:
            raise ValueError
    except ValueError as error:
        raise InputError(
            f"--max-memory {text[:40]!r}: expected a size such as 500M or 8G"
        ) from error
    return int(size)
