"""Horizons measured by workers, one experiment each."""

from dataclasses import replace
from typing import Any

from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.parity import horizon
from mnist_fn.shared.parity.levels import Plan
from mnist_fn.shared.runs.callbacks import Callbacks, RunEnded
from mnist_fn.shared.sweeps.workers import TaskLost, WorkerPool


def measure_task(dataset: Dataset, task: tuple[Plan, Config]) -> dict[str, Any]:
    """Measure one horizon. A worker's function, see `WorkerPool.run`."""
    plan, config = task
    return horizon.measure(plan.pair(config, dataset), config.epochs)


def horizons(plan: Plan, pool: WorkerPool, callbacks: Callbacks) -> list[dict[str, Any]]:
    """Each experiment's name and its horizon, in the plan's order.

    Raises:
        InputError: a worker was lost again and again; and as `WorkerPool.run`.
    """
    plan = replace(plan, devices=(pool.device, pool.device))
    experiments = list(plan.horizons())
    tasks = ((index, (plan, config)) for index, (_, config) in enumerate(experiments))
    measured: dict[int, dict[str, Any]] = {}  # in the order of their ends
    for index, result in pool.run(measure_task, tasks, callbacks):
        name, _ = experiments[index]
        if isinstance(result, TaskLost):
            words = ", ".join(name.values())
            raise InputError(f"the horizon of {words}: its workers were lost ({result.reason})")
        callbacks.on_event(RunEnded(None))
        measured[index] = {**name, **result}
    return [measured[index] for index in sorted(measured)]
