"""`mnist-fn runs`."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import options
from cli.suggesting import check_is_folder

AT = "at\nepoch"  # each best has its own
BEST = ("best test\nloss", AT, "best test\naccuracy", AT)


def command(
    folder: Annotated[Path, typer.Argument(help="A folder of runs, or a run.")] = Path("runs"),
    json: options.Json = False,
) -> None:
    """List the runs of a folder: what tells them apart, how far each is, the best of each."""
    check_is_folder(folder)  # before the imports that take longer
    from rich.table import Table
    from rich.text import Text

    from cli.console import answer, print_table
    from cli.output import print_json
    from mnist_fn.shared.errors import InputError
    from mnist_fn.shared.runs.store import RunStore, varying_fields

    store = RunStore(folder, must_exist=True)
    runs = store.summaries()
    if json:
        print_json({"folder": str(folder), "runs": runs})
        return
    if not runs:
        raise InputError(f"{folder}: no runs in it; `mnist-fn train` makes one")
    configs = [header.config for _, header in store]
    varying = [name for name in varying_fields(configs) if name != "epochs"]
    backends = ["backend"] if len({run["backend"] for run in runs}) > 1 else []
    table = Table(box=None, pad_edge=False)
    for name in ("run", *backends, *varying, "epochs", *BEST, "changed"):
        aligned_left = name in ("run", "backend", "changed")
        table.add_column(
            name.replace("_", " "), justify="left" if aligned_left else "right", no_wrap=True
        )
    for run, config in zip(runs, configs, strict=True):
        loss, accuracy = run["best"].values() if run["best"] else (None, None)
        table.add_row(
            Text(Path(run["run"]).name),
            *(run[name] for name in backends),
            *(_format(getattr(config, name)) for name in varying),
            _progress(run["epochs"], config.epochs, run["status"]),
            f"{loss['value']:.5f}" if loss else "",
            f"{loss['epoch']}" if loss else "",
            f"{accuracy['value']:.2%}" if accuracy else "",
            f"{accuracy['epoch']}" if accuracy else "",
            _when(datetime.fromisoformat(run["changed"])),
        )
    # a name is to be copied, and a run's own says most of what it differs in
    narrow = (
        "changed",
        AT,
        *(name.replace("_", " ") for name in reversed(varying)),
        "backend",
        BEST[0],
    )
    print_table(table, answer(), leave_out=narrow)


def _progress(done: int, epochs: int, status: str) -> str:
    """`4/4`, or `1/4 unfinished`."""
    return f"{done}/{epochs}" + ("" if status == "finished" else f" {status}")


def _when(changed: datetime) -> str:
    """The day, and of this year's the hour too."""
    this_year = changed.year == datetime.now(changed.tzinfo).year
    return f"{changed:%m-%d %H:%M}" if this_year else f"{changed:%Y-%m-%d}"


def _format(value: Any) -> str:
    if isinstance(value, tuple):
        return "-".join(map(str, value)) or "linear"
    return f"{value:g}" if isinstance(value, float) else str(value)
