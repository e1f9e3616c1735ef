"""Paired runs of two sides: accuracies, disagreement and the margin of equivalence."""

import json

import numpy as np
import pytest
from pages import EVIDENCE

from mnist_fn import Config, train
from mnist_fn.shared.parity.statistics import MARGIN, compare_runs, disagreement
from mnist_fn.shared.statistics import mcnemar, tost


def test_the_margin_is_a_constant_whatever_the_number_of_seeds():
    """With 0.20 points below 30 seeds, these were equivalent for 29 seeds, not decided for 30."""
    document = json.loads((EVIDENCE / "parity-statistics.json").read_text())
    (deep,) = [one for one in document["statistics"] if one["model"] == "deep"]
    left, right = (np.array(side["values"]) for side in deep["accuracy"].values())
    verdicts = {n: tost((left - right)[:n], MARGIN).verdict for n in (10, 20, 29, 30)}
    assert set(verdicts.values()) == {"not decided"}


def test_mcnemar_is_a_binomial_test_on_what_only_one_has_right():
    labels = np.zeros(100, int)
    left, right = labels.copy(), labels.copy()
    left[:2], right[2:12], left[50], right[50] = 1, 1, 1, 2
    found = disagreement(left, right, labels)
    assert (found.left_only, found.right_only) == (10, 2)
    assert found.p == mcnemar(10, 2) < 0.05
    assert found.churn == pytest.approx(0.13)  # both wrong, but differently, counts too
    assert disagreement(left, left, labels).p == 1


def test_runs_of_two_backends_are_compared_by_seed(digits):
    config = Config(dataset="digits", hidden=(8,), epochs=2, learning_rate=5e-3)
    left = [train(config.replace(seed=seed), "jax") for seed in range(3)]
    right = [train(config.replace(seed=seed), "torch") for seed in range(3)]
    found = compare_runs(left, right, digits.test.labels)
    assert list(found["accuracy"]) == ["jax", "torch"]
    assert (found["seeds"], found["tost"]["n"], found["tost"]["margin"]) == ([0, 1, 2], 3, 0.10)
    assert compare_runs(left, right, digits.test.labels, 0.5)["tost"]["margin"] == 0.5
    ours, theirs = (np.mean([run.evaluation.accuracy for run in runs]) for runs in (left, right))
    assert found["tost"]["mean"] == pytest.approx(100 * (ours - theirs))
    churn = found["churn"]
    assert churn["between_sides"] < min(churn["between_seeds"].values())
