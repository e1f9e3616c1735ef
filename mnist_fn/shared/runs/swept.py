"""A sweep as it is asked for, from options to the table that compares its runs."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

from mnist_fn.shared.config import Config, hidden_of
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.runs import comparison
from mnist_fn.shared.runs.card import table as html_table
from mnist_fn.shared.runs.comparison import Best, Cell, Ended
from mnist_fn.shared.runs.frames import pandas
from mnist_fn.shared.runs.many import Unfinished, train_all
from mnist_fn.shared.runs.run import Run, Watch
from mnist_fn.shared.runs.staff import Staff
from mnist_fn.shared.runs.sweep import grid
from mnist_fn.shared.runs.trainer import load_run

Numbers = float | Iterable[float]
APART = ("model", "learning_rate", "l2")


@dataclass(frozen=True)
class Sweep(Sequence[Run]):
    """A sweep's finished runs, a sequence of `Run`, and what comparing them says.

    Runs that are on disk are read from there, each time that one is asked for: thousands of them
    need not fit into memory. One that has changed since raises InputError.
    """

    ended: list[Ended] = field(repr=False)  # what is compared of each
    backend: str
    measure: str  # that the best λ is best in
    unfinished: Unfinished = field(default_factory=Unfinished)
    in_memory: list[Run] = field(default_factory=list, repr=False)  # none of those on disk

    def __len__(self) -> int:
        return len(self.ended)

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> list[Run]: ...
    def __getitem__(self, index: int | slice) -> Run | list[Run]:
        if self.in_memory:
            return self.in_memory[index]
        there = self.ended[index]
        return [_read(one) for one in there] if isinstance(there, list) else _read(there)

    @property
    def cells(self) -> list[Cell]:
        """Each combination of model, learning rate and λ, with mean, sd and interval over seeds."""
        return comparison.cells(self.ended)

    @property
    def best(self) -> list[Best]:
        """The λ with the best mean for each model and learning rate."""
        return comparison.best(self.cells, self.measure)

    @property
    def sentences(self) -> list[str]:
        """What is best, and what did not come to its end."""
        return [
            *map(_sentence, self.best),
            *(f"not finished: {line}" for line in self.unfinished.all),
        ]

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Head and rows: mean ± sd over seeds for each combination, after the last epoch."""
        cells = self.cells
        measures = list(cells[0].values)
        head = ["model", "learning rate", "λ", "seeds", *(m.replace("_", " ") for m in measures)]
        rows = [
            [c.name["model"], f"{c.name['learning_rate']:g}", f"{c.name['l2']:g}",
             str(len(c.seeds)), *(_figure(c, measure) for measure in measures)]
            for c in cells
        ]  # fmt: skip
        return head, rows

    def to_frame(self) -> Any:
        """A pandas DataFrame, a run a row: what tells it apart, its seed, and its figures after the
        last epoch (losses in nats, accuracies 0 to 1).

        Raises:
            InputError: pandas is not installed.
        """
        return pandas("sweep").DataFrame(
            {
                **{name: getattr(one.config, name) for name in APART},
                "seed": one.config.seed,
                **one.values,
            }
            for one in self.ended
        )

    def to_dict(self) -> dict[str, Any]:
        """The document of `mnist-fn sweep --json`, without its figure, in Python's words."""
        return {
            "runs": [None if one.path is None else str(one.path) for one in self.ended],
            **self.unfinished.to_dict(),
            "backend": self.backend,
            "epochs": self.ended[0].config.epochs,
            "by": self.measure,
            "cells": [_cell(cell) for cell in self.cells],
            "best": [_best(one) for one in self.best],
        }

    def _repr_html_(self) -> str:
        """How a notebook shows it."""
        return html_table(*self.table(), below=self.sentences)


def run_sweep(
    config: Config,
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
    staff: Staff | None = None,
    out: Path | str | None = None,
    force: bool = False,
    watch: Watch,
) -> Sweep:
    """See `mnist_fn.sweep`; `staff` trains, this process if None; `watch` follows and
    stops it, `Interrupted` is raised if it does."""
    measure = comparison.check_measure(by, config)
    configs = grid(
        config,
        seeds=seeds,
        l2=_several(l2),
        learning_rate=_several(learning_rate),
        hidden=_shapes(model, hidden),
    )
    in_memory: list[Run] = []

    def keep(run: Run) -> Ended:
        if out is None:
            in_memory.append(run)
        return comparison.ended(run)

    ended, unfinished = train_all(
        configs,
        backend,
        keep,
        device=device,
        data_dir=None if data_dir is None else Path(data_dir),
        out=None if out is None else Path(out),
        memory=_in_bytes(max_memory),
        force=force,
        staff=staff,
        watch=watch,
    )
    in_memory.sort(key=lambda run: configs.index(run.config))
    return Sweep(ended, backend, measure, unfinished, in_memory)


def _read(one: Ended) -> Run:
    if one.path is None:
        raise ValueError("a run in memory is not read")
    run = load_run(one.path)
    now = comparison.ended(run)
    if (now.config, now.values) != (one.config, one.values):
        raise InputError(
            f"{one.path}: changed since this sweep, resumed or trained anew; make the sweep again "
            "to compare what is there"
        )
    return run


def _several(values: Numbers) -> list[float]:
    return list(values) if isinstance(values, Iterable) else [values]


def _shapes(
    model: str | Sequence[str], hidden: Sequence[int] | Sequence[Sequence[int]]
) -> list[tuple[int, ...]]:
    """Shapes by name or outright; one may stand without a list around it."""
    names = [model] if isinstance(model, str) else list(model)
    if names and len(hidden):
        raise InputError("`model` and `hidden`: give one of them, they both say the layers")
    widths: list[Any] = list(hidden)
    if widths and all(isinstance(width, int) for width in widths):
        widths = [widths]
    try:
        return [*map(hidden_of, names), *(tuple(shape) for shape in widths)]
    except TypeError as error:
        raise InputError(
            "`hidden`: expected widths such as (256, 128), or a list of them"
        ) from error


def _in_bytes(size: int | str | None) -> int | None:
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
        found = float(number[:-1] if unit > 1 else number) * unit
        if not 1 <= found < 2**63:
            raise ValueError
    except ValueError as error:
        raise InputError(
            f"`max_memory={str(size)[:40]!r}`: expected a size such as 500M or 8G"
        ) from error
    return int(found)


def _figure(cell: Cell, measure: str) -> str:
    mean, sd = _mean(cell.mean(measure), measure), cell.sd(measure)
    if math.isnan(sd):
        return mean
    return f"{mean} ± {100 * sd:.2f}" if measure.endswith("accuracy") else f"{mean} ± {sd:.5f}"


def _mean(value: float, measure: str) -> str:
    return f"{value:.2%}" if measure.endswith("accuracy") else f"{value:.5f}"


def _sentence(one: Best) -> str:
    name, measure = one.cell.name, one.measure
    text = (
        f"best λ for {name['model']} at learning rate {name['learning_rate']:g}: {name['l2']:g}, "
        f"{measure.replace('_', ' ')} {_mean(one.cell.mean(measure), measure)}"
    )
    low, high = one.cell.interval(measure)
    if not math.isnan(low):
        text += f" (95 % of the mean: {_mean(low, measure)} to {_mean(high, measure)})"
    elif len(one.cell.seeds) > 1:
        text += " (its seeds are all alike: no interval)"
    if one.l2_interval is None:
        return text + ("; one seed says nothing of chance" if len(one.cell.seeds) < 2 else "")
    if one.l2_interval[0] == one.l2_interval[1]:
        return text + "; no other λ tried comes near"
    return text + "; not told apart from it: λ from {:g} to {:g}".format(*one.l2_interval)


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        **cell.name,
        "seeds": len(cell.seeds),
        **{
            measure: {"mean": cell.mean(measure), "sd": _number(cell.sd(measure))}
            for measure in cell.values
        },
    }


def _best(one: Best) -> dict[str, Any]:
    return {
        **one.cell.name,
        "mean": one.cell.mean(one.measure),
        "interval": [_number(end) for end in one.cell.interval(one.measure)],
        "l2_interval": None if one.l2_interval is None else list(one.l2_interval),
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
