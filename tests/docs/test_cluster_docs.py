"""docs/cluster.md is what its evidence says, and the driver's memory was flat."""

import copy

import evidence_cluster
import make_cluster

from mnist_fn.shared.bench import report
from mnist_fn.shared.storage import read_sealed

EVIDENCE = read_sealed(evidence_cluster.OUT, evidence_cluster.SCHEMA)
# As for the epochs of a long run (docs/make/evidence_reliability.py): what glibc keeps, and what
# is compared of each run.
GROWTH_LIMIT_MB = 8


def test_docs_and_evidence_agree():
    """If not: python docs/make/make_cluster.py"""
    assert make_cluster.PAGE.read_text() == make_cluster.text()


def test_a_changed_figure_is_seen():
    changed = copy.deepcopy(EVIDENCE)
    changed["runs"]["cpu_seconds"] *= 2
    assert make_cluster.reach(changed) != make_cluster.reach(EVIDENCE)


def test_a_changed_ratio_is_seen_and_two_workers_are_worth_nearly_two():
    found = read_sealed(make_cluster.WORKERS, report.SCHEMA)
    changed = copy.deepcopy(found)
    for own in changed["backends"].values():
        for ratio in own["ratios"].values():
            ratio["median"] *= 1.1
    assert make_cluster.speed(changed) != make_cluster.speed(found)
    ones = [own["ratios"]["2 workers, a thread each / 1 worker, a thread"]
            for own in found["backends"].values()]  # fmt: skip
    assert all(one["median"] >= 1.8 for one in ones)


def test_memory_was_flat_over_5000_runs_and_no_epoch_was_late():
    assert EVIDENCE["runs"]["runs"] >= 5000
    assert EVIDENCE["runs"]["growth_mb"] < GROWTH_LIMIT_MB
    for crowd in EVIDENCE["crowds"]:
        assert crowd["epochs"] > 0.9 * crowd["epochs_asked"]
