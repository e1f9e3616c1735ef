"""Two backends compared from Python, as `mnist-fn parity` does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mnist_fn.shared import backend as backends
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset, load
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.parity import levels
from mnist_fn.shared.parity.backends import report
from mnist_fn.shared.parity.levels import Plan
from mnist_fn.shared.parity.result import Rung
from mnist_fn.shared.runs.environment import machine, versions

LADDERS = ("quick", "full")


@dataclass(frozen=True)
class BackendsVerdict:
    """The ladders between two backends: what they found, and in which experiments."""

    plan: Plan
    document: dict[str, Any]  # what `mnist-fn parity --json` prints

    @property
    def passed(self) -> bool:
        """Whether every ladder holds."""
        return self.document["passed"]

    @property
    def text(self) -> str:
        """Causes, figures of what differs, and the verdict."""
        return "\n".join(text for text, _ in report.lines(self.plan, self.document["ladders"]))

    def assert_passed(self) -> None:
        """Raise AssertionError with the verdict as its text, unless it passed."""
        if not self.passed:
            raise AssertionError(self.text)


def check_backends(
    left: str = "jax",
    right: str = "torch",
    *,
    level: str = "quick",
    models: Sequence[str] | None = None,
    optimizers: Sequence[str] | None = None,
    precisions: Sequence[str] | None = None,
    dataset: str = "mnist",
    data_dir: Path | str | None = None,
    devices: Sequence[str] = ("auto",),
    on_ladder: Callable[[dict[str, str]], None] = lambda _: None,
    on_rung: Callable[[Rung], None] = lambda _: None,
) -> BackendsVerdict:
    """Climb the ladder with two backends, once for each experiment.

    Args:
        left, right: names of installed backends.
        level: "quick", with 300 steps, or "full": 3,000 steps, Adam without λ and AdamW too.
        models: of "linear", "shallow", "deep"; None is all.
        optimizers: of "adam", "adam+l2", "adamw"; None is the level's own.
        precisions: of "float64", "float32"; None is both.
        dataset: its name.
        data_dir: folder with the dataset's files; None searches the usual places.
        devices: one for both backends, or two.
        on_ladder: called with the name of each experiment, by axis.
        on_rung: called with each rung.

    Raises:
        InputError: an unknown name, bad data, a precision or device that a backend lacks.
    """
    if level not in LADDERS:
        raise InputError("level", level, tuple(LADDERS))
    choices = {"models": models, "optimizers": optimizers, "precisions": precisions}
    plan = levels.make_plan(level, (left, right), devices, dataset=dataset, **choices)
    data = load(dataset, None if data_dir is None else Path(data_dir))
    names = devices_of(plan, data)
    ladders = levels.climb_all(plan, data, on_ladder, on_rung)
    passed = all(ladder["passed"] for ladder in ladders)
    return BackendsVerdict(plan, document_of(plan, data, names, "ladders", ladders, passed))


def document_of(
    plan: Plan,
    dataset: Dataset,
    devices: list[str],
    kind: str,
    results: list[dict[str, Any]],
    passed: bool,
    **facts: Any,
) -> dict[str, Any]:
    """Collect all that was measured; `facts` replace this machine and its versions, or add."""
    return {
        "schema": levels.SCHEMA,
        "level": plan.level,
        "passed": passed,
        "backends": list(plan.names),
        "devices": devices,
        "dataset": plan.dataset,
        "dataset_sha256": dataset.sha256,
        "machine": machine(),
        "versions": versions(),
        **facts,
        kind: results,
    }


def devices_of(plan: Plan, dataset: Dataset) -> list[str]:
    """What each backend computes on, in words; asked of the smallest one that can be made.

    Raises:
        InputError: one can't be made.
    """
    small = replace(dataset, train=dataset.train.first(1), test=dataset.test.first(1))
    precisions = (plan.precisions[0], plan.precisions[-1])
    names = []
    for name, device, precision in zip(plan.names, plan.devices, precisions, strict=True):
        config = Config(dataset=plan.dataset, hidden=(), precision=precision, batch_size=1)
        make = backends.find(name)
        try:
            names.append(make(config, small, device).device)
        except InputError:
            raise
        except Exception as error:
            text = f"{type(error).__name__}: {str(error)[:120]}"
            raise InputError(f"backend {name}: can't be made ({text})") from error
    return names
