"""Causes that no single line has: modules in another order, a module in a lower precision."""

from collections.abc import Sequence

import numpy as np

from mnist_fn.shared.parity.bounds import NARROW_ULPS
from mnist_fn.shared.parity.causes.explanation import AS_DECLARED, Candidate, Explanation, judge
from mnist_fn.shared.parity.causes.numbers import mantissa_bits
from mnist_fn.shared.parity.ladder_state import LadderState, nth
from mnist_fn.shared.parity.layouts import aligned
from mnist_fn.shared.parity.modules import Fault
from mnist_fn.shared.parity.program import Call, Trace

FORMATS = {8: "bfloat16", 11: "float16", 24: "float32"}  # by the bits of their mantissa


def explain_precision(state: LadderState, fault: Fault) -> Explanation | None:
    """Whether the port computes a place in fewer bits than the reference; None where it doesn't."""
    declared = fault.read(state.left)
    actual = np.asarray(fault.port_value, np.float64)
    if declared is None or declared.shape != actual.shape or not np.isfinite(actual).all():
        return None
    # fewer than half of a format's bits are what 0, 1 and other plain numbers have anyway
    used, usual = mantissa_bits(actual), mantissa_bits(declared)
    bits = next((b for b in FORMATS if b // 2 < used <= b < usual), None)
    if bits is None:
        return None
    gap = float(np.abs(actual - declared).max(initial=0))
    unit = NARROW_ULPS * 2.0 ** (1 - bits) * float(np.abs(declared).max(initial=0))
    cause = Candidate(
        f"computed in {FORMATS[bits]}: each of the port's numbers has {bits} bits or fewer",
        gap,
        gap / unit,
        code="precision",
        at=fault.call.module if fault.call else "",
        declared=state.dtype,
        actual=FORMATS[bits],
    )
    # all that float64 could show is rounding there: whatever else differs is beyond that
    return judge(fault.where, _as_declared(np.inf), [cause]) if cause.fits else None


def explain_order(state: LadderState, fault: Fault) -> Explanation | None:
    """Whether the port calls modules in another order, as post-norm for pre-norm."""
    if state.pairing.param_map.guessed:
        return None  # two modules that were taken for each other
    partners = state.pairing.param_map.modules()
    names = {partner: name for name, partner in partners.items()}
    left = _first_calls(state.left, list(partners))
    right = {names[p]: call for p, call in _first_calls(state.right, list(names)).items()}
    ours = [name for name in left if name in right]
    theirs = [name for name in right if name in left]
    if ours == theirs:
        return None
    first, in_port = next((a, b) for a, b in zip(ours, theirs, strict=True) if a != b)
    gap = _gap(state, left[first], right[in_port])
    for name in sorted((first, in_port), key=lambda name: not _is_norm(left[name])):
        moved = _gap(state, left[name], right[name])
        cause = Candidate(
            _order_text(left[name], ours, theirs),
            gap,
            gap / max(_unit(state, fault, left[first]), 1e-300),
            code="order of modules",
            at=name,
            declared=ours,
            actual=theirs,
        )
        if moved > gap and cause.fits:
            return judge(fault.where, _as_declared(moved), [cause])
    return None


def _is_norm(call: Call) -> bool:
    return "norm" in call.kind.lower()


def _as_declared(residual: float) -> Candidate:
    return Candidate(AS_DECLARED.text, residual, np.inf, **AS_DECLARED.facts)


def _unit(state: LadderState, fault: Fault, call: Call) -> float:
    """What rounding may do to what goes into a module."""
    array = call.inputs[0].astype(np.float64)
    check = state.check("", array, array, lambda _: None, fault.terms)
    return check.tolerance


def _first_calls(trace: Trace, modules: Sequence[str]) -> dict[str, Call]:
    """The first call of each module, in the order in which they are called."""
    calls = [found[0] for module in modules if (found := nth(trace.calls, module))]
    calls = [call for call in calls if call.inputs]
    return {call.module: call for call in sorted(calls, key=lambda c: trace.calls.index(c))}


def _gap(state: LadderState, ours: Call, theirs: Call) -> float:
    """How far apart what goes into two modules is."""
    left = ours.inputs[0].astype(np.float64)
    right = aligned(theirs.inputs[0].astype(np.float64), left, state.pairing.across)
    if left.shape != right.shape:
        return np.inf
    return float(np.abs(left - right).max(initial=0))


def _order_text(call: Call, ours: list[str], theirs: list[str]) -> str:
    """Where a module stands in both, in words."""
    name = call.module
    earlier = theirs.index(name) < ours.index(name)  # in the port
    places = []
    for order, is_early in ((ours, not earlier), (theirs, earlier)):
        i = order.index(name)
        neighbour = order[i + 1] if is_early else order[i - 1]
        places.append(f"{'before' if is_early else 'after'} {neighbour}")
    text = f"{name} is called {places[0]} in the reference, {places[1]} in the port"
    if _is_norm(call):
        text += ": pre-norm for post-norm" if earlier else ": post-norm for pre-norm"
    return text
