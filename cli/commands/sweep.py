"""`mnist-fn sweep`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options
from mnist_fn.shared.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from mnist_fn.shared.sweeps.sweep import Sweep


def _option(text: str, **settings: Any) -> Any:
    return typer.Option(help=text, show_default=False, **settings)


@options.with_experiment
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
    seed: Annotated[int | None, _option("The first seed. Default: 0.")] = None,
    *,
    experiment: dict[str, Any],
    data_dir: options.DataDir = None,
    device: options.Device = "auto",
    workers: options.Workers = None,
    threads: options.Threads = None,
    cluster: options.Cluster = None,
    max_memory: Annotated[
        str | None,
        _option("For data and models together, such as 8G. Default: what the device has."),
    ] = None,
    metric: Annotated[
        str | None,
        _option(
            "test_accuracy, test_loss, validation_accuracy or validation_loss: what the best is "
            "best in. Default: accuracy, on the validation split if any."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    figure: Annotated[
        Path | None, _option("File of the figure. Default: sweep.png in the runs' folder.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Train finished runs again.")] = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Train every combination of seeds, λ, learning rates and shapes; compare them.

    Runs of one shape share a program. Each is an ordinary run; finished ones are not trained
    again, and the same command goes on where it was stopped.
    """
    from cli.console import answer
    from cli.output import print_json
    from cli.training import followed
    from mnist_fn.shared.errors import in_shell
    from mnist_fn.shared.storage import check_output

    config = options.experiment_config(experiment, data_dir, seed=seed)
    if figure is not None and figure.suffix not in (".png", ".svg", ".pdf"):
        raise InputError(f"--figure {figure}: the ending must be .png, .svg or .pdf")
    check_output(figure or out / "sweep.png", overwrite=overwrite)
    with followed() as callbacks:  # before the imports that take longer
        from mnist_fn.shared.sweeps.sweep import sweep

        result = sweep(
            config,
            seeds=seeds,
            l2=options.numbers("--l2", l2),
            learning_rate=options.numbers("--learning-rate", learning_rate),
            model=options.words(model),
            hidden=[options.hidden_from(None, widths) or () for widths in hidden or ()],
            metric=metric,
            backend=backend or "jax",
            device=device,
            data_dir=data_dir,
            max_memory=max_memory,
            workers=workers,
            threads=threads,
            cluster=cluster,
            out=out,
            force=force,
            callbacks=callbacks,
        )
    _show(result, answer(json))
    drawn = _draw(result, figure or out / "sweep.png")
    answer(json).print(f"figure: {drawn}", soft_wrap=True)
    if json:
        print_json({**result.to_dict(in_shell), "figure": str(drawn)})


def _show(result: "Sweep", to: "Console") -> None:
    from rich.table import Table

    from cli.console import print_table

    head, rows = result.table()
    table = Table(box=None, pad_edge=False)
    for name in head:
        table.add_column(name, justify="left" if name == "model" else "right")
    for row in rows:
        table.add_row(*row)
    print_table(table, to)
    for line in result.sentences:
        to.print(line, soft_wrap=True)


def _draw(result: "Sweep", path: Path) -> Path:
    from figures import sweep

    return sweep.save(result.conditions, path)
