"""`mnist-fn sweep`."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options
from mnist_fn.shared.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from mnist_fn.shared.runs.comparison import Best, Cell


def _option(text: str, **more: Any) -> Any:
    return typer.Option(help=text, show_default=False, **more)


def command(
    l2: Annotated[str | None, _option("λ, several with commas. Default: 0.")] = None,
    seeds: Annotated[int, typer.Option(help="Runs of each combination.")] = 1,
    learning_rate: Annotated[
        str | None, _option("Several with commas. Default: the study's, 5e-4.")
    ] = None,
    model: Annotated[
        str | None, _option("linear, shallow, deep; several with commas. Default: shallow.")
    ] = None,
    hidden: Annotated[
        list[str] | None, _option("Widths of a shape, such as 256,128; may be given repeatedly.")
    ] = None,
    backend: Annotated[
        str | None, _option("jax, torch, or any installed one. Default: jax.")
    ] = None,
    optimizer: options.Optimizer = None,
    weight_decay: options.WeightDecay = None,
    batch_size: options.BatchSize = None,
    epochs: options.Epochs = None,
    seed: Annotated[int | None, _option("The first seed. Default: 0.")] = None,
    precision: options.Precision = None,
    dataset: options.DatasetName = None,
    upright: options.Upright = None,
    ink: options.Ink = None,
    validation: options.Validation = None,
    data_dir: options.DataDir = None,
    device: options.Device = "auto",
    workers: options.Workers = None,
    threads: options.Threads = None,
    cluster: options.Cluster = None,
    max_memory: Annotated[
        str | None,
        _option("For data and models together, such as 8G. Default: what the device has."),
    ] = None,
    by: Annotated[
        str | None,
        _option("What the best λ is best in. Default: accuracy, on the validation split if any."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    figure: Annotated[
        Path | None, _option("File of the figure. Default: sweep.png in the runs' folder.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Train finished runs anew.")] = False,
    json: options.Json = False,
) -> None:
    """Train every combination of seeds, λ, learning rates and shapes; compare them.

    Runs of one shape share a program. Each is an ordinary run; finished ones are not trained
    again, and the same command goes on where it was stopped.
    """
    from cli.console import answer
    from cli.output import print_json
    from cli.training import train_all
    from mnist_fn.shared.runs.comparison import best, cells, check_measure, ended
    from mnist_fn.shared.runs.sweep import grid

    base = options.make_config(
        optimizer=optimizer,
        weight_decay=weight_decay,
        batch_size=batch_size,
        epochs=epochs,
        seed=seed,
        precision=precision,
        dataset=options.resolved(dataset, data_dir),
        orientation=options.orientation(upright),
        ink=ink,
        validation=validation,
    )
    measure = check_measure(by, base)
    if figure is not None and figure.suffix not in (".png", ".svg", ".pdf"):
        raise InputError(f"--figure {figure}: the ending must be .png, .svg or .pdf")
    configs = grid(
        base,
        seeds=seeds,
        l2=options.numbers("--l2", l2),
        learning_rate=options.numbers("--learning-rate", learning_rate),
        hidden=options.shapes(model, hidden),
    )
    backend = backend or "jax"
    where = {"device": device, "data_dir": data_dir, "memory": options.size_in_bytes(max_memory)}
    staff = options.staff(workers, threads, cluster)
    runs, unfinished = train_all(configs, backend, out, force, where, staff, keep=ended)
    found = cells(runs)
    chosen = best(found, measure)
    _show(found, chosen, unfinished.all, answer(json))
    drawn = _draw(found, figure or out / "sweep.png")
    if json:
        print_json(
            {
                "runs": [str(run.path) for run in runs],
                **asdict(unfinished),
                "backend": backend,
                "epochs": base.epochs,
                "by": measure,
                "cells": [_cell(cell) for cell in found],
                "best": [_best(one) for one in chosen],
                "figure": str(drawn),
            }
        )


def _show(found: "list[Cell]", chosen: "list[Best]", lost: list[str], to: "Console") -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("model", "learning rate", "λ", "seeds"):
        table.add_column(name, justify="left" if name == "model" else "right")
    measures = list(found[0].values)
    for name in measures:
        table.add_column(name.replace("_", " "), justify="right")
    for cell in found:
        name = cell.name
        figures = [_figure(cell, measure) for measure in measures]
        table.add_row(
            name["model"],
            f"{name['learning_rate']:g}",
            f"{name['l2']:g}",
            str(len(cell.seeds)),
            *figures,
        )
    to.print(table)
    for one in chosen:
        to.print(_sentence(one), soft_wrap=True)
    for line in lost:
        to.print(f"not finished: {line}", soft_wrap=True)


def _figure(cell: "Cell", measure: str) -> str:
    mean, sd = cell.mean(measure), cell.sd(measure)
    if measure.endswith("accuracy"):
        return f"{mean:.2%}" + ("" if math.isnan(sd) else f" ± {100 * sd:.2f}")
    return f"{mean:.5f}" + ("" if math.isnan(sd) else f" ± {sd:.5f}")


def _sentence(one: "Best") -> str:
    name, measure = one.cell.name, one.measure
    text = (
        f"best λ for {name['model']} at learning rate {name['learning_rate']:g}: {name['l2']:g}, "
        f"{measure.replace('_', ' ')} {one.cell.mean(measure):.5g}"
    )
    low, high = one.cell.interval(measure)
    if not math.isnan(low):
        text += f" (95 % of the mean: {low:.5g} to {high:.5g})"
    if one.l2_interval is None:
        return text + ("; one seed says nothing of chance" if len(one.cell.seeds) < 2 else "")
    if one.l2_interval[0] == one.l2_interval[1]:
        return text + "; no other λ tried comes near"
    return text + "; not told apart from it: λ from {:g} to {:g}".format(*one.l2_interval)


def _cell(cell: "Cell") -> dict[str, Any]:
    return {
        **cell.name,
        "seeds": len(cell.seeds),
        **{
            measure: {"mean": cell.mean(measure), "sd": _number(cell.sd(measure))}
            for measure in cell.values
        },
    }


def _best(one: "Best") -> dict[str, Any]:
    return {
        **one.cell.name,
        "mean": one.cell.mean(one.measure),
        "interval": [_number(end) for end in one.cell.interval(one.measure)],
        "l2_interval": None if one.l2_interval is None else list(one.l2_interval),
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _draw(found: "list[Cell]", path: Path) -> Path:
    from figures import sweep

    return sweep.save(found, path)
