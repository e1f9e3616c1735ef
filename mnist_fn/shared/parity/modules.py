"""The modules in the reference's order of computation, to the first that differs."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mnist_fn.shared.parity.ladder_state import LadderState, nth
from mnist_fn.shared.parity.layouts import aligned
from mnist_fn.shared.parity.param_map import module_of
from mnist_fn.shared.parity.program import Call, Trace
from mnist_fn.shared.parity.result import Check


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
    stands between the modules is. A module that one program calls on all and the other on parts is
    left out where the models' outputs agree.
    """
    partners = state.pairing.param_map.modules()
    partner_calls = {name: nth(state.right.calls, partner) for name, partner in partners.items()}
    # not of those that keep averages, which every call moves
    keeping = {module_of(pair.name) for pair in state.pairing.param_map.buffers}
    uneven = []
    for name, calls in partner_calls.items():
        count = len(nth(state.left.calls, name))
        if name not in keeping and calls and 0 < count != len(calls):
            uneven.append(name)
    checks: list[Check] = []
    if uneven:
        of_outputs, _ = outputs(state)
        if all(check.passed for check in of_outputs):
            checks += of_outputs
            for name in uneven:
                partner_calls[name] = []
    agreed: list[tuple[int, int]] = []
    compared = dict.fromkeys(partners, 0)
    for call in sorted(state.left.calls, key=lambda call: call.began):
        name = call.module
        if not partner_calls.get(name):
            continue
        index, count = compared[name], len(partner_calls[name])
        if index == count:
            calls = len(nth(state.left.calls, name))
            return [*checks, _calls_differ(name, calls, count)], None
        compared[name] += 1
        comparisons, fault = _compare(state, call, partner_calls[name][index], index, agreed)
        checks += comparisons
        if fault is not None:
            return checks, fault
        agreed.append((call.began, call.ended))
    for name, count in compared.items():
        if 0 < count < len(partner_calls[name]):
            checks.append(_calls_differ(name, count, len(partner_calls[name])))
    return checks, None


def _calls_differ(module: str, ours: int, theirs: int) -> Check:
    text = f"calls of {module}: {ours} in the reference, {theirs} in the port"
    return Check.stated(text, False, "a module is called as often on both programs")


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
            names = ", ".join(right.names) or "none"
            text = f"{what} is not among the port's outputs, which are {names}"
            return [*checks, Check.stated(text, False, "both give the same outputs")], None
        theirs = aligned(right.outputs[place], ours, state.pairing.across)

        def read(trace: Trace, i: int = i) -> np.ndarray | None:
            index = matched(left, trace)[i]  # a port's control run has its own order
            return None if index is None else trace.outputs[index]

        checks.append(state.check(what, ours, theirs, read, terms))
        if not checks[-1].passed:
            partners, inside = state.pairing.param_map.modules(), []
            if not state.pairing.port.unsupported.get("modules"):
                for call in left.calls:
                    if call.module in partners:
                        inside.append((call.began, call.ended))
            name = "the outputs" if len(left.outputs) == 1 else what
            return checks, Fault(name, read, theirs, 0, left.ticks[0], tuple(inside), terms=terms)
    return checks, None


def matched(left: Trace, right: Trace) -> list[int | None]:
    """The place in the port of each of the reference's outputs: by name, else by order."""
    count = len(right.outputs)
    places = {name: i for i, name in enumerate(right.names)}
    if len(left.names) != len(left.outputs) or not set(left.names) & set(places):
        return [i if i < count else None for i in range(len(left.outputs))]
    return list(map(places.get, left.names))


def output_name(trace: Trace, i: int) -> str:
    """An output in words: outputs, outputs[1], outputs["logits"]."""
    if len(trace.outputs) == 1:
        return "outputs"
    name = trace.names[i] if i < len(trace.names) else str(i)
    return f"outputs[{name}]" if name.isdigit() else f'outputs["{name}"]'


def _compare(
    state: LadderState, call: Call, partner: Call, index: int, agreed: list[tuple[int, int]]
) -> tuple[list[Check], Fault | None]:
    """A call's first input and its outputs beside those of a call of its partner; `agreed` are the
    ticks of the calls before it. An input of another shape, which one side pads before the module
    and the other within it, differs only if the outputs do.
    """
    checks: list[Check] = []
    of_input: tuple[Check, Fault] | None = None  # of another shape
    again = f" (call {index + 1})" if index else ""
    for kind, ours, theirs, first, last in (
        ("input", call.inputs[:1], partner.inputs[:1], 0, call.began),
        ("output", call.outputs, partner.outputs, call.began, call.ended),
    ):
        for i, expected in enumerate(ours[: len(theirs)]):
            actual = aligned(theirs[i], expected, state.pairing.across)
            if kind == "input" and not expected.dtype.kind == actual.dtype.kind == "f":
                continue  # ids here and places there may give the same: the outputs decide
            expected, actual = broadcast(expected, actual)
            if kind == "input" and actual.shape == expected.shape:
                actual = state.pairing.param_map.ordered(call.module, actual)
            read, terms = _reader(call.module, index, kind, i), state.lengths.upto(last)
            what = f"{kind} of {call.module}{again}"
            check = state.check(what, expected, actual, read, terms)
            if not check.passed:
                calls = {"call": call, "other": partner} if kind == "output" else {}
                inside = tuple(agreed)
                fault = Fault(what, read, actual, first, last, inside, **calls, terms=terms)
                if kind == "input" and actual.shape != expected.shape:
                    of_input = check, fault
                    continue
                check, fault = of_input or (check, fault)
                return [*checks, check], fault
            checks.append(check)
    if of_input and not checks:  # there is no output to tell
        return [of_input[0]], of_input[1]
    return checks, None


def broadcast(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both in one shape where they differ by broadcasting, as [1, L] and [B, L] do."""
    try:
        shape = np.broadcast_shapes(first.shape, second.shape)
    except ValueError:
        return first, second
    if shape not in (first.shape, second.shape):
        return first, second
    return np.broadcast_to(first, shape), np.broadcast_to(second, shape)


def _reader(module: str, index: int, kind: str, i: int) -> Callable[[Trace], np.ndarray | None]:
    def read(trace: Trace) -> np.ndarray | None:
        calls = nth(trace.calls, module)
        if index >= len(calls):
            return None
        values = calls[index].inputs if kind == "input" else calls[index].outputs
        return values[i] if i < len(values) else None

    return read
