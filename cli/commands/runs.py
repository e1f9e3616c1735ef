"""`mnist-fn runs`."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import options
from cli.suggesting import FIRST_RUN, folders_of_runs

AT = "at\nepoch"  # each best has its own
BEST = ("best test\nloss", AT, "best test\naccuracy", AT)


def command(
    folder: Annotated[
        Path | None, typer.Argument(help="A folder of runs, or a run. Default: runs.")
    ] = None,
    json: options.Json = False,
) -> None:
    """List the runs of a folder: what tells them apart, how far each is, the best of each."""
    (path,) = folders_of_runs([folder] if folder else None)  # before imports that take longer
    from rich.text import Text

    from cli.console import answer, new_table, print_table
    from cli.output import print_json
    from mnist_fn.shared.errors import InputError
    from mnist_fn.shared.runs.store import RunStore, varying_fields

    store = RunStore(path, must_exist=True)
    runs = store.summaries()
    if json:
        print_json({"folder": str(path), "runs": runs})
        return
    if not runs:
        raise InputError(f"{path}: no runs in it; {FIRST_RUN}")
    configs = [header.config for _, header in store]
    varying = varying_fields(configs)
    if "epochs" in varying:  # they have a column in any case
        varying.remove("epochs")
    fields = [name.replace("_", " ") for name in varying]
    backends = ["backend"] if len({run["backend"] for run in runs}) > 1 else []
    names = ("run", *backends, *fields, "epochs", *BEST, "changed")
    table = new_table(*names, flush_left=("run", "backend", "changed"))
    for column in table.columns:
        column.no_wrap = True
    for run, config in zip(runs, configs, strict=True):
        best: list[str] = []
        for measure, form in (("test_loss", ".5f"), ("test_accuracy", ".2%")):
            value = run["best"][measure] if run["best"] else None
            best += [f"{value['value']:{form}}", f"{value['epoch']}"] if value else ["", ""]
        row: list[Any] = [Text(Path(run["run"]).name)]
        if backends:
            row.append(run["backend"])
        for name in varying:
            row.append(_format(getattr(config, name)))
        status = "" if run["status"] == "finished" else f" {run['status']}"
        row += [f"{run['epochs']}/{config.epochs}{status}", *best]
        table.add_row(*row, _when(datetime.fromisoformat(run["changed"])))
    # a name is to be copied, and a run's own says most of what it differs in
    print_table(table, answer(), leave_out=("changed", AT, *reversed(fields), "backend", BEST[0]))


def _when(changed: datetime) -> str:
    """The day, and of this year's the hour too."""
    this_year = changed.year == datetime.now(changed.tzinfo).year
    return f"{changed:%m-%d %H:%M}" if this_year else f"{changed:%Y-%m-%d}"


def _format(value: Any) -> str:
    if isinstance(value, tuple):
        return "-".join(map(str, value)) or "linear"
    return f"{value:g}" if isinstance(value, float) else str(value)
