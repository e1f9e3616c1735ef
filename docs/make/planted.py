"""How many planted mistakes the study's verdicts notice: the table on docs/study.md.

`evidence_planted.py` trains the mistakes. Each mistaken study takes the place of the published one:
its numbers, printed with as many digits, are judged by the same rules against our own seeds.
"""

import json
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pages import EVIDENCE

from mnist_fn.shared.config import Config
from mnist_fn.shared.evaluation import Evaluation
from mnist_fn.shared.runs.header import Header
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.runs.store import Records
from mnist_fn.shared.state import StateTree
from mnist_fn.shared.study import joint, judging
from mnist_fn.shared.study.experiments import L2, SHALLOW
from mnist_fn.shared.study.published import PublishedNumber
from mnist_fn.shared.wording import counted

FILE = EVIDENCE / "planted.json"
ALPHA = 0.05
WRONG_EPOCH = "test set evaluated in the wrong epoch"
HELD_OUT = 5  # of our seeds, to be evaluated in the wrong epoch
BEFORE_TRAINING = {"test_loss": math.log(10), "test_accuracy": 0.1}


@dataclass(frozen=True)
class Judged:
    """What the study's verdicts say of runs in place of the published ones."""

    p: float | None  # of the joint verdict; None: there are too few seeds of ours
    outside: int  # single numbers outside of our interval
    numbers: int

    @property
    def noticed(self) -> bool:
        """Whether the joint verdict notices that they are none of ours."""
        return self.p is not None and self.p < ALPHA


@dataclass(frozen=True)
class JudgedMistake(Judged):
    """A mistake, what was trained of it, and what noticed it."""

    mistake: str
    trained: str


def judged_mistakes(numbers: list[PublishedNumber], ours: Records) -> list[JudgedMistake]:
    """Judge each mistake against our runs."""
    document = json.loads(FILE.read_text())
    mistakes: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for run in document["runs"].values():
        mistakes.setdefault(run["mistake"], {}).setdefault(run["experiment"], []).append(run)
    judged = []
    for mistake, experiments in mistakes.items():
        trained = [f"{name}: {counted(len(runs), 'run')}" for name, runs in experiments.items()]
        mistaken: list[PublishedNumber] = []
        for name, runs in experiments.items():
            mistaken += as_published(numbers, name, Records(map(run_of, runs)))
        verdicts = vars(judge(mistaken, ours))
        judged.append(JudgedMistake(**verdicts, mistake=mistake, trained=", ".join(trained)))
    verdicts, trained = vars(wrong_epoch(numbers, ours)), "none: our own runs, rows moved"
    return [*judged, JudgedMistake(**verdicts, mistake=WRONG_EPOCH, trained=trained)]


def missing(names: list[str]) -> list[str]:
    """Mistakes of which nothing is trained yet."""
    document = json.loads(FILE.read_text())
    trained = {run["mistake"] for run in document["runs"].values()}
    return [name for name in names if name not in trained]


def wrong_epoch(numbers: list[PublishedNumber], ours: Records) -> Judged:
    """Judge runs of ours, held out, that would have been evaluated before an epoch, not after.

    They are the last seeds of which the shallow model was trained with each λ.
    """
    curves = [number for number in numbers if number.experiment in ("selection", "l2")]
    seeds = set(ours.seeds)
    trained = [run.config for run in ours.runs.values() if run.config.hidden == SHALLOW]
    for l2 in L2:
        seeds &= {config.seed for config in trained if config.l2 == l2}
    last = sorted(seeds)[-HELD_OUT:]
    moved, kept = Records(), Records()
    for run in ours.runs.values():
        if run.config.seed in last and run.rows and "test_loss" in run.rows[0]:
            moved.add(replace(run, rows=[BEFORE_TRAINING | {"epoch": 1}, *_later(run.rows)]))
        else:
            kept.add(run)
    mistaken = [
        number
        for name in ("selection", "l2")
        for number in as_published(curves, name, moved)
    ]  # fmt: skip
    return judge(mistaken, kept)


def false_alarms(numbers: list[PublishedNumber], ours: Records) -> tuple[int, int, int]:
    """How often the joint verdict notices runs of ours that have no mistake.

    Two seeds that follow one another are held out, and their runs of the shallow model are judged
    against the others, as most of the mistakes are: of the first *chosen*, of the next *selection*.
    They are of two seeds because the study trained these runs separately.

    Returns:
        (how many are noticed, how many are judged, numbers of each)
    """
    alarms, judged, size = 0, 0, 0
    seeds = ours.seeds
    for seed, next_seed in zip(seeds, [*seeds[1:], *seeds[:1]], strict=True):
        experiment_of = {seed: "chosen", next_seed: "selection"}
        held, kept = {"chosen": Records(), "selection": Records()}, Records()
        for run in ours.runs.values():
            config = run.config
            if config.hidden != SHALLOW or config.l2 or config.validation:
                kept.add(run)
            elif config.seed in experiment_of:
                held[experiment_of[config.seed]].add(run)
            else:
                kept.add(run)
        printed = []
        for name, records in held.items():
            printed += as_published(numbers, name, records)
        size = max(size, len(printed))
        if len(printed) == size:
            judged += 1
            alarms += judge(printed, kept).noticed
    return alarms, judged, size


def _later(rows: list[Any]) -> list[Any]:
    return [{**row, "epoch": row["epoch"] + 1} for row in rows[:-1]]


def judge(mistaken: list[PublishedNumber], ours: Records) -> Judged:
    """Judge numbers in place of the published ones against our runs."""
    whole = joint.judge_jointly(mistaken, ours).get(joint.WHOLE_STUDY)
    singles = [judging.judge(number, ours).verdict for number in mistaken]
    return Judged(None if whole is None else whole.p, singles.count("outside"), len(singles))


def as_published(
    numbers: list[PublishedNumber], experiment: str, mistaken: Records
) -> list[PublishedNumber]:
    """Return the numbers that would have been published of mistaken runs, as far as there are."""
    printed = []
    runs: dict[Config, list[str]] = {}  # each published run's name, in order
    for number in numbers:
        if number.experiment != experiment or number.statistic != "run":
            continue
        names = runs.setdefault(number.config, [])
        if number.run not in names:
            names.append(number.run)
        seeds = [seed for seed in mistaken.seeds if number.of_seed(mistaken, seed) is not None]
        index = names.index(number.run)
        if index < len(seeds):
            printed.append(_printed(number, numbers, mistaken, seeds[index]))
    return printed


def _printed(
    number: PublishedNumber, numbers: list[PublishedNumber], runs: Records, seed: int
) -> PublishedNumber:
    if number.confusion:
        named = [one for one in numbers if one.experiment == number.experiment and one.confusion]
        own = joint.with_own_confusions(named, seed, runs)
        number = replace(own[named.index(number)], what=f"{number.what}, or as large")
    value = number.of_seed(runs, seed)
    assert value is not None
    digits = len(number.printed.partition(".")[2])
    return replace(number, printed=f"{value - number.counted_from:.{digits}f}")


def run_of(entry: dict[str, Any]) -> Run:
    """A trained mistake as a run of the config that it stands for."""
    asked = entry["config"]
    config = Config(hidden=tuple(asked["hidden"]), l2=asked["l2"], epochs=asked["epochs"],
                    seed=asked["seed"])  # fmt: skip
    rows = [
        {"epoch": epoch, "test_loss": loss, "test_accuracy": accuracy}
        for epoch, (loss, accuracy) in enumerate(
            zip(entry["test_loss"], entry["test_accuracy"], strict=True), start=1
        )
    ]
    matrix = np.array(entry["confusion_matrix"], dtype=np.int64)
    evaluation = Evaluation(rows[-1]["test_loss"], np.zeros(0, np.uint8), matrix)
    nothing = StateTree({}, {}, 0)
    return Run(Header(config, backend="jax", status="finished"), rows, nothing, evaluation)
