"""Measuring: contenders take turns in one process, so that what slows the machine slows all."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mnist_fn.shared import backend as backends
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset
from mnist_fn.shared.evaluation import evaluate
from mnist_fn.shared.streams import batch_order, initial_state

PAUSE = 0.25  # seconds between turns: the threads of one library spin on after their work


@dataclass(frozen=True)
class Contender:
    """Something that is timed: `run` does it once and returns when the device is done."""

    name: str
    what: str
    run: Callable[[], object]
    rounds: int | None = None  # at most so many of them, where one takes long


class Turns(NamedTuple):
    """Seconds of each contender in each round."""

    wall: dict[str, list[float]]
    cpu: dict[str, list[float]]  # of all the process's threads: what others compute is not in it


def take_turns(
    contenders: Sequence[Contender],
    rounds: int,
    warmup: int = 1,
    pause: float = PAUSE,
    say: Callable[[str], None] = lambda _: None,
) -> Turns:
    """Seconds of each contender in each round, after `warmup` untimed rounds.

    Round after round, each in turn; the order is reversed in every other round, so that none
    always follows the same one.
    """
    turns = Turns(*({contender.name: [] for contender in contenders} for _ in Turns._fields))
    for turn in range(-warmup, rounds):
        say(f"round {turn + 1} of {rounds}" if turn >= 0 else "warming up")
        for contender in contenders[:: 1 if turn % 2 == 0 else -1]:
            if turn >= (contender.rounds or rounds):
                continue
            time.sleep(pause)
            wall, cpu = time.perf_counter(), time.process_time()
            contender.run()
            if turn >= 0:
                turns.cpu[contender.name].append(time.process_time() - cpu)
                turns.wall[contender.name].append(time.perf_counter() - wall)
    return turns


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, extremes, quartiles and the number of some measurements."""
    low, median, high = np.percentile(values, (25, 50, 75))
    return {
        "median": float(median),
        "quartiles": [float(low), float(high)],
        "min": float(min(values)),
        "max": float(max(values)),
        "n": len(values),
    }


def ratio(times: dict[str, list[float]], one: str, *others: str) -> dict[str, Any]:
    """`one` over the sum of others, round by round: what slowed a round slowed all.

    Only rounds that all have: some contenders have fewer.
    """
    rounds = zip(times[one], *(times[name] for name in others), strict=False)
    return spread([a / sum(parts) for a, *parts in rounds])


def fastest(times: dict[str, list[float]], names: Sequence[str]) -> str | None:
    """The one of these that takes the least, in the rounds that all of them have."""
    present = [name for name in names if times.get(name)]
    rounds = min((len(times[name]) for name in present), default=0)
    paired = {name: times[name][:rounds] for name in present}
    return min(present, key=lambda name: ratio(paired, name, present[0])["median"], default=None)


def backend_contenders(
    name: str, config: Config, dataset: Dataset, device: str
) -> Iterator[Contender]:
    """An epoch of a backend as `mnist-fn train` runs it, and one with its test evaluation.

    Raises:
        InputError: no such backend, device or precision here.
    """
    computer = backends.find(name)(config, dataset, device)
    order = batch_order(config.seed, 1, len(dataset.train))
    state = computer.load(initial_state(config, dataset.pixels, dataset.classes))

    def train() -> None:
        nonlocal state
        state, _ = computer.train_epoch(state, order)

    def train_and_test() -> None:
        train()
        evaluate(computer.logits(state, dataset.test.images), dataset.test.labels)

    yield Contender(f"{name}/train", f"an epoch of {name}, training", train)
    yield Contender(f"{name}/train+test", f"an epoch of {name}, evaluation too", train_and_test)
