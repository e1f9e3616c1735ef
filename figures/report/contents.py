"""What a page is made of: the finished runs in some folders, and the documents beside them."""

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_fn.shared.errors import InputError, in_shell
from mnist_fn.shared.pictures.preparation import SIDE
from mnist_fn.shared.runs.folder import RunFolder
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.runs.store import RunStore
from mnist_fn.shared.storage import read_sealed
from mnist_fn.shared.study.report import current

DOCUMENTS = ("study", "parity", "bench")  # KIND.json or KIND-*.json, by `mnist-fn KIND`
MAX_IN_FULL = 5  # runs: each adds its network and its test digits, about 2 MB


@dataclass(frozen=True)
class Contents:
    """Runs and documents of some folders."""

    folders: list[Path]
    runs: list[Run]  # in the order of the folders, without their weights
    in_full: list[Run]  # with their weights; the page opens with the first
    linear: dict[str, Run]  # the best linear run of each dataset, for its templates
    skipped: list[str]  # why a run in a folder of runs is not shown, a line each
    documents: dict[str, dict[Path, dict[str, Any]]]  # of each kind in DOCUMENTS, by file


def read_contents(paths: Sequence[Path]) -> Contents:
    """Read runs and documents.

    Args:
        paths: each a run's folder, or one with runs in it.

    Raises:
        InputError: no such folder, no finished run in any; a run that was named is not finished
            or damaged; a document is damaged.
    """
    runs: dict[Path, Run] = {}
    skipped: list[str] = []
    for path in paths:
        store = RunStore(path, must_exist=True)
        for folder in store.paths:
            try:
                run = store.load(folder)
            except InputError as error:
                if folder == path:
                    raise
                skipped.append(in_shell(error))
                continue
            runs[folder.resolve()] = run.without_weights()
    if not runs:
        raise InputError(
            f"{paths[0]}: no finished run in it; make one with mnist-fn train or mnist-fn study"
        )
    all_runs = list(runs.values())
    in_full = [RunFolder.of(run).load_finished() for run in _choose(all_runs)]
    linear_runs = [run for run in all_runs if run.config.hidden == ()]
    linear = _best(linear_runs, lambda run: run.config.dataset)
    for name, run in linear.items():
        linear[name] = RunFolder.of(run).load_finished()
    return Contents(list(paths), all_runs, in_full, linear, skipped, _documents(paths))


def _choose(runs: Sequence[Run]) -> list[Run]:
    """The runs to show in full: all if they are few, else the best seed of each recipe.

    Accuracies on two datasets don't compare, so the page opens with the best run of one dataset:
    of 28 × 28 pixels if there is one, then of the most runs, then the first. Every dataset has a
    place for its best run.
    """
    count = Counter(run.config.dataset for run in runs)
    like_mnist: set[str] = set()
    for run in runs:
        if run.header.input_dim == SIDE**2:
            like_mnist.add(run.config.dataset)
    datasets = sorted(count, key=lambda name: (name in like_mnist, count[name]), reverse=True)
    candidates = list(runs)
    if len(runs) > MAX_IN_FULL:
        recipes = _best(runs, lambda run: (run.backend, run.config.replace(seed=0)))
        candidates = list(recipes.values())
    candidates.sort(key=lambda run: (datasets.index(run.config.dataset), -_accuracy(run)))
    firsts: dict[str, Run] = {}
    for run in candidates:
        firsts.setdefault(run.config.dataset, run)
    paths = [run.path for run in (*firsts.values(), *candidates)]
    chosen = list(dict.fromkeys(paths))[:MAX_IN_FULL]
    return [run for run in candidates if run.path in chosen]


def _best(runs: Sequence[Run], kind_of: Callable[[Run], Any]) -> dict[Any, Run]:
    """Of each kind the run of the highest test accuracy, the first of equal ones."""
    best: dict[Any, Run] = {}
    for run in runs:
        kind = kind_of(run)
        if kind not in best or _accuracy(best[kind]) < _accuracy(run):
            best[kind] = run
    return best


def _accuracy(run: Run) -> float:
    return run.final["test_accuracy"]


def _documents(paths: Sequence[Path]) -> dict[str, dict[Path, dict[str, Any]]]:
    documents: dict[str, dict[Path, dict[str, Any]]] = {kind: {} for kind in DOCUMENTS}
    for kind, path in itertools.product(DOCUMENTS, paths):
        for file in sorted(path.glob(f"{kind}*.json")):
            try:
                document = read_sealed(file, schema=None)
            except InputError as error:
                hint = "make it again, or take it out of the folder"
                raise InputError(error.what, hint=hint) from error
            # as versions before wrote it, too
            documents[kind][file] = current(document) if kind == "study" else document
    return documents
