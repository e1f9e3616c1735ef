"""Timing: contenders take turns, each turn in a fresh process that leaves nothing behind."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mnist_fn.shared import backend as backends
from mnist_fn.shared.bench.contenders import Contender
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset, load_for
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.evaluation import evaluate
from mnist_fn.shared.streams import batch_order, initial_state

SECONDS_A_TURN = 1.0  # a turn repeats what takes less, and its median counts


class Turn(NamedTuple):
    """What a process measured."""

    seconds: float
    cpu_seconds: float  # of all the process's threads: what others compute is not in it
    device: str


@dataclass
class Turns:
    """Seconds of each contender in each round, and why some have none."""

    wall: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    device: str = ""  # of the first contender


def take_turns(
    contenders: Sequence[Contender],
    rounds: int,
    measure: Callable[[Contender], Turn],
    say: Callable[[str], None] = lambda _: None,
) -> Turns:
    """Measure each contender in each round, so that what slows the machine slows all.

    The order is reversed in every other round, so that none always follows the same one. What
    can't be measured is left out, with why.

    Raises:
        InputError: not even the first can be measured.
    """
    turns = Turns()
    for number in range(rounds):
        for contender in contenders[:: 1 if number % 2 == 0 else -1]:
            name = contender.name
            if name in turns.left_out:
                continue
            try:
                turn = measure(contender)
            except InputError as error:
                if contender == contenders[0]:
                    raise
                turns.left_out[name] = str(error)
                turns.wall.pop(name, None)
                turns.cpu.pop(name, None)
                continue
            say(f"round {number + 1} of {rounds}: {name} {turn.seconds:.3f} s")
            turns.device = turns.device or turn.device
            turns.wall.setdefault(name, []).append(turn.seconds)
            turns.cpu.setdefault(name, []).append(turn.cpu_seconds)
    return turns


def in_a_process(contender: Contender, config: Config, data_dir: Path | None, device: str) -> Turn:
    """Measure a contender in a process of its own.

    Raises:
        InputError: it can't be measured here; its last words say why.
    """
    request = {
        "name": contender.name,
        "module": contender.module,
        "config": config.to_dict(),
        "data_dir": None if data_dir is None else str(data_dir),
        "device": device,
    }
    done = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", __name__],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise InputError((done.stderr.strip().splitlines() or ["it was ended"])[-1][:300])
    return Turn(*json.loads(done.stdout.splitlines()[-1]))


def measure(run: Callable[[], object]) -> tuple[float, float]:
    """Median seconds of `run` by the clock and of its threads, once it has been run untimed."""
    run()  # compiles
    wall: list[float] = []
    cpu: list[float] = []
    while sum(wall) < SECONDS_A_TURN:
        wall_start, cpu_start = time.perf_counter(), time.process_time()
        run()
        cpu.append(time.process_time() - cpu_start)
        wall.append(time.perf_counter() - wall_start)
    return float(np.median(wall)), float(np.median(cpu))


def epoch(
    name: str, config: Config, dataset: Dataset, device: str
) -> tuple[Callable[[], object], str]:
    """An epoch of `BACKEND/train` as `mnist-fn train` runs it, with evaluation as `…/train+test`.

    Raises:
        InputError: no such backend, device or precision here.
    """
    backend_name, _, part = name.partition("/")
    backend = backends.find(backend_name)(config, dataset, device)
    order = batch_order(config.seed, 1, len(dataset.train))
    state = backend.load(initial_state(config, dataset.pixels, dataset.classes))

    def run() -> None:
        nonlocal state
        state, _ = backend.train_epoch(state, order)
        if part == "train+test":
            evaluate(backend.logits(state, dataset.test.images), dataset.test.labels)

    return run, backend.device


def main() -> None:
    """Measure what stdin asks for; answer on stdout."""
    request: dict[str, Any] = json.load(sys.stdin)
    try:
        config = Config.from_dict(request["config"])
        folder = request["data_dir"]
        dataset = load_for(config, None if folder is None else Path(folder))
        module = request["module"]
        make = epoch if module is None else import_module(module).make
        run, device = make(request["name"], config, dataset, request["device"])
    except InputError as error:
        sys.exit(error.message.in_shell())
    print(json.dumps(Turn(*measure(run), device)))


if __name__ == "__main__":
    main()
