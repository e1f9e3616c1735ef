"""How many photos are read, by kind, and below which probability a reading is called unsure.

    mnist-fn train --epochs 10 --out /tmp/reader
    python docs/make/evidence_pictures.py /tmp/reader --n 40

Writes docs/evidence/pictures.json. Photos are of MNIST's test digits (tests/support/photos.py)
and read as `mnist-fn predict` does; what is no digit comes from tests/support/no_digits.py.
"""

import argparse
import json
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from pages import EVIDENCE

from mnist_fn.shared.data import datasets
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.evaluation import log_probabilities
from mnist_fn.shared.pictures.reading import CONFIDENT, read_picture
from mnist_fn.shared.runs.environment import machine, versions
from mnist_fn.shared.runs.trainer import load_run, predict
from tests.support import no_digits
from tests.support.picture_kinds import EMPTY, Reading, read_photos

LIMITS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
LOST = 0.1  # of the digits that are read rightly, at most, may be called unsure


def no_digit_sureness(run: Path, folder: Path, n: int) -> dict[str, list[float]]:
    """The probability of the likeliest class for `n` marks of each kind; 0 for one refused."""
    found = {}
    for number, (kind, draw) in enumerate(no_digits.KINDS.items()):
        sureness = []
        for index in range(n):
            file = folder / "mark.png"
            file.write_bytes(no_digits.as_file(draw(np.random.default_rng((9, number, index)))))
            try:
                pictures = read_picture(file, single=True).pictures
            except InputError:
                sureness.append(0.0)
                continue
            sureness.append(float(np.exp(log_probabilities(predict(run, pictures)[1])).max()))
        found[kind] = sureness
    return found


def by_kind(readings: list[Reading]) -> dict[str, dict[str, Any]]:
    """Of each kind how many photos, how many read rightly, in how many the count was right."""
    kinds = dict.fromkeys(one.kind for one in readings)
    return {
        kind: {
            "n": len(those := [one for one in readings if one.kind == kind]),
            "right": sum(one.right for one in those),
            "counted": sum(len(one.read) == len(one.labels) for one in those),
            "empty": kind in EMPTY,
        }
        for kind in kinds
    }


def unsure(readings: list[Reading], others: dict[str, list[float]]) -> dict[str, Any]:
    """For each limit which share falls below it: of right readings, wrong ones, and no digits."""
    pairs = [
        (read == label, sure)
        for one in readings
        if one.labels and len(one.read) == len(one.labels)
        for read, label, sure in zip(one.read, one.labels, one.sureness, strict=True)
    ]
    groups = {
        "right": [sure for good, sure in pairs if good],
        "wrong": [sure for good, sure in pairs if not good],
        **others,
    }
    return {
        "n": {name: len(those) for name, those in groups.items()},
        "below": {
            str(limit): {
                name: float(np.mean(np.array(those) < limit)) if those else None
                for name, those in groups.items()
            }
            for limit in LIMITS
        },
    }


def chosen(below: dict[str, dict[str, float]]) -> float:
    """The highest limit that calls no more than LOST of the right readings unsure."""
    return max(float(limit) for limit, shares in below.items() if shares["right"] <= LOST)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--n", type=int, default=40)
    given = parser.parse_args()
    test = datasets.load("mnist").test
    labelled = list(zip(test.images, test.labels.tolist(), strict=True))
    with tempfile.TemporaryDirectory() as scratch:
        readings = read_photos(given.run, labelled, Path(scratch), given.n, seed=100)
        others = no_digit_sureness(given.run, Path(scratch), 3 * given.n)
    sureness = unsure(readings, others)
    document = {
        "command": f"python docs/make/evidence_pictures.py {shlex.join(sys.argv[1:])}",
        "run": "mnist-fn train --epochs 10",
        "test_accuracy": load_run(given.run).final["test_accuracy"],
        "machine": machine(),
        "versions": versions(),
        "kinds": by_kind(readings),
        "unsure": {**sureness, "lost_at_most": LOST, "limit": chosen(sureness["below"])},
    }
    (EVIDENCE / "pictures.json").write_text(json.dumps(document, indent=1) + "\n")
    print(json.dumps(document["kinds"], indent=1), json.dumps(document["unsure"], indent=1))
    if document["unsure"]["limit"] != CONFIDENT:
        print(f"reading.CONFIDENT is {CONFIDENT}: make it {document['unsure']['limit']}")


if __name__ == "__main__":
    main()
