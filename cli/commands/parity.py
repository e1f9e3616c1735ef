"""`mnist-fn parity`."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from cli import options
from cli.options import option


def command(
    level: Annotated[str, option("quick, full, horizon or statistics.")] = "quick",
    backends: Annotated[str, option("The two to compare, any that are installed.")] = "jax,torch",
    model: Annotated[
        str | None, option("linear, shallow, deep. Default: all; shallow for the horizon.")
    ] = None,
    optimizer: Annotated[
        str | None,
        option(
            "adam, adam+l2, adamw, sgd, sgd+nesterov, rmsprop, adam+cosine. Default: full has "
            "the first three; statistics adam; the others adam+l2 (λ = 3e-5)."
        ),
    ] = None,
    precision: Annotated[
        str | None,
        option(
            "float64, float32. Default: both. For statistics any, two for the two sides; "
            "default: float32."
        ),
    ] = None,
    seeds: Annotated[int, option("Of the statistics.")] = 10,
    margin: Annotated[
        float,
        option(
            "Of the statistics: the largest mean difference that doesn't matter, in "
            "percentage points of test accuracy."
        ),
    ] = 0.10,
    seed: Annotated[int, option("The first of the statistics.")] = 0,
    reuse: Annotated[
        bool,
        option(
            "Of the statistics: use runs that other versions or other code computed.", "--reuse"
        ),
    ] = False,
    epochs: Annotated[
        int | None, option("Of the horizon. Default: 100 in float64, 10 in float32.")
    ] = None,
    dataset: options.DatasetName = None,
    data_dir: options.DataDir = None,
    device: options.Devices = "auto",
    workers: options.Workers = None,
    threads: options.Threads = None,
    cluster: options.Cluster = None,
    out: Annotated[
        Path | None,
        option("Folder of parity-LEVEL.json, and of the statistics' runs (else in runs)."),
    ] = None,
    verbose: Annotated[bool, option("Say why each bound is what it is.", "--verbose")] = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Compare two backends, rung by rung, and say where they differ. Exit 0 or 1.

    quick: eleven rungs with 300 steps, a minute.

    full: 3,000 steps; Adam with and without λ, and AdamW; ten minutes.

    horizon: until they diverge, compared with control runs; half an hour or more on 2 cores.

    statistics: 20 epochs a seed, paired tests of the test accuracy.

    Models, optimizers and precisions may be several, with commas.
    """  # fmt: skip
    from cli.console import answer, console
    from cli.output import print_json

    with console.status("starting"):
        from cli import proving
        from mnist_fn.shared.parity.levels import make_plan
        from mnist_fn.shared.storage import check_output, made_folder, write_sealed
        from mnist_fn.shared.sweeps.request import Workers

        plan = make_plan(
            level,
            options.words(backends),
            options.words(device),
            models=options.words(model),
            optimizers=options.words(optimizer),
            precisions=options.words(precision),
            dataset=options.resolved(dataset, data_dir),
            epochs=epochs,
        )
        if out is not None:
            check_output(proving.output(out, plan.level), overwrite=overwrite)
        pool = proving.workers_for(plan, Workers.of(workers, threads, cluster))
    # its place is made before anything is measured for it
    with made_folder(out) if out is not None else nullcontext():
        document = proving.prove(
            plan, data_dir, out, seeds, seed, pool, answer(json), margin, reuse, verbose
        )
        if out is not None:
            write_sealed(proving.output(out, plan.level), document)
    if json:
        print_json(document)
    raise typer.Exit(0 if document["passed"] else 1)
