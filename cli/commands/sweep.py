"""`mnist-fn sweep`."""

from pathlib import Path
from typing import Annotated, Any

from cli import options
from cli.options import option
from mnist_fn.shared.errors import InputError


@options.with_experiment
def command(
    l2: Annotated[str | None, option("λ, several with commas. Default: 0.")] = None,
    seeds: Annotated[int, option("Runs of each combination.")] = 1,
    learning_rate: Annotated[str | None, option("Several with commas. Default: 5e-4.")] = None,
    model: Annotated[
        str | None, option("linear, shallow, deep; several with commas. Default: shallow.")
    ] = None,
    hidden: Annotated[
        list[str] | None, option("Widths of a shape, such as 256,128; may be given repeatedly.")
    ] = None,
    backend: options.Backend = None,
    seed: Annotated[int | None, option("The first seed. Default: 0.")] = None,
    *,
    experiment: dict[str, Any],
    data_dir: options.DataDir = None,
    device: options.Device = "auto",
    workers: options.Workers = None,
    threads: options.Threads = None,
    cluster: options.Cluster = None,
    max_memory: Annotated[
        str | None,
        option("For data and models together, such as 8G. Default: what the device has."),
    ] = None,
    metric: Annotated[
        str | None,
        option(
            "test_accuracy, test_loss, validation_accuracy or validation_loss: what the best is "
            "best in. Default: accuracy, on the validation split if any."
        ),
    ] = None,
    out: Annotated[Path, option("Folder of the runs.")] = Path("runs"),
    figure: Annotated[
        Path | None, option("File of the figure. Default: sweep.png in the runs' folder.")
    ] = None,
    force: options.Force = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Train every combination of seeds, λ, learning rates and shapes; compare them.

    Runs of one shape share a program. Each is an ordinary run; finished ones are not trained
    again, and the same command goes on where it was stopped.
    """
    from cli.console import answer, new_table, print_table
    from cli.output import print_json
    from cli.training import followed
    from mnist_fn.shared.errors import in_shell
    from mnist_fn.shared.storage import check_output

    config = options.experiment_config(experiment, data_dir, seed=seed)
    path = figure or out / "sweep.png"
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise InputError(f"--figure {figure}: the ending must be .png, .svg or .pdf")
    check_output(path, overwrite=overwrite)
    with followed() as callbacks:  # before the imports that take longer
        from mnist_fn.shared.sweeps.sweep import sweep

        result = sweep(
            config,
            seeds=seeds,
            l2=options.numbers("l2", l2),
            learning_rate=options.numbers("learning_rate", learning_rate),
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
    to = answer(json)
    names, rows = result.table()
    table = new_table(*names, flush_left=("model",))
    for row in rows:
        table.add_row(*row)
    print_table(table, to)
    for line in result.sentences:
        to.print(line)
    from figures import sweep as sweep_figure

    to.print(f"figure: {sweep_figure.save(result.conditions, path)}", soft_wrap=True)
    if json:
        print_json({**result.to_dict(in_shell), "figure": str(path)})
