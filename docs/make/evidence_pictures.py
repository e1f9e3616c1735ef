"""How many pictures are read, by kind, and below which probability a reading is called unsure.

    mnist-fn train --backend jax --l2 3e-5 --out /tmp/reader
    python docs/make/evidence_pictures.py /tmp/reader --n 20

Writes docs/evidence/pictures.json. Pictures are of MNIST's test digits (tests/support/photos.py,
crops.py) and read as `mnist-fn predict` does; what is no digit is from tests/support/no_digits.py.
The limit is chosen on pictures of one seed; every rate is of pictures of another, which neither the
rules nor the limit were chosen on.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from pages import EVIDENCE, write_evidence

from mnist_fn.shared.data import datasets
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.pictures.reading import CONFIDENT, read_picture
from mnist_fn.shared.runs.trainer import load_run
from tests.support import no_digits
from tests.support.picture_kinds import EMPTY, Reading, read_photos

LIMITS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
LOST = 0.1  # of the digits that are read rightly, at most, may be called unsure
CHOSEN_ON, MEASURED_ON = 200, 100  # seeds; the rules were written on seeds from 500 on
CHOOSING_N = 4  # pictures of each kind that the limit is chosen on


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
            sureness.append(float(load_run(run).predict_proba(pictures).max()))
        found[kind] = sureness
    return found


def by_kind(readings: list[Reading]) -> dict[str, dict[str, Any]]:
    """For each kind how many pictures and digits there are, and what became of them."""
    kinds = {}
    for kind in dict.fromkeys(reading.kind for reading in readings):
        of_kind = [reading for reading in readings if reading.kind == kind]
        right = [reading for reading in of_kind if reading.is_right]
        wrong = [reading for reading in of_kind if not reading.is_right]
        kinds[kind] = {
            "n": len(of_kind),
            "right": len(right),
            "counted": sum(reading.is_counted for reading in of_kind),
            "digits": sum(len(reading.labels) for reading in of_kind),
            "digits_right": sum(reading.digits_right for reading in of_kind),
            "wrong_and_sure": sum(not reading.is_unsure for reading in wrong),
            "refused": sum(bool(reading.labels) and not reading.digits for reading in of_kind),
            "empty": kind in EMPTY,
        }
    return kinds


def confidences(readings: list[Reading]) -> dict[str, list[float]]:
    """The probability of the likeliest class of each digit, read rightly and wrongly."""
    groups: dict[str, list[float]] = {"right": [], "wrong": []}
    for reading in readings:
        if reading.labels and reading.is_counted:
            for digit, label in zip(reading.digits, reading.labels, strict=True):
                name = "right" if digit.class_index == label else "wrong"
                groups[name].append(float(digit.probabilities.max()))
    return groups


def below_limits(groups: dict[str, list[float]]) -> dict[str, dict[str, float | None]]:
    """For each limit which share of each group falls below it."""
    below: dict[str, dict[str, float | None]] = {}
    for limit in LIMITS:
        shares = {}
        for name, values in groups.items():
            shares[name] = float(np.mean(np.array(values) < limit)) if values else None
        below[str(limit)] = shares
    return below


def chosen(below: dict[str, dict[str, float | None]]) -> float:
    """The highest limit that calls no more than LOST of the right readings unsure."""
    return max(float(limit) for limit, shares in below.items() if (shares["right"] or 0) <= LOST)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--n", type=int, default=20)
    given = parser.parse_args()
    test = datasets.load("mnist").test
    labelled = list(zip(test.images, test.labels.tolist(), strict=True))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        choosing = read_photos(given.run, labelled, folder, CHOOSING_N, seed=CHOSEN_ON)
        readings = read_photos(given.run, labelled, folder, given.n, seed=MEASURED_ON)
        others = no_digit_sureness(given.run, folder, 3 * given.n)
    limit = chosen(below_limits(confidences(choosing)))
    groups = {**confidences(readings), **others}
    write_evidence(
        EVIDENCE / "pictures.json",
        f"python docs/make/evidence_pictures.py RUN --n {given.n}",
        run="mnist-fn train --backend jax --l2 3e-5",
        test_accuracy=load_run(given.run).final["test_accuracy"],
        kinds=by_kind(readings),
        unsure={
            "n": {name: len(values) for name, values in groups.items()},
            "below": below_limits(groups),
            "lost_at_most": LOST,
            "limit": limit,
        },
    )
    if limit != CONFIDENT:
        print(f"reading.CONFIDENT is {CONFIDENT}: make it {limit}")


if __name__ == "__main__":
    main()
