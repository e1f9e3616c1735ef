"""The power of the study's verdicts: mistaken runs stand in for the published ones."""

import json
from dataclasses import replace

import evidence_planted
import jax
import numpy as np
import planted
import pytest

from mnist_fn import Config, train, training
from mnist_fn.shared.runs.store import Records
from mnist_fn.shared.study import published
from mnist_fn.shared.study.experiments import experiments
from tests.support.synthetic import study_runs

EXPERIMENTS = experiments(Config())
NUMBERS = published.numbers(EXPERIMENTS)


def test_each_mistake_is_planned_with_seeds_of_its_own():
    planned = list(evidence_planted.plan())
    names = {mistake.name for mistake, _, _ in planned}
    assert names == {mistake.name for mistake in evidence_planted.MISTAKES}
    assert len(names) + 1 == 10  # and the wrong epoch, which needs no training
    assert all(config.seed >= evidence_planted.FIRST_SEED for _, _, config in planned)
    keys = [evidence_planted.key_of(*each) for each in planned]
    assert len(set(keys)) == len(keys)
    doubled = [(name, config.model) for mistake, name, config in planned
               if mistake.name == "learning rate doubled"]  # fmt: skip
    assert doubled.count(("selection", "shallow")) == doubled.count(("selection", "deep")) == 5
    assert ("chosen", "shallow") in doubled
    halved = [config.l2 for mistake, _, config in planned if mistake.name == "λ halved"]
    assert sorted(halved) == [3e-5, 3e-4, 1e-3, 3e-3]


@pytest.fixture
def small(digits):
    return Config(dataset="digits", hidden=(8,), epochs=2, l2=1e-2, learning_rate=5e-3)


def test_without_a_mistake_the_training_is_the_studys(digits, small):
    found = evidence_planted.train(evidence_planted.Mistake("none"), small, digits)
    run = train(small, "jax")
    assert found["test_loss"] == pytest.approx(run.history["test_loss"], rel=1e-5)
    assert found["confusion_matrix"] == run.confusion_matrix.tolist()


@pytest.mark.long
@pytest.mark.parametrize("mistake", evidence_planted.MISTAKES, ids=lambda mistake: mistake.name)
def test_each_mistake_changes_the_training(digits, small, mistake):
    right = evidence_planted.train(evidence_planted.Mistake("none"), small, digits)
    penalty = training.penalty
    wrong = evidence_planted.train(mistake, small, digits)
    assert training.penalty is penalty
    away = np.abs(np.array(wrong["test_loss"]) - right["test_loss"])
    assert away.max() > 1e-4


def test_a_penalty_with_biases_is_the_sum_of_all_squares():
    params = {"layer1": {"kernel": jax.numpy.array([[1.0, 2.0]]), "bias": jax.numpy.array([3.0])}}
    assert float(evidence_planted.penalty_with_biases(params)) == 14
    assert float(training.penalty(params)) == 5


def test_mistaken_runs_are_printed_as_the_published_ones():
    mistaken = Records(study_runs(seeds=(7, 8), only=["selection", "chosen"]))
    printed = planted.as_published(NUMBERS, "selection", mistaken)
    assert {number.run for number in printed} == {"run 1", "run 2"}
    for number in printed:
        seed = {"run 1": 7, "run 2": 8}[number.run]
        assert abs(number.value - number.of_seed(mistaken, seed)) <= number.rounding + 1e-12
    chosen = planted.as_published(NUMBERS, "chosen", mistaken)
    assert len(chosen) == 18
    (run,) = [run for run in mistaken.runs.values()
              if run.config == EXPERIMENTS["chosen"].configs[0].replace(seed=7)]  # fmt: skip
    largest = [one.share for one in run.evaluation.worst_confusions(7)]
    own = [number.value for number in chosen if number.confusion]
    assert own == pytest.approx(largest, abs=5.1e-4)


def test_a_gross_mistake_is_noticed_and_none_is_not(monkeypatch):
    monkeypatch.setattr(planted.joint, "DRAWS", 199)
    runs = study_runs(seeds=range(14), only=["selection"])
    ours = Records(run for run in runs if run.config.seed < 9)
    right = Records(run for run in runs if run.config.seed >= 9)
    wrong = Records(
        replace(run, rows=[{**row, "test_loss": 1.3 * row["test_loss"]} for row in run.rows])
        for run in right.runs.values()
    )
    judged = [planted.judge(planted.as_published(NUMBERS, "selection", those), ours)
              for those in (right, wrong)]  # fmt: skip
    assert [each.noticed for each in judged] == [False, True]
    assert judged[1].outside != 0 and judged[1].numbers == 20


def test_each_seed_without_a_mistake_is_judged_against_the_others(monkeypatch):
    runs = study_runs(seeds=range(6), only=["selection"])
    held = []

    def judged(mistaken, ours):
        seeds = {run.config.seed for run in ours.runs.values() if run.config.hidden == (512,)}
        left_out = set(range(6)) - seeds
        held.append(left_out)
        selection_seed = len(held) % 6  # the second of the two: *chosen* would be of the first
        assert mistaken[0].value == pytest.approx(
            mistaken[0].of_seed(Records(runs), selection_seed), abs=mistaken[0].rounding
        )
        return planted.Judged(0.01 if left_out in ({1, 2}, {4, 5}) else 0.5, 0, len(mistaken))

    monkeypatch.setattr(planted, "judge", judged)
    # a loss and its epoch, of one run of the shallow model
    assert planted.false_alarms(NUMBERS, Records(runs)) == (2, 6, 2)
    assert held == [{0, 1}, {1, 2}, {2, 3}, {3, 4}, {4, 5}, {5, 0}]


def test_every_run_of_the_evidence_is_planned():
    document = json.loads(planted.FILE.read_text())
    plan = {evidence_planted.key_of(*each): each for each in evidence_planted.plan()}
    for key, run in document["runs"].items():
        assert key in plan
        assert len(run["test_loss"]) == run["config"]["epochs"]
        assert np.sum(run["confusion_matrix"]) == 10_000
