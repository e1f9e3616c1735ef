"""The modules in the reference's order of computation, to the first that differs."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mnist_fn.shared.parity.ladder_state import LadderState, nth
from mnist_fn.shared.parity.layouts import aligned
from mnist_fn.shared.parity.program import Call, Trace
from mnist_fn.shared.parity.result import Check, Difference


@dataclass(frozen=True)
class Fault:
    """Where two passes part first, and between which ticks of the reference its cause is."""

    where: str
    read: Callable[[Trace], np.ndarray | None]  # the place in what the reference shows
    port_value: np.ndarray  # what the port has there, in the reference's layout
    first: int
    last: int
    inside: tuple[tuple[int, int], ...] = ()  # ticks of calls that agree: no cause is there
    call: Call | None = None  # the module at fault, where it is one
    other: Call | None = None  # its partner
    terms: int = 1  # of the longest sum on the way there


def walk(state: LadderState) -> tuple[list[Check], Fault | None]:
    """Inputs and outputs of each module that has a partner, call by call; ends where they part.

    A module is at fault if its outputs part though its inputs agree; if its inputs part, what
    stands between the modules is.
    """
    partners = state.pairing.param_map.modules()
    left, right = state.left, state.right
    partner_calls = {name: nth(right.calls, partner) for name, partner in partners.items()}
    checks: list[Check] = []
    agreed: list[tuple[int, int]] = []
    counts: dict[str, int] = {}
    for call in sorted(left.calls, key=lambda call: call.began):
        if call.module not in partner_calls or not partner_calls[call.module]:
            continue
        index = counts.get(call.module, 0)
        counts[call.module] = index + 1
        if index >= len(partner_calls[call.module]):
            checks.append(_fewer(call.module, index, state))
            return checks, None
        partner = partner_calls[call.module][index]
        comparisons, fault = _compare(state, call, partner, index)
        checks += comparisons
        if fault is not None:
            return checks, _framed(fault, call, agreed)
        agreed.append((call.began, call.ended))
    for name, count in counts.items():
        if count != len(partner_calls[name]):
            checks.append(_fewer(name, count, state, len(partner_calls[name])))
    return checks, None


def outputs(state: LadderState) -> tuple[list[Check], Fault | None]:
    """What the models give, each by its name where both have names."""
    left, right = state.left, state.right
    places = matched(left, right)
    terms = state.lengths.outputs
    checks: list[Check] = []
    for i, ours in enumerate(left.outputs):
        what = output_name(left, i)
        place = places[i]
        if place is None:
            checks.append(_absent(what, right))
            return checks, None
        theirs = aligned(right.outputs[place], ours, state.pairing.across)

        def read(trace: Trace, i: int = i) -> np.ndarray | None:
            return trace.outputs[i] if i < len(trace.outputs) else None

        checks.append(state.check(what, ours, theirs, read, terms))
        if not checks[-1].passed:
            inside = tuple((c.began, c.ended) for c in state.left.calls if _agrees(state, c))
            end = state.left.ticks[0]
            place_name = "the outputs" if len(left.outputs) == 1 else what
            return checks, Fault(place_name, read, theirs, 0, end, inside, terms=terms)
    return checks, None


def matched(left: Trace, right: Trace) -> list[int | None]:
    """The place in the port of each of the reference's outputs: by name, else by order."""
    count = len(right.outputs)
    places = {name: i for i, name in enumerate(right.names)}
    if len(left.names) != len(left.outputs) or not set(left.names) & set(places):
        return [i if i < count else None for i in range(len(left.outputs))]
    return [places.get(name) for name in left.names]


def output_name(trace: Trace, i: int) -> str:
    """An output in words: outputs, outputs[1], outputs["logits"]."""
    if len(trace.outputs) == 1:
        return "outputs"
    name = trace.names[i] if i < len(trace.names) else str(i)
    return f"outputs[{name}]" if name.isdigit() else f'outputs["{name}"]'


def _absent(what: str, right: Trace) -> Check:
    names = ", ".join(right.names) or "none"
    text = f"{what} is not among the port's outputs, which are {names}"
    d = Difference(text, (), 0.0, 0.0, np.inf, np.inf, np.inf)
    return Check(text, d, 0.0, "absolute", "both give the same outputs")


def _agrees(state: LadderState, call: Call) -> bool:
    return (
        call.module in state.pairing.param_map.modules()
        and not state.pairing.port.unsupported.get("modules")
    )


def _compare(
    state: LadderState, call: Call, partner: Call, index: int
) -> tuple[list[Check], Fault | None]:
    checks: list[Check] = []
    again = f" (call {index + 1})" if index else ""
    for kind, ours, theirs in (
        ("input", call.inputs[:1], partner.inputs[:1]),
        ("output", call.outputs, partner.outputs),
    ):
        for i, left in enumerate(ours[: len(theirs)]):
            right = aligned(theirs[i], left, state.pairing.across)
            if kind == "input" and not left.dtype.kind == right.dtype.kind == "f":
                continue  # ids here and places there may give the same: the outputs decide
            left, right = broadcast(left, right)
            if kind == "input" and right.shape == left.shape:
                right = state.pairing.param_map.ordered(call.module, right)
            read = _reader(call.module, index, kind, i)
            tick = call.began if kind == "input" else call.ended
            terms = state.lengths.upto(tick)
            check = state.check(f"{kind} of {call.module}{again}", left, right, read, terms)
            checks.append(check)
            if not check.passed:
                whose = call if kind == "output" else None
                return checks, Fault(
                    f"{kind} of {call.module}{again}",
                    read,
                    right,
                    0,
                    tick,
                    call=whose,
                    other=partner if whose else None,
                    terms=terms,
                )
    return checks, None


def broadcast(one: np.ndarray, two: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both in one shape where they differ by broadcasting, as [1, L] and [B, L] do."""
    if one.shape == two.shape:
        return one, two
    try:
        shape = np.broadcast_shapes(one.shape, two.shape)
    except ValueError:
        return one, two
    if shape not in (one.shape, two.shape):
        return one, two
    return np.broadcast_to(one, shape), np.broadcast_to(two, shape)


def _framed(fault: Fault, call: Call, agreed: list[tuple[int, int]]) -> Fault:
    first = call.began if fault.call is not None else 0
    return replace(fault, first=first, inside=tuple(agreed))


def _reader(module: str, index: int, kind: str, i: int) -> Callable[[Trace], np.ndarray | None]:
    def read(trace: Trace) -> np.ndarray | None:
        calls = nth(trace.calls, module)
        if index >= len(calls):
            return None
        values = calls[index].inputs if kind == "input" else calls[index].outputs
        return values[i] if i < len(values) else None

    return read


def _fewer(module: str, ours: int, state: LadderState, theirs: int | None = None) -> Check:
    total = len(nth(state.left.calls, module))
    count = theirs if theirs is not None else ours
    text = f"calls of {module}: {total} in the reference, {count} in the port"
    d = Difference(text, (), float(total), float(count), float(abs(total - count)), np.inf, np.inf)
    return Check(text, d, 0.0, "absolute", "a module is called as often on both programs")
