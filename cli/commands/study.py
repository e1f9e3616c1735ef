"""`mnist-fn study`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import options
from cli.options import option
from mnist_fn.shared.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from mnist_fn.shared.study.running import Study
    from mnist_fn.shared.study.tables import Table as Columns

WORDS = ("what", "the study says", "judged by")  # columns that may be folded
WIDE = 120  # a narrower terminal leaves SHARPNESS to study.md


def command(
    backend: Annotated[str, option("jax, torch, any installed one, or both.")] = "jax",
    seeds: Annotated[int | None, option("Runs of each config. Default: 5.")] = None,
    seed: Annotated[int, option("The first seed.")] = 0,
    only: Annotated[
        str | None,
        option(
            "Experiments with commas: width-depth, templates, selection, chosen, l2, per-class, "
            "honest. Default: all."
        ),
    ] = None,
    quick: Annotated[bool, option("One seed, few epochs: only a trial.", "--quick")] = False,
    dataset: options.DatasetName = None,
    data_dir: options.DataDir = None,
    device: options.Device = "auto",
    workers: options.Workers = None,
    threads: options.Threads = None,
    cluster: options.Cluster = None,
    out: Annotated[Path | None, option("Folder of the runs. Default: runs or runs-quick.")] = None,
    strict: Annotated[bool, option("Exit 1 if a published number is outside.", "--strict")] = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Run the study's experiments and judge every number that it published.

    Finished runs are not trained again, and the same command goes on where it was stopped. The
    report is written into the runs' folder: study.json and study.md.
    """
    from cli.console import answer
    from cli.output import print_json
    from cli.training import followed
    from mnist_fn.shared.errors import in_shell
    from mnist_fn.shared.storage import check_output

    if quick and strict:
        raise InputError("--quick has one seed and decides nothing: no --strict with it")
    report = (out or Path("runs-quick" if quick else "runs")) / "study.json"
    check_output(report, overwrite=overwrite)
    if not report.exists():  # the page beside one of ours is ours
        check_output(report.with_suffix(".md"), overwrite=overwrite)
    with followed() as callbacks:  # before the imports that take longer
        from mnist_fn.shared.study import running

        study = running.study(
            backend=backend,
            seeds=seeds,
            seed=seed,
            only=only,
            quick=quick,
            dataset=dataset or "mnist",
            device=device,
            data_dir=data_dir,
            workers=workers,
            threads=threads,
            cluster=cluster,
            out=out,
            command=options.command_line(),
            say=in_shell,
            callbacks=callbacks,
        )
    to = answer(json)
    if quick and to.is_terminal:
        _show_short(study, to)
    else:
        _show(study, to)
    if json:
        print_json(study.document)
    if strict and study.outside:
        raise typer.Exit(1)


def _show_short(study: "Study", to: "Console") -> None:
    """A quick study on one screen, which decides nothing: of each experiment the first number."""
    from mnist_fn.shared.study import tables

    document = study.document
    head, numbers = tables.without(tables.number_table(document), "n", *tables.SHARPNESS, "verdict")
    first_rows: dict[str, list[str]] = {}
    for row in numbers:
        first_rows.setdefault(row[0], row)
    _print((head, list(first_rows.values())), to)
    _print(tables.honest_table(document), to)
    to.print(f"{len(document['numbers'])} numbers in all, which the report has.")
    _end(study, to)


def _show(study: "Study", to: "Console") -> None:
    from mnist_fn.shared.config import Config
    from mnist_fn.shared.study import experiments, tables

    document = study.document
    less = ("experiment", *(tables.SHARPNESS if to.is_terminal and to.width < WIDE else ()))
    # beside each other they are wider than a screen
    for name, summary in document["backends"].items():
        part = {**document, "backends": {name: summary}}
        for experiment in experiments.experiments(Config()):
            numbers = tables.without(tables.number_table(part, experiment), *less)
            claims = tables.without(tables.claim_table(part, experiment), *less)
            if numbers[1] or claims[1]:
                to.print(f"{experiment}, {name}", style="bold")
            _print(numbers, to)
            _print(claims, to)
    _print(tables.honest_table(document), to)
    _print(tables.choice_table(document), to)
    if any(document["joint"].values()):
        to.print("all numbers of an experiment together", style="bold")
        _print(tables.joint_table(document), to)
    to.print(document["rule"].replace("*", ""), style="dim")  # its emphasis is Markdown
    _end(study, to)


def _end(study: "Study", to: "Console") -> None:
    for line in study.sentences:
        to.print(line, style="bold red" if line == study.document["warning"] else "")
    to.print(f"report: {study.out / 'study.md'}, {study.out / 'study.json'}", soft_wrap=True)


def _print(table: "Columns", to: "Console") -> None:
    """Words are folded to fit a narrow terminal, numbers stay whole."""
    from rich.text import Text

    from cli.console import new_table, print_table

    names, rows = table
    if not rows:
        return
    shown = new_table(*names, flush_left=names)
    for column in shown.columns:
        column.overflow = "fold" if column.header in WORDS else "ellipsis"
    for row in rows:
        style = "red" if any("outside" in cell for cell in row) else ""
        shown.add_row(*(Text(cell.replace("*", ""), style=style) for cell in row))
    print_table(shown, to)
    to.print()
