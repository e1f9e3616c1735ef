"""`mnist-fn bench`."""

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options
from mnist_fn.shared.bench.quiet import WINDOW, Others, limit, refuse_if_busy, used_by_others
from mnist_fn.shared.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console


def command(
    model: options.Model = None,
    hidden: options.Hidden = None,
    batch_size: options.BatchSize = None,
    precision: options.Precision = None,
    dataset: options.DatasetName = None,
    data_dir: options.DataDir = None,
    device: options.Device = "auto",
    rounds: Annotated[int, typer.Option(help="Timed turns of each contender.")] = 9,
    what: Annotated[
        str, typer.Option(help="epochs, or workers: one a core (needs the extra `ray`).")
    ] = "epochs",
    quick: Annotated[
        bool, typer.Option("--quick", help="Epochs alone: no widths, lengths, sweeps, processes.")
    ] = False,
    only: Annotated[
        str, typer.Option(help="Contenders whose names contain one of these, with commas.")
    ] = "",
    trace: Annotated[
        Path | None,
        typer.Option(help="Profile one JAX epoch into this folder (TensorBoard, Perfetto)."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the JSON document here too, such as docs/evidence/bench-cpu.json"),
    ] = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Measure an epoch against its arithmetic, PyTorch and the notebook; some minutes.

    Contenders take turns, so that what slows the machine slows all; ratios are taken round by
    round. --out is written only if other processes leave the machine alone: at the start and
    while contenders take turns they may use a tenth of its cores.
    """
    from cli.console import answer
    from cli.output import print_json
    from mnist_fn.shared.backend import check, names
    from mnist_fn.shared.data.datasets import load_for
    from mnist_fn.shared.storage import check_output

    if not 1 <= rounds <= 1000:
        raise InputError(f"--rounds {rounds}: must be between 1 and 1000")
    if out is not None:
        if not out.parent.is_dir():
            raise InputError(f"--out {out}: {out.parent} is no folder; make it first")
        check_output(out, overwrite=overwrite)
    config = options.make_config(
        hidden=options.hidden_from(model, hidden),
        l2=3e-5,
        batch_size=batch_size,
        precision=precision,
        dataset=dataset,
    )
    if what not in ("epochs", "workers"):
        raise InputError(f"--what {what[:40]!r}: must be epochs or workers")
    for name in names():  # what it measures without a backend is of the same frameworks
        check(name)
    if what == "workers":
        _workers(config, data_dir, rounds, out, json)
        return
    loaded = load_for(config, data_dir)
    if out is not None:
        _wait_and_see(out)
    document = _measure(config, loaded, data_dir, device, rounds, quick, only, trace)
    _show(document, answer(json))
    if json:
        print_json(document)
    if out is not None:  # last: what was measured is shown in any case
        from mnist_fn.shared.storage import write_sealed

        refuse_if_busy(out, document["others"]["cores"], "while contenders took turns")
        write_sealed(out, document)


def _wait_and_see(out: Path) -> None:
    refuse_if_busy(out, used_by_others(WINDOW), f"for {WINDOW:g} s before it began")


def _workers(config: Any, data_dir: Path | None, rounds: int, out: Path | None, json: bool) -> None:
    from cli import measuring_workers
    from cli.console import console
    from cli.output import print_json
    from mnist_fn.shared.runs.environment import machine, versions
    from mnist_fn.shared.storage import write_sealed

    if out is not None:
        _wait_and_see(out)
    results = measuring_workers.measure(
        config, data_dir, rounds, lambda line: console.print(line, style="dim")
    )
    cores = results.pop("others")
    document = {
        "schema": measuring_workers.SCHEMA,
        **results,
        "command": options.command_line(),
        "machine": machine(),
        "versions": versions(),
        "others": {"cores": cores, "of": os.cpu_count(), "limit": limit()},
    }
    for line in measuring_workers.lines(document):
        console.print(line, soft_wrap=True, markup=False) if json else print(line)
    if json:
        print_json(document)
    if out is not None:  # last: what was measured is shown in any case
        refuse_if_busy(out, cores, "between the contenders' turns")
        write_sealed(out, document)


def _measure(
    config: Any,
    dataset: Any,
    data_dir: Path | None,
    device: str,
    rounds: int,
    quick: bool,
    only: str,
    trace: Path | None,
) -> dict[str, Any]:
    from cli import measuring
    from cli.console import console
    from mnist_fn.backend import describe, find_devices
    from mnist_fn.shared.bench import report as bench_report
    from mnist_fn.shared.bench import timing
    from mnist_fn.shared.runs.environment import machine, versions

    def say(line: str) -> None:
        console.print(line, style="dim")

    jax_device = find_devices(device)[0]
    on_gpu = jax_device.platform == "gpu"
    sections: dict[str, Any] = {}
    names = tuple(options.words(only))
    if not quick and not names:  # first, while this process is small and idle
        sections["processes"] = measuring.processes(config, data_dir, device, say)
    bench = measuring.Bench(config, dataset, device, rounds, say, names)
    other_load = Others()
    with tempfile.TemporaryDirectory(prefix="mnist-fn-bench-") as folder:
        turns = bench.epochs(Path(folder))
    if not quick:
        sweeps = bench.sweeps(on_gpu)
        sections["sweeps"] = {name: timing.spread(values) for name, values in sweeps.items()}
        sections["widths"], sections["lengths"] = bench.widths(), bench.lengths()
    cores = other_load.cores()
    if "processes" in sections and not on_gpu:
        for name, measured in measuring.budgets(config, data_dir, say):
            if isinstance(measured, str):
                bench.left_out[name] = measured
            else:
                sections["processes"][name] = measured
    if trace is not None:
        from mnist_fn.bench import trace as profile

        contender = next(timing.backend_contenders("jax", config, dataset, device))
        contender.run()
        profile(str(trace), contender.run)
    if not on_gpu:
        bench.left_out["GPU"] = "no GPU that JAX sees; there: mnist-fn bench --device gpu"
    if quick:
        bench.left_out["widths, lengths, sweeps, processes, make test, parity"] = "--quick"
    return bench_report.document(
        turns,
        config=config.to_dict(),
        examples=len(dataset.train),
        what=bench.what,
        left_out=bench.left_out,
        device=describe(jax_device),
        machine=machine(),
        versions=versions(),
        others={"cores": cores, "of": os.cpu_count(), "limit": limit()},
        command=options.command_line(),
        **sections,
    )


def _show(document: dict[str, Any], to: "Console") -> None:
    from mnist_fn.shared.bench.report import goal_lines, table

    for line in (*table(document), "", *goal_lines(document)):
        to.print(line, soft_wrap=True, markup=False)
    for name, reason in document["left_out"].items():
        to.print(f"left out: {name} ({reason})", soft_wrap=True)
