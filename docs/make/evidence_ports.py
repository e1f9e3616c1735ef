"""Count verdicts on ports drawn at random: docs/evidence/ports-random.json.

    OMP_NUM_THREADS=1 PJRT_NPROC=1 python docs/make/evidence_ports.py [--seeds 20] [--wrong 200]
        [--steps 10] [--budget 30] [--seconds 3600]

Right ports of five models with five optimizers, each seed with other weights and batches, none of
which may be refused; and wrong ports, of one line changed at random, each of which must be found,
named, and not be named as something else. tests/support/random_ports.py has the models and the
changes. A change that doesn't run is drawn again, and so is one that passes and computes the same,
by the port's own outputs, gradients and steps. What is in the file is not computed again.
"""

import argparse
import json
import random
import re
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from pages import EVIDENCE

from mnist_fn.parity import FlaxProgram, check_port
from mnist_fn.shared.parity.batches import read_batches
from mnist_fn.shared.parity.program import Batch
from mnist_fn.shared.parity.result import Verdict
from mnist_fn.shared.runs.environment import machine, versions
from tests.support import random_ports as ports

FILE = EVIDENCE / "ports-random.json"
SAME = 1e-9  # of a figure's size: what two orders of sums leave at the largest weights, and more
SCALES = (0.3, 1.0, 3.0, 10.0)  # of the weights at which a changed port is compared with the right


def right_ports(seeds: int) -> Iterator[tuple[str, str, int]]:
    """Yield each (model, optimizer, seed), all pairs of a seed before the next seed."""
    for seed in range(seeds):
        for model in ports.REFERENCES:
            for optimizer in ports.OPTIMIZERS:
                yield model, optimizer, seed


def judged_right(model: str, optimizer: str, seed: int, steps: int) -> dict[str, Any]:
    """The verdict on a right port."""
    began = time.process_time()
    verdict = check_port(
        ports.reference(model, optimizer, seed),
        ports.port(ports.text_of(model, optimizer)),
        ports.batches(model, seed),
        steps=steps,
        budget=1.0,
    )
    found = {"model": model, "optimizer": optimizer, "seed": seed, "passed": verdict.passed,
             "cpu_seconds": round(time.process_time() - began, 1)}  # fmt: skip
    return found if verdict.passed else {**found, "text": verdict.text}


def judged_wrong(number: int, steps: int, budget: float) -> dict[str, Any]:
    """The verdict on the wrong port of a number; draws until one runs and computes otherwise."""
    draw = random.Random(number)
    skipped: list[str] = []
    while True:
        model = draw.choice(list(ports.REFERENCES))
        optimizer, seed = draw.choice(list(ports.OPTIMIZERS)), draw.randrange(1000)
        change, line, text, changed = draw.choice(list(ports.wrong_ports(model, optimizer)))
        found = {"number": number, "model": model, "optimizer": optimizer, "seed": seed,
                 "change": change.name, "line": line, "text": text}  # fmt: skip
        failure = failure_of(model, seed, changed)
        if failure:
            skipped.append(f"doesn't run: {text}: {failure[:80]}")
            continue
        began = time.process_time()
        verdict = check_port(
            ports.reference(model, optimizer, seed),
            ports.port(changed),
            ports.batches(model, seed),
            steps=steps,
            budget=budget,
        )
        if verdict.passed and is_same(model, optimizer, seed, changed):
            skipped.append(f"computes the same: {text}")
            continue
        claimed = verdict.cause is not None and verdict.cause.found
        named = is_named(change, verdict)
        return {
            **found,
            "found": not verdict.passed,
            "rung": "" if verdict.passed else verdict.failed.name,
            "named": named,
            "causes": len(verdict.cause.causes) if claimed else 0,  # 0: what differs is named
            "named_wrong": claimed and not named,
            "said": headline(verdict),
            "cpu_seconds": round(time.process_time() - began, 1),
            **({"drawn_again": skipped} if skipped else {}),
        }


def failure_of(model: str, seed: int, changed: str) -> str:
    """What a changed port raises in a step of its own, or ""."""
    batches = port_batches(model, seed)
    try:
        program = ports.port(changed)
        next(program.train(program.start(batches[0]), iter(batches)))
    except Exception as error:  # of the change, whatever it is: no other program runs here
        return str(error) or type(error).__name__
    return ""


def is_named(change: ports.Change, verdict: Verdict) -> bool:
    """Whether a verdict claims the change as the cause, or says what differs of parameters and of
    dropout, where no cause is looked for.
    """
    if verdict.passed:
        return False
    if verdict.cause is not None and verdict.cause.found:
        return bool(re.search(change.words, verdict.cause.text))
    rungs = ("parameters", "randomness")
    return verdict.failed.name in rungs and bool(re.search(change.words, headline(verdict)))


def headline(verdict: Verdict) -> str:
    """What a verdict says of the cause, without its rungs."""
    return verdict.text.split("\n\n")[0]


def is_same(model: str, optimizer: str, seed: int, changed: str) -> bool:
    """Whether a changed port computes what the right one does: outputs in both modes and gradients
    at weights of several scales, and weights and averages after three steps.
    """
    read = port_batches(model, seed)
    right, wrong = ports.port(ports.text_of(model, optimizer)), ports.port(changed)
    shapes = [{n: p.shape for n, p in p.start(read[0]).params.items()} for p in (right, wrong)]
    if shapes[0] != shapes[1]:
        return False
    return all(
        np.allclose(a, b, rtol=SAME, atol=SAME * float(np.abs(a).max(initial=1e-30)))
        for a, b in zip(shown(right, read), shown(wrong, read), strict=True)
    )


def port_batches(model: str, seed: int) -> list[Batch]:
    """The batches as the port takes them, images with channels last."""
    batches = ports.batches(model, seed)
    if "CNN" in model or model == "ResNet":
        batches = [(np.moveaxis(images, 1, -1), targets) for images, targets in batches]
    return read_batches(batches, "float64")


def shown(program: FlaxProgram, batches: list[Any]) -> Iterator[np.ndarray]:
    """Yield all that is compared of a port."""
    start = program.start(batches[0])
    for scale in SCALES:
        trace = program.run(start.scaled(scale), batches[0])
        yield from (*trace.outputs, *trace.gradients.values())
        yield from program.run(start.scaled(scale), batches[0], train=False).outputs
    for step in program.train(start, iter(batches[:3])):
        yield from (*step.params.values(), *step.buffers.values())


def main() -> None:
    """Judge what is not in the file yet, right and wrong ones in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--wrong", type=int, default=200)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--budget", type=float, default=30.0, help="seconds of CPU of a search")
    parser.add_argument("--seconds", type=float, help="no further port after so many")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    document = json.loads(FILE.read_text()) if FILE.exists() else {}
    if (document.get("versions"), document.get("steps")) != (versions(), given.steps):
        document = {"right": [], "wrong": []}  # of other code: a record has one source
    judged = {(r["model"], r["optimizer"], r["seed"]) for r in document["right"]}
    right = [case for case in right_ports(given.seeds) if case not in judged]
    numbers = {w["number"] for w in document["wrong"]}
    wrong = [number for number in range(given.wrong) if number not in numbers]
    share = given.wrong / max(1, given.seeds * len(ports.REFERENCES) * len(ports.OPTIMIZERS))
    began = time.monotonic()
    while right or wrong:
        if given.seconds and time.monotonic() - began > given.seconds:
            break
        if wrong and (not right or len(document["wrong"]) < share * len(document["right"])):
            document["wrong"].append(judged_wrong(wrong.pop(0), given.steps, given.budget))
        else:
            document["right"].append(judged_right(*right.pop(0), given.steps))
        write(document, given.steps)


def write(document: dict[str, Any], steps: int) -> None:
    """The file, with its counts."""
    right, wrong = document["right"], document["wrong"]
    counts = {
        "right": len(right), "refused": sum(not r["passed"] for r in right),
        "wrong": len(wrong), "found": sum(w["found"] for w in wrong),
        "named": sum(w["named"] for w in wrong),
        "named_wrong": sum(w["named_wrong"] for w in wrong),
        "seeds": len({r["seed"] for r in right}),
    }  # fmt: skip
    command = "OMP_NUM_THREADS=1 PJRT_NPROC=1 python docs/make/evidence_ports.py"
    head = {"command": command, "steps": steps, "machine": machine(), "versions": versions(),
            "counts": counts}  # fmt: skip
    FILE.write_text(
        json.dumps({**head, "right": right, "wrong": wrong}, indent=1, ensure_ascii=False) + "\n"
    )


if __name__ == "__main__":
    main()
