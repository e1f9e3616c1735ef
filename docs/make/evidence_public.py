"""Put public pairs on the ports' ladder: docs/evidence/ports-public.json.

    pip install -e '.[all,test,zoo]'
    OMP_NUM_THREADS=1 PJRT_NPROC=1 python docs/make/evidence_public.py

The pairs of tests/zoo: models of transformers, and optimizers, schedules and losses of torch and
optax. Some minutes; make_porting.py makes the tables.
"""

import ast
import time
import warnings
from importlib.metadata import version
from typing import Any

import numpy as np
from pages import EVIDENCE, ROOT, write_evidence

from mnist_fn.parity import check_port
from mnist_fn.shared.runs.environment import versions
from tests.zoo.public_pairs import PAIRS
from tests.zoo.public_rules import LOSSES, OPTIMIZERS

STEPS = 5
RULE_STEPS = 12  # RAdam's first steps are plain momentum


def lines_of_entries() -> list[int]:
    """How many lines each pair of the list takes."""
    tree = ast.parse((ROOT / "tests" / "zoo" / "public_pairs.py").read_text())
    (entries,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PAIRS"
    )
    assert isinstance(entries, ast.List)
    return [(entry.end_lineno or 0) - entry.lineno + 1 for entry in entries.elts]


def judged(
    name: str, programs: tuple[Any, Any, list[Any]], steps: int, words: str
) -> dict[str, Any]:
    """A verdict, and what it took. Its cause is `words` where these are a note's."""
    began = time.process_time()
    reference, port, batches = programs
    verdict = check_port(reference, port, batches, steps=steps)
    numbers = reference.start(None).params.values()
    found = {
        "pair": name,
        "parameters": int(np.sum([array.size for array in numbers])),
        "cpu_seconds": round(time.process_time() - began, 1),
        "passed": verdict.passed,
    }
    if verdict.passed:
        return found
    cause = verdict.cause.text if verdict.cause is not None and verdict.cause.found else ""
    if not cause and any(words in note for note in verdict.notes):
        cause = words
    return {**found, "rung": verdict.failed.name, "cause": cause, "text": verdict.text}


def main() -> None:
    """Judge all."""
    warnings.filterwarnings("ignore")
    models = [
        {**judged(str(pair), pair.programs(), STEPS, pair.words), "lines": lines}
        for pair, lines in zip(PAIRS, lines_of_entries(), strict=True)
    ]
    write_evidence(
        EVIDENCE / "ports-public.json",
        "OMP_NUM_THREADS=1 PJRT_NPROC=1 python docs/make/evidence_public.py",
        versions={**versions(), "transformers": version("transformers")},
        steps=STEPS,
        models=models,
        rule_steps=RULE_STEPS,
        optimizers=[judged(p.name, p.programs(), RULE_STEPS, p.words) for p in OPTIMIZERS],
        losses=[judged(p.name, p.programs(loss=True), RULE_STEPS, p.words) for p in LOSSES],
    )


if __name__ == "__main__":
    main()
