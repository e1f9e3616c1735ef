"""A study's runs, each trained once: a shorter run is the beginning of a longer one."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from mnist_fn.shared.config import Config
from mnist_fn.shared.runs.callbacks import Callbacks
from mnist_fn.shared.runs.store import RunStore, is_beginning
from mnist_fn.shared.sweeps.request import SweepRequest
from mnist_fn.shared.sweeps.runner import TrainResult, train_runs
from mnist_fn.shared.sweeps.workers import WorkerPool


def choose_runs(needs: Mapping[Config, bool], store: RunStore, backend: str) -> list[Config]:
    """The runs to have in the store's folder, the shortest first.

    A run of which only the curves are read is left to a longer one that exists already; its
    weights and evaluation can't be had from that.

    Args:
        needs: each run, and whether its end is read, as `study.needed` says.
        store: of the folder.
        backend: that computes the runs.

    Raises:
        InputError: as `RunStore.assign_folders`.
    """
    paths = store.assign_folders(needs, backend)
    finished = store.finished_here(backend)
    present = set(store.paths)
    existing = [*finished, *(config for config in needs if paths[config] in present)]
    chosen: dict[Config, None] = {}
    for config, at_end in needs.items():
        longer = [run for run in existing if is_beginning(config, run)]
        if longer and not at_end and config not in finished:
            config = min(longer, key=lambda run: run.epochs)
        chosen[config] = None
    return sorted(chosen, key=lambda config: config.epochs)


def train_chain(
    request: SweepRequest, callbacks: Callbacks, store: RunStore, pool: WorkerPool | None = None
) -> Iterator[TrainResult]:
    """Train what is missing and yield every run, the shortest first.

    Args:
        request: its configs are what `choose_runs` chose.
        callbacks, store, pool: as for `runner.train_runs`, whose errors these are.
    """
    for epochs in sorted({config.epochs for config in request.configs}):
        stage = [config for config in request.configs if config.epochs == epochs]
        finished = store.finished_here(request.backend)
        for config in stage:
            path = store.folder_of(config, request.backend)
            shorter = [run for run in finished if is_beginning(run, config)]
            if shorter and store.header_at(path) is None:
                longest = max(shorter, key=lambda run: run.epochs)
                store.extend(finished[longest], config, path)
        yield from train_runs(replace(request, configs=tuple(stage)), callbacks, store, pool)
