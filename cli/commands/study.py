"""`mnist-fn study`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options
from mnist_fn.shared.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from mnist_fn.shared.study.running import Study

WORDS = ("what", "the study says", "judged by")  # columns that may be folded


def _option(text: str, **more: Any) -> Any:
    return typer.Option(help=text, show_default=False, **more)


def command(
    backend: Annotated[str, typer.Option(help="jax, torch, any installed one, or both.")] = "jax",
    seeds: Annotated[int | None, _option("Runs of each config. Default: 5.")] = None,
    seed: Annotated[int, typer.Option(help="The first seed.")] = 0,
    only: Annotated[
        str | None,
        _option(
            "Experiments with commas: width-depth, templates, selection, chosen, l2, per-class, "
            "honest. Default: all."
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="One seed, few epochs: a trial, not the study.")
    ] = False,
    dataset: options.DatasetName = None,
    data_dir: options.DataDir = None,
    device: options.Device = "auto",
    workers: options.Workers = None,
    threads: options.Threads = None,
    cluster: options.Cluster = None,
    out: Annotated[
        Path | None,
        _option("Folder of the runs. Default: runs, or runs-quick for a quick one."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 1 if a published number is outside.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Run the study's experiments and judge every number that it published.

    Finished runs are not trained again, and the same command goes on where it was stopped. The
    report is written into the runs' folder: study.json and study.md.
    """
    from cli.console import answer
    from cli.output import print_json
    from cli.training import shown
    from mnist_fn.shared.runs.staff import staff_of
    from mnist_fn.shared.study.running import run_study
    from mnist_fn.shared.wording import in_shell

    if quick and strict:
        raise InputError("--quick has one seed and decides nothing: no --strict with it")
    staff = staff_of(workers, threads, cluster)
    with shown(staff) as (_, watch):
        found = run_study(
            backend=backend,
            seeds=seeds,
            seed=seed,
            only=only,
            quick=quick,
            dataset=dataset or "mnist",
            device=device,
            data_dir=data_dir,
            staff=staff,
            out=out,
            command=options.command_line(),
            say=in_shell,
            watch=watch,
        )
    _show(found, answer(json))
    if json:
        print_json(found.document)
    if strict and found.outside:
        raise typer.Exit(1)


def _show(study: "Study", to: "Console") -> None:
    from mnist_fn.shared.study import tables as study_tables

    found = study.document
    tables = []
    for name, own in found["backends"].items():  # beside each other they are wider than a screen
        one = {**found, "backends": {name: own}}
        tables += [study_tables.number_table(one), study_tables.claim_table(one)]
    tables += [study_tables.honest_table(found), study_tables.choice_table(found)]
    for head, rows in tables:
        if rows:
            _print(head, rows, to)
    to.print(found["rule"], style="dim")
    for line in study.sentences:
        to.print(line, style="bold red" if line == found["warning"] else "", soft_wrap=True)
    to.print(f"report: {study.out / 'study.md'}, {study.out / 'study.json'}", soft_wrap=True)


def _print(head: list[str], rows: list[list[str]], to: "Console") -> None:
    """Words are folded to fit a narrow terminal, numbers stay whole."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in head:
        table.add_column(name, no_wrap=name not in WORDS, overflow="fold")
    for row in rows:
        outside = any("outside" in cell for cell in row)
        cells = [Text(cell.replace("*", ""), style="red" if outside else "") for cell in row]
        table.add_row(*cells)
    to.print(table)
