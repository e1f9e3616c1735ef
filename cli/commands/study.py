"""`mnist-fn study`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options
from mnist_fn.shared.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from mnist_fn.shared.study.running import Study
    from mnist_fn.shared.study.tables import Table as Columns

WORDS = ("what", "the study says", "judged by")  # columns that may be folded
# Columns left to study.md where the terminal is narrower than WIDE.
SHARPNESS = ("99 %", "sds away", "would pass", "judged by", "of all seeds, 95 %")
WIDE = 120


def _option(text: str, **settings: Any) -> Any:
    return typer.Option(help=text, show_default=False, **settings)


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
    from mnist_fn.shared.study import tables as study_tables

    document = study.document
    backends = list(document["backends"])
    rows: dict[str, list[str]] = {}
    for number in document["numbers"]:
        ours = [study_tables.ours_of(number, number["ours"][name]) for name in backends]
        row = [number["experiment"], number["what"], study_tables.published(number), *ours]
        rows.setdefault(number["experiment"], row)
    _print((["experiment", "what", "published", *backends], list(rows.values())), to)
    _print(study_tables.honest_table(document), to)
    to.print(f"{len(document['numbers'])} numbers in all, which the report has.", soft_wrap=True)
    _end(study, to)


def _show(study: "Study", to: "Console") -> None:
    from mnist_fn.shared.config import Config
    from mnist_fn.shared.study import experiments
    from mnist_fn.shared.study import tables as study_tables

    document = study.document
    less = ("experiment", *(SHARPNESS if to.is_terminal and to.width < WIDE else ()))
    # beside each other they are wider than a screen
    for name, summary in document["backends"].items():
        part = {**document, "backends": {name: summary}}
        for experiment in experiments.experiments(Config()):
            makers = (study_tables.number_table, study_tables.claim_table)
            tables = [study_tables.without(make(part, experiment), *less) for make in makers]
            if any(rows for _, rows in tables):
                to.print(f"{experiment}, {name}", style="bold")
            for table in tables:
                _print(table, to)
    for table in (study_tables.honest_table(document), study_tables.choice_table(document)):
        _print(table, to)
    if any(document["joint"].values()):
        to.print("all numbers of an experiment together", style="bold")
        _print(study_tables.joint_table(document), to)
    to.print(document["rule"].replace("*", ""), style="dim")  # its emphasis is Markdown
    _end(study, to)


def _end(study: "Study", to: "Console") -> None:
    for line in study.sentences:
        warns = line == study.document["warning"]
        to.print(line, style="bold red" if warns else "", soft_wrap=True)
    to.print(f"report: {study.out / 'study.md'}, {study.out / 'study.json'}", soft_wrap=True)


def _print(table: "Columns", to: "Console") -> None:
    """Words are folded to fit a narrow terminal, numbers stay whole."""
    from rich.table import Table
    from rich.text import Text

    from cli.console import print_table

    head, rows = table
    if not rows:
        return
    shown = Table(box=None, pad_edge=False)
    for name in head:
        shown.add_column(name, overflow="fold" if name in WORDS else "ellipsis")
    for row in rows:
        outside = any("outside" in cell for cell in row)
        cells = [Text(cell.replace("*", ""), style="red" if outside else "") for cell in row]
        shown.add_row(*cells)
    print_table(shown, to)
    to.print()
