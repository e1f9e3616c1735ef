"""The modules in the reference's order of computation, to the first that differs."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mnist_fn.shared.parity.checks import Check
from mnist_fn.shared.parity.compare import Difference
from mnist_fn.shared.parity.porting.layouts import aligned
from mnist_fn.shared.parity.porting.side import Call, Seen
from mnist_fn.shared.parity.porting.situation import Situation, nth


@dataclass(frozen=True)
class Fault:
    """Where two passes part first, and between which ticks of the reference its cause is."""

    where: str
    read: Callable[[Seen], np.ndarray | None]  # the place in what the reference shows
    seen: np.ndarray  # what the port has there, in the reference's layout
    first: int
    last: int
    inside: tuple[tuple[int, int], ...] = ()  # ticks of calls that agree: no cause is there
    call: Call | None = None  # the module at fault, where it is one
    other: Call | None = None  # its partner
    terms: int = 1  # of the longest sum on the way there


def walk(situation: Situation) -> tuple[list[Check], Fault | None]:
    """Inputs and outputs of each module that has a partner, call by call; ends where they part.

    A module is at fault if its outputs part though its inputs agree; if its inputs part, what
    stands between the modules is.
    """
    partners = situation.pairing.partners.modules()
    left, right = situation.left, situation.right
    there = {name: nth(right.calls, other) for name, other in partners.items()}
    checks: list[Check] = []
    agreed: list[tuple[int, int]] = []
    counts: dict[str, int] = {}
    for call in sorted(left.calls, key=lambda call: call.began):
        if call.module not in there or not there[call.module]:
            continue
        index = counts.get(call.module, 0)
        counts[call.module] = index + 1
        if index >= len(there[call.module]):
            checks.append(_fewer(call.module, index, situation))
            return checks, None
        other = there[call.module][index]
        found, fault = _compare(situation, call, other, index)
        checks += found
        if fault is not None:
            return checks, _framed(fault, call, agreed)
        agreed.append((call.began, call.ended))
    for name, count in counts.items():
        if count != len(there[name]):
            checks.append(_fewer(name, count, situation, len(there[name])))
    return checks, None


def outputs(situation: Situation) -> tuple[list[Check], Fault | None]:
    """What the models give."""
    left, right = situation.left.outputs, situation.right.outputs
    checks: list[Check] = []
    for i, one in enumerate(left):
        what = "outputs" if len(left) == 1 else f"outputs[{i}]"
        two = aligned(right[i], one, situation.pairing.across) if i < len(right) else np.zeros(0)

        def read(seen: Seen, i: int = i) -> np.ndarray | None:
            return seen.outputs[i] if i < len(seen.outputs) else None

        terms = situation.lengths.outputs
        checks.append(situation.check(what, one, two, read, terms))
        if not checks[-1].passed:
            inside = tuple(
                (c.began, c.ended) for c in situation.left.calls if _agrees(situation, c)
            )
            end = situation.left.ticks[0]
            return checks, Fault("the outputs", read, two, 0, end, inside, terms=terms)
    return checks, None


def _agrees(situation: Situation, call: Call) -> bool:
    return (
        call.module in situation.pairing.partners.modules()
        and not situation.pairing.port.lacks.get("modules")
    )


def _compare(
    situation: Situation, call: Call, other: Call, index: int
) -> tuple[list[Check], Fault | None]:
    checks: list[Check] = []
    again = f" (call {index + 1})" if index else ""
    for kind, ours, theirs in (
        ("input", call.inputs[:1], other.inputs[:1]),
        ("output", call.outputs, other.outputs),
    ):
        for i, one in enumerate(ours[: len(theirs)]):
            two = aligned(theirs[i], one, situation.pairing.across)
            if kind == "input" and two.shape == one.shape:
                two = situation.pairing.partners.ordered(call.module, two)
            read = _reader(call.module, index, kind, i)
            at = call.began if kind == "input" else call.ended
            terms = situation.lengths.upto(at)
            check = situation.check(f"{kind} of {call.module}{again}", one, two, read, terms)
            checks.append(check)
            if not check.passed:
                whose = call if kind == "output" else None
                return checks, Fault(f"{kind} of {call.module}{again}", read, two, 0, at,
                                     call=whose, other=other if whose else None,
                                     terms=terms)  # fmt: skip
    return checks, None


def _framed(fault: Fault, call: Call, agreed: list[tuple[int, int]]) -> Fault:
    first = call.began if fault.call is not None else 0
    return replace(fault, first=first, inside=tuple(agreed))


def _reader(module: str, index: int, kind: str, i: int) -> Callable[[Seen], np.ndarray | None]:
    def read(seen: Seen) -> np.ndarray | None:
        calls = nth(seen.calls, module)
        if index >= len(calls):
            return None
        values = calls[index].inputs if kind == "input" else calls[index].outputs
        return values[i] if i < len(values) else None

    return read


def _fewer(module: str, ours: int, situation: Situation, theirs: int | None = None) -> Check:
    total = len(nth(situation.left.calls, module))
    found = theirs if theirs is not None else ours
    text = f"calls of {module}: {total} in the reference, {found} in the port"
    d = Difference(text, float(total), float(found), float(abs(total - found)), np.inf, np.inf)
    return Check(text, d, 0.0, "absolute", "a module is called as often on both sides")
