"""A sweep as it is asked for: which runs, with what, where, by how many workers."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_fn.shared.config import Config, both_shapes, hidden_of
from mnist_fn.shared.data.datasets import Source
from mnist_fn.shared.errors import Argument, InputError
from mnist_fn.shared.wording import between

Numbers = float | Iterable[float]
WORKERS = Argument("workers")
MAX_WORKERS = 10_000
MAX_THREADS = 1024  # of a worker
MAX_SEEDS = 1_000_000


@dataclass(frozen=True)
class Workers:
    """Processes that train: how many, of how many threads, where."""

    count: int | None  # None: as many as the cluster has room for
    threads: int = 1  # of each
    address: str | None = None  # of a Ray cluster, or "auto"; None: a Ray of our own

    @property
    def option(self) -> Argument:
        """The argument that an error is about."""
        return WORKERS if self.address is None else Argument("cluster", self.address)

    @classmethod
    def of(cls, count: int | None, threads: int | None, address: str | None) -> "Workers | None":
        """The workers asked for; None if this process is to train.

        Raises:
            InputError: a number out of its range, or threads of no worker.
        """
        if count is None and address is None:
            if threads is not None:
                hint = ("of each worker; give ", WORKERS, " too")
                raise InputError("threads", threads, hint=hint)
            return None
        if count is not None and not 1 <= count <= MAX_WORKERS:
            raise InputError("workers", count, between(1, MAX_WORKERS))
        if threads is not None and not 1 <= threads <= MAX_THREADS:
            raise InputError("threads", threads, between(1, MAX_THREADS))
        if address is not None and address != "auto":
            host, _, port = address.rpartition(":")
            if not host or "/" in host or not port.isdecimal() or not 0 < int(port) < 2**16:
                allowed = "auto, or the head's HOST:PORT, on a machine of the cluster"
                raise InputError("cluster", address, allowed)
        return cls(count, threads or 1, address)


@dataclass(frozen=True)
class SweepRequest:
    """Runs to be trained, no two equal, and how.

    Attributes:
        configs: the runs.
        backend: that trains them; one without groups trains them one by one.
        device: "auto", "cpu" or "gpu"; of the workers where there are some.
        data_dir: folder of the dataset's files, or the dataset; None searches the usual places.
        out: folder of the runs, each in one of its own; None keeps them in memory.
        max_memory: bytes that models and data may take on all devices together.
        overwrite: train finished runs again.
        extends: a run goes on from a finished one in the folder that is its beginning.
        workers: processes that train; None: this one does.
    """

    configs: tuple[Config, ...]
    backend: str = "jax"
    device: str = "auto"
    data_dir: Source | None = None
    out: Path | None = None
    max_memory: int | None = None
    overwrite: bool = False
    extends: bool = False
    workers: Workers | None = None


def grid(
    base: Config,
    *,
    seeds: int | Iterable[int],
    l2: Sequence[float] = (),
    learning_rate: Sequence[float] = (),
    hidden: Sequence[tuple[int, ...]] = (),
) -> list[Config]:
    """Every combination, seeds fastest; what is not given stays as in `base`.

    The seeds are those named, or so many from `base.seed` on. They are the same for every
    combination, so that combinations can be compared seed by seed.

    Raises:
        InputError: fewer than one seed, a value given twice, or out of its range.
    """
    numbers: Sequence[int] = ()
    to_list = getattr(seeds, "tolist", None)  # an array's, of any library
    seeds = seeds if to_list is None else to_list()
    if isinstance(seeds, Iterable):
        numbers = list(seeds)
    elif seeds in range(1, MAX_SEEDS + 1):  # 5.0 too
        numbers = range(base.seed, base.seed + int(seeds))
    if not 1 <= len(numbers) <= MAX_SEEDS:
        raise InputError("seeds", seeds, between(1, MAX_SEEDS))
    axes: dict[str, Sequence[Any]] = {}
    options = {"hidden": hidden, "learning_rate": learning_rate, "l2": l2, "seeds": numbers}
    for name, values in options.items():
        if len(set(values)) < len(values):
            raise InputError((Argument(name), ": a value is given twice"))
        if values:
            axes[name.replace("seeds", "seed")] = values
    configs: list[Config] = []
    for values in itertools.product(*axes.values()):
        configs.append(base.replace(**dict(zip(axes, values, strict=True))))
    return configs


def several(values: Numbers) -> list[float]:
    """Numbers, of which a single one may stand without a list around it."""
    return list(values) if isinstance(values, Iterable) else [values]


def shapes(
    model: str | Sequence[str], hidden: Sequence[int] | Sequence[Sequence[int]]
) -> list[tuple[int, ...]]:
    """Layer widths by name or given as such; a single one may stand without a list around it."""
    names = [model] if isinstance(model, str) else list(model)
    if names and len(hidden):
        raise both_shapes()
    widths: list[Any] = list(hidden)
    if widths and all(isinstance(width, int) for width in widths):
        widths = [widths]
    try:
        return [*map(hidden_of, names), *map(tuple, widths)]
    except TypeError as error:
        raise InputError(
            (Argument("hidden"), ": expected widths such as (256, 128), or a list of them")
        ) from error


def bytes_of(size: int | str | None) -> int | None:
    """Bytes from a number or text such as 500M or 8G (powers of 1000); None stays None.

    Raises:
        InputError: not understood, or not above 0.
    """
    if size is None:
        return None
    units = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
    number = str(size).strip().upper().removesuffix("B")
    unit = units.get(number[-1:], 1)
    try:
        count = float(number[:-1] if unit > 1 else number) * unit
        if not 1 <= count < 2**63:
            raise ValueError
    except ValueError as error:
        raise InputError("max_memory", str(size), "a size such as 500M or 8G") from error
    return int(count)
