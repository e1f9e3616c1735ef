"""Paired runs of two sides: accuracies, disagreement and the margin of equivalence."""

import json

import numpy as np
import pytest
from pages import EVIDENCE

from cli import proving
from mnist_fn import Config, InputError, train
from mnist_fn.shared import backend as backends
from mnist_fn.shared import source
from mnist_fn.shared.parity.bounds import ACCURACY_MARGIN
from mnist_fn.shared.parity.levels import make_plan
from mnist_fn.shared.parity.statistics import (
    compare_runs,
    disagreement,
    unlike_present,
)
from mnist_fn.shared.runs import loop
from mnist_fn.shared.runs.environment import versions
from mnist_fn.shared.runs.folder import RunFolder
from mnist_fn.shared.statistics import mcnemar, tost
from tests.support.tiny_backend import Tiny


def test_the_margin_is_a_constant_whatever_the_number_of_seeds():
    """With 0.20 points below 30 seeds, these were equivalent for 29 seeds, not decided for 30."""
    document = json.loads((EVIDENCE / "parity-statistics.json").read_text())
    (deep,) = [one for one in document["statistics"] if one["model"] == "deep"]
    left, right = (np.array(side["values"]) for side in deep["accuracy"].values())
    verdicts = {n: tost((left - right)[:n], ACCURACY_MARGIN).verdict for n in (10, 20, 29, 30)}
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


@pytest.fixture
def two_backends(monkeypatch):
    """A plan between two backends of one arithmetic, which trains for moments."""
    monkeypatch.setattr(backends, "find", lambda name: type(name, (Tiny,), {"name": name}))
    monkeypatch.setattr(proving, "STATISTICS_EPOCHS", 1)
    given = {"models": ["linear"], "precisions": ["float64"], "dataset": "digits"}
    return make_plan("statistics", ("jax", "torch"), ("cpu",), **given)


def another_source(monkeypatch):
    other = {**versions(), source.TRAINING: "0123456789abcdef"}
    monkeypatch.setattr(loop, "versions", lambda: other)


def test_runs_of_another_source_are_named_and_not_used(two_backends, monkeypatch, tmp_path):
    """A learning rate tripled in the code afterwards was "equivalent": the folder's runs were
    judged, and today's versions stamped on them."""
    with monkeypatch.context() as patch:
        another_source(patch)
        with pytest.raises(InputError, match="computed by other code"):  # once they are trained
            proving.prove(two_backends, None, tmp_path, 2)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(InputError) as refused:
        proving.prove(two_backends, None, tmp_path, 3)
    said = str(refused.value)
    now = source.digests()[source.TRAINING]
    assert f"training source 0123456789abcdef then, {now} now" in said
    assert "--reuse" in said
    assert "2 such runs" in said
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_evidence_carries_the_versions_of_the_runs(two_backends, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        another_source(patch)
        patch.setattr(loop, "machine", lambda: "their machine")
        proving.prove(two_backends, None, tmp_path, 2, reuse=True)
    found = proving.prove(two_backends, None, tmp_path, 2, reuse=True)
    assert found["versions"][source.TRAINING] == "0123456789abcdef"
    assert found["machine"] == "their machine"
    mixed = proving.prove(two_backends, None, tmp_path, 3, reuse=True)
    assert mixed["versions"][source.TRAINING].count(", ") == 1
    fresh = proving.prove(two_backends, None, tmp_path / "fresh", 2)
    assert fresh["versions"] == versions()


def test_a_run_is_unlike_the_present_by_what_its_bits_depend_on(two_backends, tmp_path):
    proving.prove(two_backends, None, tmp_path, 2)
    path = next(path.parent for path in tmp_path.glob("*-jax/run.json"))
    header = RunFolder(path).read_header()
    now = versions()
    assert unlike_present(header) == []
    for name in ("python", "mnist-fn", "torch", source.EVERYTHING):
        assert unlike_present(header, {**now, name: "other"}) == []
    for name in ("jax", "numpy", source.TRAINING):
        (line,) = unlike_present(header, {**now, name: "other"})
        assert line == f"{name} {now[name]} then, other now"
    del header.segments[0]["versions"][source.TRAINING]
    assert "training source not recorded then" in unlike_present(header)[0]


def test_a_margin_that_is_none_is_refused(two_backends):
    for margin in (0, -1.0, float("nan"), 100):
        with pytest.raises(InputError, match="--margin"):
            proving.prove(two_backends, None, None, 2, margin=margin)
