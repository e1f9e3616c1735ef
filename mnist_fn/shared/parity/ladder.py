"""The ladder: one list of rungs and one climb, for programs of any framework and for backends."""

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.parity import pairing as pairings
from mnist_fn.shared.parity.backends import rungs
from mnist_fn.shared.parity.backends.climb import BackendClimb
from mnist_fn.shared.parity.backends.diagnosis import explain
from mnist_fn.shared.parity.batches import read_batches
from mnist_fn.shared.parity.ladder_state import SEARCH_SECONDS, Budget
from mnist_fn.shared.parity.port_climb import LOSS, MODULES, STEP, PortClimb
from mnist_fn.shared.parity.program import Program, check_is_program
from mnist_fn.shared.parity.result import (
    Check,
    Compared,
    Explain,
    Rung,
    Unchecked,
    Verdict,
    no_cause,
    run_rung,
)
from mnist_fn.shared.parity.starts import starts_note
from mnist_fn.shared.parity.states import loss

STEPS = 20
ONE_AT_A_TIME = threading.RLock()
# Of memory, with Adam on both sides: 230 where the port passes, measured at 1.9 M and 5.8 M
# parameters (docs/porting.md); and six steps of both with their gradients, 192, where a step that
# differs is explained. The frameworks take a gigabyte without any.
BYTES_PER_PARAMETER, BYTES_WITHOUT = 430, 1e9


@dataclass(frozen=True)
class RungEntry:
    """A rung of the ladder: what it compares of two programs, and of two backends. Theirs are held
    tighter: their weights are shared and their sums known, so that no control run lifts a bound.
    """

    name: str
    of_programs: Callable[[PortClimb], Compared] | None = None  # None: they have no such rung
    of_backends: Callable[[BackendClimb], list[Check]] | None = None
    needs: tuple[str, ...] = ()  # of programs; a backend that keeps its contract lacks nothing
    long: bool = False  # of a whole training


# Each rung relies on those before it, so the first that fails says where to look. What one pass or
# step shows, from wherever, comes before what many steps do.
RUNGS = (
    RungEntry("inputs", None, rungs.inputs),
    RungEntry("parameters", PortClimb.parameters),
    RungEntry("modules", PortClimb.modules, needs=MODULES),
    RungEntry("outputs", PortClimb.outputs, rungs.outputs),
    RungEntry("loss", lambda climb: loss(climb.ordinary), rungs.loss, LOSS),
    RungEntry("gradients", PortClimb.gradients, rungs.gradients, LOSS),
    RungEntry("ReLU at 0", None, rungs.relu_at_zero),
    RungEntry("step", PortClimb.step, rungs.step, STEP),
    RungEntry("resuming", None, rungs.resuming),
    RungEntry("report", None, rungs.report),
    RungEntry("stress states", PortClimb.stress_states, rungs.stressed),
    RungEntry(
        "trajectory",
        PortClimb.trajectory,
        BackendClimb.trajectory,
        (*STEP, "several steps"),
        long=True,
    ),
    RungEntry("buffers", PortClimb.buffers, needs=("running averages", *STEP)),
    RungEntry("evaluation", PortClimb.evaluation, BackendClimb.evaluation, long=True),
    RungEntry("randomness", PortClimb.randomness, needs=("dropout",)),
)
OF_BACKENDS = tuple(entry for entry in RUNGS if entry.of_backends)
BACKEND_RUNGS = tuple(entry.name for entry in OF_BACKENDS)


def climb(
    climbing: PortClimb | BackendClimb,
    names: Collection[str] | None = None,
    on_rung: Callable[[Any], None] = lambda _: None,
) -> tuple[list[Any], Explain]:
    """Climb to the first rung that fails. A program that raises fails its rung with what it said.

    Args:
        climbing: the two programs.
        names: which rungs; None is all that these programs have.
        on_rung: called with each rung, before its cause is looked for.

    Returns:
        The rungs, each a Rung or an Unchecked, and what looks for the cause where the last failed.

    Raises:
        InputError: what can't be compared, or a backend lacks the device or the precision.
    """
    climbed: list[Rung | Unchecked] = []
    for entry in RUNGS:
        if names is not None and entry.name not in names:
            continue
        result = _climb_rung(climbing, entry)
        if result is None:
            continue
        rung, find_cause = result
        climbed.append(rung)
        on_rung(rung)
        if isinstance(rung, Rung) and not rung.passed:
            return climbed, find_cause
    return climbed, no_cause


def _climb_rung(
    climbing: PortClimb | BackendClimb, entry: RungEntry
) -> tuple[Rung | Unchecked, Explain] | None:
    """A rung and what looks for its cause; None if these two have no such rung."""
    if isinstance(climbing, BackendClimb):
        compare, pair = entry.of_backends, climbing.pair
        if compare is None:
            return None
        rung, _ = run_rung(entry.name, lambda: (compare(climbing), no_cause), pair.names)
        return rung, partial(explain, pair, rung)
    if entry.of_programs is None:
        return None
    for need in entry.needs:
        unchecked = climbing.unchecked(need)
        if unchecked is not None:
            return replace(unchecked, name=entry.name), no_cause
    return run_rung(entry.name, partial(entry.of_programs, climbing))


def check_port(
    reference: Program,
    port: Program,
    batches: Any,
    *,
    steps: int = STEPS,
    precision: str = "float64",
    param_map: Mapping[str, Any] | None = None,
    budget: float = SEARCH_SECONDS,
    on_rung: Callable[[Rung | Unchecked], None] = lambda _: None,
    on_size: Callable[[int], None] = lambda _: None,
) -> Verdict:
    """Climb the ladder with a reference and its port, to the first rung at which they part.

    Args:
        reference: a program; its weights are what both start with.
        port: the other program.
        batches: a list of (inputs, targets); see `batches.read_batches`. Training takes them in
            turn, again from the first when they are used up.
        steps: length of the trajectory.
        precision: "float64", in which an error stands out by ten orders of magnitude, or
            "float32", beside controls.
        param_map: partners of parameters, where names and shapes don't tell; see `map_params`.
        budget: seconds of CPU that the search for a cause may take.
        on_rung: called with each rung, before the cause of one that fails is looked for.
        on_size: told before the first rung how many parameters there are.

    Raises:
        InputError: batches, a model or a loss that can't be compared; see docs/porting.md.
    """
    if precision not in ("float64", "float32"):
        raise InputError(f"precision {precision!r}: must be float64 or float32")
    if not isinstance(steps, int) or steps < 1:
        raise InputError(f"steps {steps!r}: must be a whole number, 1 or more")
    check_is_program("reference", reference)
    check_is_program("port", port)
    if reference is port:
        raise InputError("reference and port are one object; give two programs")
    # Programs set their framework's default precision, which is the whole process's. Stress states
    # overflow; what is not finite is looked for.
    with ONE_AT_A_TIME, np.errstate(all="ignore"):
        read = read_batches(batches, precision)
        pairing, start = pairings.pair(reference, port, read[0], precision, param_map)
        on_size(sum(p.size for p in start.params.values()))
        pairing = replace(pairing, budget=Budget(budget))
        climbing = PortClimb(pairing, start, read, steps)
        climbed, find_cause = climb(climbing, on_rung=on_rung)
        cause = find_cause()
        notes = [*pairing.param_map.notes, *reference.notes, *port.notes, *climbing.notes]
        names = (reference.name, port.name)
        verdict = Verdict(names, precision, pairing.param_map, climbed, cause, notes)
        if verdict.passed:
            note = starts_note(pairing.param_map, start, port.start(pairing.move(read[0])))
            notes += [note] if note else []
        return verdict
