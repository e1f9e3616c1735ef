"""Same accuracy, or not: paired tests over seeds, of two backends, two precisions or two devices.

Equivalence is shown by two one-sided tests, not by failing to find a difference.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mnist_fn.shared import source
from mnist_fn.shared.parity.bounds import ACCURACY_MARGIN
from mnist_fn.shared.runs.environment import versions
from mnist_fn.shared.runs.header import Header
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.statistics import ALPHA, mcnemar, mean, standard_deviation, tost

# What the bits of a run don't depend on: other backends' packages, and what has no arithmetic.
_OF_BACKENDS = {"jax": {"jax", "jaxlib", "flax", "optax"}, "torch": {"torch"}}
_WITHOUT_ARITHMETIC = {"python", "mnist-fn", source.EVERYTHING}


def unlike_present(header: Header, present: Mapping[str, str] | None = None) -> list[str]:
    """Return how the code and packages that computed a run differ from those in use now.

    Each is a line such as `jax 0.10.1 then, 0.12.0 now`. A run that did not record its source is
    not known to be of the present one, so it differs.

    Args:
        header: the run's.
        present: as `versions` gives them; None takes those in use.
    """
    present = versions() if present is None else present
    lines: dict[str, None] = {}  # in order, each once
    for segment in header.filled_segments():
        foreign = set()
        for backend, packages in _OF_BACKENDS.items():
            if backend != segment["backend"]:
                foreign |= packages
        for name in sorted(set(present) - foreign - _WITHOUT_ARITHMETIC):
            recorded = segment["versions"].get(name, "not recorded")
            if recorded != present[name]:
                lines[f"{name} {recorded} then, {present[name]} now"] = None
    return list(lines)


def versions_of(headers: Iterable[Header]) -> dict[str, str]:
    """Return the versions that computed some runs; where they differ, all with commas between."""
    values: dict[str, set[str]] = {}
    for header in headers:
        for segment in header.filled_segments():
            for name, version in segment["versions"].items():
                values.setdefault(name, set()).add(version)
    return {name: ", ".join(sorted(several)) for name, several in values.items()}


@dataclass(frozen=True)
class Disagreement:
    """Paired predictions of two classifiers on one test set."""

    left_only: int  # examples that only the left has right
    right_only: int
    p: float  # McNemar's exact test
    churn: float  # share of examples predicted differently, right or wrong


def disagreement(left: np.ndarray, right: np.ndarray, labels: np.ndarray) -> Disagreement:
    """Compare predictions, int [n] each, by McNemar's exact test and by churn."""
    left_only = int(((left == labels) & (right != labels)).sum())
    right_only = int(((left != labels) & (right == labels)).sum())
    p = mcnemar(left_only, right_only)
    return Disagreement(left_only, right_only, p, float((left != right).mean()))


def compare_runs(
    left: Sequence[Run], right: Sequence[Run], labels: np.ndarray, margin: float = ACCURACY_MARGIN
) -> dict[str, Any]:
    """Compare two sides' runs in pairs: the same experiment and seed on two backends, in two
    precisions or on two devices.

    The test accuracy after the last epoch is compared in percentage points. The scale of churn
    and of McNemar's test is that between neighbouring seeds of one side.
    """
    sides = dict(zip(_names(left[0], right[0]), (left, right), strict=True))
    accuracy, significant, churn, values = {}, {}, {}, []
    for name, runs in sides.items():
        values.append(np.array([100 * run.evaluation.accuracy for run in runs]))
        accuracy[name] = {
            "mean": mean(values[-1]),
            "sd": standard_deviation(values[-1]),
            "values": [round(float(value), 2) for value in values[-1]],
        }
        _, significant[name], churn[name] = _disagreements(itertools.pairwise(runs), labels)
    pairs, several, mean_churn = _disagreements(zip(left, right, strict=True), labels)
    first, second = values
    return {
        "unit": "percentage points",
        "alpha": ALPHA,
        "seeds": [run.config.seed for run in left],
        "accuracy": accuracy,
        "tost": asdict(tost(first - second, margin)),
        "mcnemar": {
            "significant": several,
            "expected_by_chance": ALPHA * len(pairs),
            "between_seeds": significant,
            "pairs": list(map(asdict, pairs)),
        },
        "churn": {
            "between_sides": mean_churn,
            "between_seeds": churn,
        },
    }


def table(results: Iterable[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Return head and rows that say how each experiment's comparison by `compare_runs` came out."""
    rows: list[list[str]] = []
    for result in results:
        test = result["tost"]
        low, high = test["interval"]
        rows.append(
            [
                f"{result['model']}, {result['optimizer']}",
                str(test["n"]),
                f"{test['mean']:+.3f}",
                f"{low:+.3f} to {high:+.3f}",
                f"{test['sd']:.3f}",
                f"{test['margin']:.2f}",
                f"{test['power']:.2f}",
                str(test.get("pairs_needed", "")),  # files of before lack it
                test["verdict"],
            ]
        )
    figures = ["n", "difference", "90 % interval", "sd", "margin", "power", "seeds needed"]
    return ["model", *figures, "verdict"], rows


def _disagreements(
    pairs: Iterable[tuple[Run, Run]], labels: np.ndarray
) -> tuple[list[Disagreement], int, float]:
    """Compare each pair of runs; count the significant ones and take the mean of the churn."""
    compared = []
    for left, right in pairs:
        predictions = left.evaluation.predictions, right.evaluation.predictions
        compared.append(disagreement(*predictions, labels))
    significant = sum(pair.p < ALPHA for pair in compared)
    return compared, significant, float(np.mean([pair.churn for pair in compared]))


def _names(left: Run, right: Run) -> tuple[str, str]:
    """What tells the sides apart: the backends, else the precisions, else the devices."""
    for a, b in (
        (left.backend, right.backend),
        (left.config.precision, right.config.precision),
        (left.device, right.device),
    ):
        if a != b:
            return a, b
    return "left", "right"
