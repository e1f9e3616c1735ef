"""What `mnist-fn parity` runs and shows at each level."""

import itertools
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from cli import options
from cli.console import answer, console, new_table, print_table
from cli.training import followed
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset, load
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.parity import handed, horizon, levels
from mnist_fn.shared.parity.backends import report
from mnist_fn.shared.parity.backends.check import devices_of, document_of
from mnist_fn.shared.parity.bounds import ACCURACY_MARGIN
from mnist_fn.shared.parity.ladder import BACKEND_RUNGS
from mnist_fn.shared.parity.levels import STATISTICS_EPOCHS, Plan
from mnist_fn.shared.parity.result import Rung
from mnist_fn.shared.parity.statistics import (
    compare_runs,
    unlike_present,
    versions_of,
)
from mnist_fn.shared.parity.statistics import table as statistics_table
from mnist_fn.shared.runs.header import Header
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.runs.store import RunStore
from mnist_fn.shared.sweeps.request import SweepRequest, Workers
from mnist_fn.shared.sweeps.runner import start_workers, train_runs

# how a line of a report stands out
STYLES = {"": "", "strong": "bold", "weak": "dim", "good": "bold green", "bad": "bold red"}


def workers_for(plan: Plan, workers: Workers | None) -> Workers | None:
    """The workers for a level; InputError if it has nothing to give to them."""
    if workers is not None and plan.level not in ("statistics", "horizon"):
        raise InputError(
            (workers.option, f": for --level statistics and horizon, not {plan.level}")
        )
    if workers is not None and plan.level == "horizon" and len(set(plan.devices)) > 1:
        raise InputError((workers.option, ": a horizon's worker has one --device for both sides"))
    return workers


def prove(
    plan: Plan,
    data_dir: Path | None,
    out: Path | None,
    seeds: int,
    seed: int = 0,
    workers: Workers | None = None,
    to: Console | None = None,
    margin: float = ACCURACY_MARGIN,
    reuse: bool = False,
    verbose: bool = False,
) -> dict[str, Any]:
    """Run a level and show it; the document of all that was measured.

    The arguments are those of `mnist-fn parity`; `to` is where the result is shown, None is stdout.

    Raises:
        InputError: bad data or device, a precision that a backend lacks.
    """
    if not 2 <= seeds <= 1000:
        raise InputError(f"--seeds {seeds}: must be between 2 and 1000")
    if not 0 < margin < 100:  # NaN is refused, too
        raise InputError(f"--margin {margin:g}: must be above 0 and below 100 percentage points")
    to = to or answer()
    dataset = load(plan.dataset, data_dir)
    devices = devices_of(plan, dataset)
    made_with: dict[str, Any] = {}
    if plan.level == "statistics":
        sides = _trained_sides(
            plan, data_dir, out or Path("runs"), range(seed, seed + seeds), workers, reuse
        )
        results = _statistics(plan, sides, dataset, margin)
        made_with = _made_with(sides)
        _show_statistics(results, to)
        passed = all(result["tost"]["verdict"] == "equivalent" for result in results)
    elif plan.level == "horizon":
        results = _horizons(plan, dataset) if workers is None else _handed(plan, data_dir, workers)
        _show_horizons(results, to)
        passed = all(result["claims"][0]["holds"] for result in results)  # the first is judged
    else:
        results = _climb(plan, dataset, to, verbose)
        passed = all(ladder["passed"] for ladder in results)
        for text, weight in report.lines(plan, results):
            to.print(text, style=STYLES[weight], soft_wrap=True, markup=False)
    kind = plan.level if plan.level in ("statistics", "horizon") else "ladders"
    command = options.command_line()
    return document_of(plan, dataset, devices, kind, results, passed, **made_with, command=command)


def output(out: Path, level: str) -> Path:
    """The document's file in a folder."""
    return out / f"parity-{level}.json"


def _climb(plan: Plan, dataset: Dataset, to: Console, verbose: bool) -> list[dict[str, Any]]:
    """The document of each ladder; rungs are shown as they end, on a terminal the next one too."""
    with console.status("") as status:

        def show_next(text: str) -> None:
            status.update(text)
            status.start()

        def on_ladder(name: dict[str, str]) -> None:
            status.stop()
            _show_name(to, *name.values())
            show_next(BACKEND_RUNGS[0])

        def on_rung(rung: Rung) -> None:
            status.stop()
            _show_rung(to, rung, verbose)
            if not rung.passed:
                show_next("looking for the cause")
            elif rung.name != BACKEND_RUNGS[-1]:
                show_next(BACKEND_RUNGS[BACKEND_RUNGS.index(rung.name) + 1])

        return levels.climb_all(plan, dataset, on_ladder, on_rung)


def _show_name(to: Console, *parts: str) -> None:
    to.print(Text("\n" + ", ".join(parts), style="bold"))


def _show_rung(to: Console, rung: Rung, verbose: bool = False) -> None:
    """A row for a rung; below it the bound's reason if wanted, or if it fails."""
    worst = rung.worst
    d = worst.difference
    mark = ("ok  ", "green") if rung.passed else ("FAIL", "bold red")
    judged = f"{_figure(getattr(d, worst.measure))} {worst.measure}"
    bound = f"bound {_figure(worst.tolerance)}"
    name = f"{rung.name:{max(map(len, BACKEND_RUNGS))}}"
    to.print(Text.assemble(mark, f" {name} {judged:16} {bound:13} {worst.what}"))
    indented = (0, 0, 0, 5)
    if not rung.passed:
        every = f"{d.absolute:.1e} absolute, {d.relative:.1e} relative, {d.ulps:.3g} ulps"
        to.print(Padding(Text(every), indented))
    if verbose or not rung.passed:
        to.print(Padding(Text(worst.reason, style="dim"), indented))


def _figure(value: float) -> str:
    """A difference, or how many there are of what is counted."""
    counted = float(value).is_integer() and value < 1e6
    return f"{value:.0f}" if counted else f"{value:.1e}"


def _horizons(plan: Plan, dataset: Dataset) -> list[dict[str, Any]]:
    results = []
    for name, config in plan.horizons():

        def on_epoch(epoch: int, name: dict[str, str] = name, count: int = config.epochs) -> None:
            if epoch == 1:
                _show_name(console, *name.values())
            if epoch % 10 == 0 or epoch == count:
                console.print(f"epoch {epoch}/{count}", style="dim")

        measured = horizon.measure(plan.pair(config, dataset), config.epochs, on_epoch)
        results.append({**name, **measured})
    return results


def _handed(plan: Plan, data_dir: Path | None, workers: Workers) -> list[dict[str, Any]]:
    """The same by workers."""
    _, configs = zip(*plan.horizons(), strict=True)
    request = SweepRequest(configs, device=plan.devices[0], data_dir=data_dir, workers=workers)
    then = "the same command begins these again"
    with (
        followed() as callbacks,
        start_workers(request, len(configs), callbacks, then) as (counting, pool),
    ):
        return handed.horizons(plan, pool(), counting)


def _show_horizons(results: list[dict[str, Any]], to: Console) -> None:
    for row in results:
        _show_name(to, row["model"], row["optimizer"], row["precision"])
        head, pairs = horizon.table(row)
        table = new_table(*head, flush_left=head[:1])
        for pair in pairs:
            table.add_row(*pair)
        to.print(table)
        for text in horizon.claims_in_words(row):
            to.print(text)


def _trained_sides(
    plan: Plan,
    data_dir: Path | None,
    out: Path,
    seeds: range,
    workers: Workers | None,
    reuse: bool,
) -> list[list[Run]]:
    """Each side's runs, all seeds of the plan's first experiment, then of the next.

    Raises:
        InputError: a run was computed by other code or versions than the present, and `reuse` does
            not take it.
    """
    sides = []
    for name, device, precision in zip(
        plan.names, plan.devices, (plan.precisions[0], plan.precisions[-1]), strict=True
    ):
        experiments = replace(plan, precisions=(precision,)).experiments(epochs=STATISTICS_EPOCHS)
        configs: list[Config] = []
        for _, config in experiments:
            configs += [config.replace(seed=seed) for seed in seeds]
        folder = out if len(set(plan.devices)) == 1 else out / device
        if not reuse:  # before any is trained for nothing
            wanted, existing = set(configs), []
            for path, header in RunStore(folder):
                if header.config in wanted and header.backend == name:
                    existing.append((path, header))
            _check_present(existing)
        runs = _trained(configs, name, device, data_dir, folder, workers)
        if not reuse:
            _check_present((run.path, run.header) for run in runs)
        sides.append(runs)
    return sides


def _check_present(headers: Iterable[tuple[Path | None, Header]]) -> None:
    unlike: dict[Path | None, list[str]] = {}
    for path, header in headers:
        if lines := unlike_present(header):
            unlike[path] = lines
    if unlike:
        path, lines = next(iter(unlike.items()))
        raise InputError(
            f"{path}: was computed by other code or versions ({'; '.join(lines)}), "
            f"{len(unlike)} such runs: train them again in another --out, or use them with --reuse"
        )


def _made_with(sides: list[list[Run]]) -> dict[str, Any]:
    """What computed the runs, which may be another machine and other versions than the reader's."""
    headers = [run.header for run in itertools.chain(*sides)]
    machines: set[str] = set()
    for header in headers:
        machines.update(segment["machine"] for segment in header.filled_segments())
    return {"machine": "; ".join(sorted(machines)), "versions": versions_of(headers)}


def _statistics(
    plan: Plan, sides: list[list[Run]], dataset: Dataset, margin: float
) -> list[dict[str, Any]]:
    results = []
    seeds = len(sides[0]) // len(plan.models) // len(plan.optimizers)
    for i, (name, _) in enumerate(replace(plan, precisions=plan.precisions[:1]).experiments()):
        name["precision"] = " and ".join(dict.fromkeys(plan.precisions))
        left, right = sides
        of_experiment = slice(i * seeds, (i + 1) * seeds)
        compared = compare_runs(
            left[of_experiment], right[of_experiment], dataset.test.labels, margin
        )
        results.append({**name, **compared})
    return results


def _trained(
    configs: list[Config],
    name: str,
    device: str,
    data_dir: Path | None,
    out: Path,
    workers: Workers | None,
) -> list[Run]:
    """The runs of one side, without their weights."""
    request = SweepRequest(
        tuple(configs), name, device=device, data_dir=data_dir, out=out, workers=workers
    )
    runs: dict[Config, Run] = {}
    failures: list[InputError] = []
    with followed() as callbacks:
        for _, config, run in train_runs([request], callbacks):
            if isinstance(run, InputError):
                failures.append(run)
                continue
            if device != "auto" and (run.device == "cpu") != (device == "cpu"):
                raise InputError(f"{run.path}: was trained on {run.device}; choose another --out")
            runs[config] = run.without_weights()
    if failures:
        raise InputError(f"--backends {name}: {failures[0]}")
    return [runs[config] for config in configs]


def _show_statistics(results: list[dict[str, Any]], to: Console) -> None:
    head, experiments = statistics_table(results)
    table = new_table(*head, flush_left=("model", "verdict"))
    for experiment in experiments:
        table.add_row(*experiment)
    print_table(table, to)
    for row in results:
        mcnemar, churn = row["mcnemar"], row["churn"]
        n, seeds = row["tost"]["n"], mcnemar["between_seeds"]
        counts = ", ".join(f"{name} {count} of {n - 1}" for name, count in seeds.items())
        scale = ", ".join(f"{name} {share:.2%}" for name, share in churn["between_seeds"].items())
        to.print(
            f"{row['model']}: McNemar p < {row['alpha']:g} in {mcnemar['significant']} of {n} "
            f"(between seeds of one side: {counts}); churn {churn['between_sides']:.2%} ({scale})",
            soft_wrap=True,
        )
    left, right = results[0]["accuracy"]
    to.print(f"test accuracy in percentage points, {left} minus {right}", style="dim")
