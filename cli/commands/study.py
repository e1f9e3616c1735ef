"""`mnist-fn study`."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options
from mnist_fn.shared.errors import InputError, Interrupted

if TYPE_CHECKING:
    from rich.console import Console

    from cli.training import Unfinished
    from mnist_fn.shared.config import Config
    from mnist_fn.shared.runs.cluster import Staff
    from mnist_fn.shared.runs.library import Records

BACKENDS = ("jax", "torch")
MAX_SEEDS = 1000
TEN = ("mnist", "fashion-mnist", "kmnist", "digits")  # sets of ten classes
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
    from mnist_fn.shared.runs.records import machine, versions
    from mnist_fn.shared.storage import write_atomically, write_sealed
    from mnist_fn.shared.study import experiments
    from mnist_fn.shared.study import report as study_report
    from mnist_fn.shared.study import tables as study_tables

    if quick and (strict or seeds is not None):
        raise InputError("--quick has one seed and decides nothing: no --seeds or --strict with it")
    seeds = 1 if quick else 5 if seeds is None else seeds
    if not 1 <= seeds <= MAX_SEEDS:
        raise InputError(f"--seeds {seeds}: must be between 1 and {MAX_SEEDS}")
    base = options.make_config(dataset=dataset, seed=seed)
    _check_classes(base, data_dir)
    lengths = experiments.QUICK if quick else experiments.FULL
    chosen = experiments.choose(only, experiments.experiments(base, lengths))
    needs = experiments.needed(chosen, range(seed, seed + seeds))
    out = out or Path("runs-quick" if quick else "runs")
    names = BACKENDS if backend == "both" else (backend,)
    where = {"device": device, "data_dir": data_dir}
    staff = options.staff(workers, threads, cluster)
    records, unfinished = _train(needs, names, out, where, staff)
    found = study_report.document(
        {experiment.name: experiment for experiment in chosen},
        records,
        warning=_warning(quick, base),
        command=options.command_line(),
        machine=machine(),
        versions=versions(),
        **asdict(unfinished),
    )
    write_sealed(out / "study.json", found)
    write_atomically(out / "study.md", study_tables.page(found).encode())
    _show(found, out, answer(json))
    if json:
        print_json(found)
    if strict and any("outside" in counts for counts in study_report.tally(found).values()):
        raise typer.Exit(1)


def _check_classes(base: "Config", data_dir: Path | None) -> None:
    """InputError for a set without the ten classes that the experiments read."""
    from mnist_fn.shared.data.datasets import load_for

    if base.dataset in TEN:
        return
    if (classes := load_for(base.replace(batch_size=1), data_dir).classes) != 10:
        raise InputError(
            f"--dataset {base.dataset}: it has {classes} classes; the study is MNIST's, its "
            "experiments and published numbers are of ten digits: use train, sweep and report"
        )


def _warning(quick: bool, base: "Config") -> str | None:
    from mnist_fn.shared.study.report import QUICK_RUN

    if quick:
        return QUICK_RUN
    if base.dataset != "mnist":
        return f"NOT THE STUDY: {base.dataset} instead of mnist; the published numbers are not its"
    return None


def _train(
    needs: "Mapping[Config, bool]",
    backends: tuple[str, ...],
    out: Path,
    where: dict[str, Any],
    staff: "Staff | None",
) -> "tuple[dict[str, Records], Unfinished]":
    """Records of each backend, and what is said of runs that did not come to their end."""
    from cli.console import console
    from cli.stopping import stoppable
    from cli.training import Unfinished
    from cli.workers import crew_of, view_of
    from mnist_fn.shared.backend import check, find
    from mnist_fn.shared.runs import chains
    from mnist_fn.shared.runs.library import Records

    for name in backends:
        check(name) if staff else find(name)
    todo = {name: chains.targets(needs, out, name) for name in backends}
    records, unfinished = {name: Records() for name in backends}, Unfinished()
    with stoppable() as stop:
        try:
            expected = [chains.epochs_left(own, out, name) for name, own in todo.items()]
            dataset = next(iter(needs)).dataset
            with (
                crew_of(staff, dataset, where["data_dir"], where["device"]) as crew,
                view_of(crew, *expected) as view,
            ):
                how = {**where, "watch": view.watch(stop), "crew": crew}
                for name, configs in todo.items():
                    for _, run in chains.train(configs, name, out, **how):
                        if isinstance(run, InputError):
                            unfinished.add(run)
                            continue
                        records[name].add(run)
                        view.done(run) if run.trained else view.stood(run)
        except Interrupted as reason:
            console.print(f"{reason}; the same command goes on from there", soft_wrap=True)
            raise typer.Exit(stop.exit_code) from None
    return records, unfinished


def _show(found: Mapping[str, Any], out: Path, to: "Console") -> None:
    from mnist_fn.shared.study import report as study_report
    from mnist_fn.shared.study import tables as study_tables

    tables = []
    for name, own in found["backends"].items():  # beside each other they are wider than a screen
        one = {**found, "backends": {name: own}}
        tables += [study_tables.number_table(one), study_tables.claim_table(one)]
    tables += [study_tables.honest_table(found), study_tables.choice_table(found)]
    for head, rows in tables:
        if rows:
            _print(head, rows, to)
    to.print(found["rule"], style="dim")
    for name in found["backends"]:
        if found["numbers"]:
            to.print(f"{name}: {study_report.outcome(found, name)}", soft_wrap=True)
    for line in [*found["diverged"], *found["given_up"]]:
        to.print(f"not finished: {line}", soft_wrap=True)
    if found["warning"]:
        to.print(found["warning"], style="bold red", soft_wrap=True)
    to.print(f"report: {out / 'study.md'}, {out / 'study.json'}", soft_wrap=True)


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
