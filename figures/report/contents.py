"""What a page is made of: the finished runs in some folders, and the documents beside them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_fn.shared.config import Config
from mnist_fn.shared.errors import InputError, in_shell
from mnist_fn.shared.pictures.preparation import SIDE
from mnist_fn.shared.runs.folder import RunFolder
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.runs.store import RunStore
from mnist_fn.shared.storage import read_sealed
from mnist_fn.shared.study.report import current

DOCUMENTS = ("study", "parity", "bench")  # KIND.json or KIND-*.json, by `mnist-fn KIND`
MAX_IN_FULL = 5  # runs: each adds its network and its test digits, about 2 MB

Recipe = tuple[str, Config]  # backend and config, its seed set to 0


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
        store = _store(path)
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
    in_full = [_with_weights(run) for run in _choose(all_runs)]
    return Contents(
        list(paths), all_runs, in_full, _linear_runs(all_runs), skipped, _documents(paths)
    )


def _choose(runs: Sequence[Run]) -> list[Run]:
    """The runs to show in full: all if they are few, else the best seed of each recipe.

    Accuracies on two datasets don't compare, so the page opens with the best run of one dataset:
    of 28 × 28 pixels if there is one, then of the most runs, then the first. Every dataset has a
    place for its best run.
    """
    count = Counter(run.config.dataset for run in runs)
    datasets = sorted(count, key=lambda name: _dataset_rank(name, runs, count), reverse=True)
    candidates = list(runs) if len(runs) <= MAX_IN_FULL else _best_seeds(runs)
    candidates.sort(key=lambda run: (datasets.index(run.config.dataset), -_accuracy(run)))
    firsts = [next(run for run in candidates if run.config.dataset == name) for name in datasets]
    chosen = list({run.path: run for run in [*firsts, *candidates]})[:MAX_IN_FULL]
    return [run for run in candidates if run.path in chosen]


def _best_seeds(runs: Sequence[Run]) -> list[Run]:
    """Of each recipe the run of the highest test accuracy."""
    best: dict[Recipe, Run] = {}
    for run in runs:
        recipe = (run.backend, run.config.replace(seed=0))
        if recipe not in best or _accuracy(best[recipe]) < _accuracy(run):
            best[recipe] = run
    return list(best.values())


def _dataset_rank(name: str, runs: Sequence[Run], count: Counter[str]) -> tuple[bool, int]:
    like_mnist = any(run.config.dataset == name and _is_like_mnist(run) for run in runs)
    return like_mnist, count[name]


def _is_like_mnist(run: Run) -> bool:
    assert run.path is not None  # noqa: S101 - it was read from there
    return RunFolder(run.path).read_header().input_dim == SIDE**2


def _accuracy(run: Run) -> float:
    return run.final["test_accuracy"]


def _linear_runs(runs: Sequence[Run]) -> dict[str, Run]:
    """The most accurate linear run of each dataset, with its weights."""
    best: dict[str, Run] = {}
    for run in runs:
        name = run.config.dataset
        if run.config.hidden == () and (name not in best or _accuracy(best[name]) < _accuracy(run)):
            best[name] = run
    return {name: _with_weights(run) for name, run in best.items()}


def _with_weights(run: Run) -> Run:
    assert run.path is not None  # noqa: S101 - it was read from there
    return RunFolder(run.path).load_finished()


def _store(path: Path) -> RunStore:
    if not path.is_dir():
        raise InputError(f"{path}: no such folder; give a run's, or one with runs in it")
    return RunStore(path)


def _documents(paths: Sequence[Path]) -> dict[str, dict[Path, dict[str, Any]]]:
    documents: dict[str, dict[Path, dict[str, Any]]] = {}
    for kind in DOCUMENTS:
        files = [file for path in paths for file in sorted(path.glob(f"{kind}*.json"))]
        documents[kind] = {file: _read(file) for file in dict.fromkeys(files)}
    # as versions before wrote it, too
    documents["study"] = {file: current(study) for file, study in documents["study"].items()}
    return documents


def _read(file: Path) -> dict[str, Any]:
    try:
        return read_sealed(file, schema=None)
    except InputError as error:
        raise InputError(error.what, hint="make it again, or take it out of the folder") from error
