"""What docs/cluster.md says of workers."""

import copy

import make_cluster

from mnist_fn.shared.bench import report
from mnist_fn.shared.storage import read_sealed


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
