"""What there is to report in some folders: finished runs, and the documents beside them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.pictures.preparation import SIDE
from mnist_fn.shared.runs.records import RunDirectory
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.runs.trainer import load_run
from mnist_fn.shared.state import layer_sizes
from mnist_fn.shared.storage import read_sealed

DOCUMENTS = ("study", "parity", "bench")  # KIND.json or KIND-*.json, by `mnist-fn KIND`


@dataclass(frozen=True)
class Found:
    """Runs and documents of some folders."""

    paths: list[Path]  # where was looked
    runs: list[Run]  # in their order; all but `main` and `linear` without their weights
    main: Run  # the one that the page shows in full
    linear: Run | None  # a linear one on the same dataset, for its templates
    passed_over: list[str]  # why a run in a folder of runs is not shown, a line each
    documents: dict[str, dict[Path, dict[str, Any]]]  # of each kind in DOCUMENTS, by file


def find(paths: Sequence[Path]) -> Found:
    """Look for runs and documents.

    Args:
        paths: each a run's folder, or one with runs in it.

    Raises:
        InputError: no such folder, no finished run in any; a run that was named is not finished
            or damaged; a document is damaged.
    """
    runs: dict[Path, Run] = {}
    passed_over: list[str] = []
    best: dict[str, Run] = {}  # of each dataset
    linear: dict[str, Run] = {}
    for path in paths:
        for folder in _folders(path):
            try:
                run = load_run(folder)
            except InputError as error:
                if folder == path:
                    raise
                passed_over.append(str(error))
                continue
            for kept in (best,) if run.config.hidden else (best, linear):
                kept[run.config.dataset] = _better(kept.get(run.config.dataset), run)
            runs[folder.resolve()] = run.without_weights()
    if not best:
        raise InputError(
            f"{paths[0]}: no finished run in it; make one with mnist-fn train or mnist-fn study"
        )
    documents, every = _documents(paths), list(runs.values())
    shown = _dataset(every, best)
    return Found(list(paths), every, best[shown], linear.get(shown), passed_over, documents)


def _dataset(runs: Sequence[Run], best: dict[str, Run]) -> str:
    """Whose best run is shown: accuracies on two datasets don't compare. One that can be drawn on
    comes first, then the one with more runs, then the one found first.
    """
    count = Counter(run.config.dataset for run in runs)

    def rank(name: str) -> tuple[bool, int]:
        return layer_sizes(best[name].weights)[0] == SIDE**2, count[name]

    return max(best, key=rank)


def _better(best: Run | None, run: Run) -> Run:
    """Which of two runs has the higher accuracy after its last epoch; the first of equals."""
    accurate = best is not None and best.final["test_accuracy"] >= run.final["test_accuracy"]
    return best if best is not None and accurate else run


def _folders(path: Path) -> list[Path]:
    if RunDirectory(path).exists():
        return [path]
    if not path.is_dir():
        raise InputError(f"{path}: no such folder; give a run's, or one with runs in it")
    return sorted(header.parent for header in path.glob("[!.]*/run.json"))


def _documents(paths: Sequence[Path]) -> dict[str, dict[Path, dict[str, Any]]]:
    found: dict[str, dict[Path, dict[str, Any]]] = {}
    for kind in DOCUMENTS:
        files = [file for path in paths for file in sorted(path.glob(f"{kind}*.json"))]
        found[kind] = {file: _read(file) for file in dict.fromkeys(files)}
    return found


def _read(file: Path) -> dict[str, Any]:
    try:
        return read_sealed(file, schema=None)
    except InputError as error:
        reason = str(error).partition("; put a good copy")[0]
        raise InputError(f"{reason}; make it anew, or take it out of the folder") from error
