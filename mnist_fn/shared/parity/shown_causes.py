"""Causes that are read from the tensors that both programs show, without running one again: modules
in another order or a lower precision, and, where the reference can't be done otherwise line by line
as a traced one can't, what the plain tables of `causes` find between its modules and in them.
"""

import contextlib
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from mnist_fn.shared.parity.bounds import NARROW_ULPS, sum_bound
from mnist_fn.shared.parity.causes import normalization
from mnist_fn.shared.parity.causes.activation import (
    IDENTITY,
    activations,
    explain_forward,
    usual_activations,
)
from mnist_fn.shared.parity.causes.explanation import Candidate, Explanation, as_declared, judge
from mnist_fn.shared.parity.causes.loss import LOSSES, explain_loss
from mnist_fn.shared.parity.causes.precision import FORMATS, mantissa_bits
from mnist_fn.shared.parity.causes.search import Form, explain_variants
from mnist_fn.shared.parity.causes.sums import sums
from mnist_fn.shared.parity.ladder_state import LadderState
from mnist_fn.shared.parity.layouts import aligned
from mnist_fn.shared.parity.modules import Fault
from mnist_fn.shared.parity.param_map import module_of, parts
from mnist_fn.shared.parity.program import Call, Trace

FACTORS = (1, 3, 30, 300)  # of the weights, from which losses are taken
NORMS = ("LayerNorm", "RMSNorm", "BatchNorm", "GroupNorm")  # of Flax
GATED = 4  # last modules of which one may be the other's gate
STARTS = 8  # last modules of which what parts may be a function


def explain_between(state: LadderState, fault: Fault) -> Explanation | None:
    """What the port has in place of a function between two modules, of a sum of what they give or
    of a gate; None where the reference's own is none of these, of the last modules' outputs.
    """
    ours = fault.read(state.left)
    if fault.call is not None or ours is None or ours.shape != fault.port_value.shape:
        return None
    tensors = _inputs_before(state, ours)
    usual = list(usual_activations())
    for x, activation in itertools.product(tensors, usual):
        with np.errstate(all="ignore"):
            if _near(activation(np, x), ours, state, fault):
                return explain_forward(x, fault.port_value, activation, state.dtype, fault.where)
    for x, y in itertools.combinations(tensors[::-1], 2):
        if _near(x + y, ours, state, fault):
            return _explained(state, fault, ours, sums(x, y))
    for (x, gate), f in itertools.product(itertools.permutations(tensors[:GATED], 2), usual):
        if _near(f(np, x) * gate, ours, state, fault):
            ways = activations(np, x, f, lambda g, x=x, gate=gate: g(np, x) * gate)
            return _explained(state, fault, ours, ways)
    return None


def explain_module(state: LadderState, fault: Fault) -> Explanation | None:
    """What the port computes in place of a module, where NumPy can compute the reference's own."""
    call, ours = fault.call, fault.read(state.left)
    if call is None or ours is None or not call.inputs or ours.shape != fault.port_value.shape:
        return None
    x, params = call.inputs[0].astype(np.float64), dict[str, np.ndarray]()
    for name, tensor in state.weights.params.items():
        if module_of(name) == call.module:
            params.setdefault(parts(name)[1], tensor)
    weight, bias = params.get("weight"), params.get("bias")
    if call.kind in NORMS:
        declared, ways = _norms(call, x, weight, bias)
    elif call.kind == "Dense" and weight is not None:
        kernel = weight if weight.shape[0] == x.shape[-1] else weight.T
        declared = x @ kernel + (0.0 if bias is None else bias)
        ways = list(activations(np, declared, IDENTITY))
        if bias is not None:
            ways.append(Form("no bias", lambda: x @ kernel))
        if kernel.shape[0] == kernel.shape[1]:
            transposed = lambda: x @ kernel.T + (0.0 if bias is None else bias)  # noqa: E731
            ways.append(Form("the weight is not transposed", transposed))
    else:
        return None
    return _explained(state, fault, ours, ways) if _near(declared, ours, state, fault) else None


def _norms(
    call: Call, x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None
) -> tuple[np.ndarray, list[Form]]:
    """What a norm of Flax gives, of the batch's own statistics, and variants of it."""
    eps = float(call.settings.get("epsilon", normalization.FLAX_EPSILON))
    centered, groups = call.kind != "RMSNorm", call.settings.get("num_groups")

    def affine(y: np.ndarray) -> np.ndarray:
        y = y.reshape(x.shape) * (1.0 if weight is None else weight)
        return y + (0.0 if bias is None else bias)

    def norm(e: float = eps, groups: int | None = groups) -> np.ndarray:
        view, axes = _normed_axes(call.kind, x, groups)
        return affine(normalization.normalized(np, view, axes, e, centered=centered))

    view, axes = _normed_axes(call.kind, x, groups)
    ways = [
        *normalization.epsilons(norm, eps),
        *normalization.forms(np, view, axes, eps, affine, centered),
    ]
    for count in range(1, x.shape[-1] + 1) if groups else ():
        if x.shape[-1] % count == 0 and count != groups:
            other = lambda n=count: norm(groups=n)  # noqa: E731
            ways.append(Form("groups", other, declared=groups, actual=count))
    return norm(), ways


def _normed_axes(
    kind: str, x: np.ndarray, groups: int | None
) -> tuple[np.ndarray, tuple[int, ...]]:
    """An array and the axes along which it is normalized."""
    if kind == "BatchNorm":
        return x, tuple(range(x.ndim - 1))
    if groups:
        return x.reshape(len(x), -1, groups, x.shape[-1] // groups), (1, 3)
    return x, (-1,)


def _explained(
    state: LadderState, fault: Fault, ours: np.ndarray, ways: Iterable[Form]
) -> Explanation:
    """Which of some ways gives what the port has."""
    at, arrays = fault.call.module if fault.call else None, []
    for way in ways:
        compute = lambda *value, way=way: {"": way.compute(*value)}  # noqa: E731
        arrays.append(replace(way, at=at, compute=compute))
    observed = {"": np.asarray(fault.port_value)}
    return explain_variants(fault.where, observed, {"": ours}, arrays, state.dtype)


def _near(computed: np.ndarray, ours: np.ndarray, state: LadderState, fault: Fault) -> bool:
    """Whether something computed is what the reference has there."""
    if computed.shape != ours.shape:
        return False
    bound = sum_bound(fault.terms, state.dtype) * float(np.abs(ours).max(initial=1e-300))
    return float(np.abs(computed - ours).max(initial=0)) <= bound


def _inputs_before(state: LadderState, ours: np.ndarray) -> list[np.ndarray]:
    """Outputs of the modules that had ended before one is given an array, the last first; then the
    model's inputs. Of these all that have its size, in its shape.
    """
    ended: list[Call] = []
    for call in state.left.calls:
        if any(x is ours for x in call.inputs):
            break
        ended.append(call)
    arrays = []
    for call in ended[-STARTS:][::-1]:
        arrays += call.outputs
    tensors = []
    for array in (*arrays, *state.batch.inputs):
        if array.size == ours.size:
            tensors.append(array.reshape(ours.shape).astype(np.float64))
    return tensors


def explain_classes(state: LadderState) -> Explanation | None:
    """Which loss the port has of the same logits; None where the reference's own is none of
    `causes.loss.LOSSES`, or there are no classes.
    """
    labels, outputs = state.batch.targets, state.left.outputs
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iu" or len(outputs) != 1:
        return None
    if outputs[0].ndim != 2 or labels.ndim != 1:
        return None
    batches, ours, theirs = [], [], []
    for factor in FACTORS:
        scaled = LadderState("", state.pairing, state.weights.scaled(factor), state.batch)
        with contextlib.suppress(Exception):  # a recording was not asked, or a program fails
            left, right = scaled.left, scaled.right
            batches.append((left.outputs[0], labels))
            ours.append(left.loss or 0.0)
            theirs.append(right.loss or 0.0)
    for name in LOSSES:
        if explain_loss(batches, ours, name, dtype=state.dtype).holds:
            return explain_loss(batches, theirs, name, dtype=state.dtype)
    return None


def explain_precision(state: LadderState, fault: Fault) -> Explanation | None:
    """Whether the port computes a place in fewer bits than the reference; None where it doesn't."""
    declared = fault.read(state.left)
    actual = np.asarray(fault.port_value, np.float64)
    if declared is None or declared.shape != actual.shape or not np.isfinite(actual).all():
        return None
    # fewer than half of a format's bits are what 0, 1 and other plain numbers have anyway
    used, usual = mantissa_bits(actual), mantissa_bits(declared)
    bits = next((b for b in sorted(FORMATS) if b // 2 < used <= b < usual), None)
    if bits is None:
        return None
    gap = float(np.abs(actual - declared).max(initial=0))
    unit = NARROW_ULPS * 2.0 ** (1 - bits) * float(np.abs(declared).max(initial=0))
    cause = Candidate(
        "precision",
        gap,
        gap / unit,
        at=fault.call.module if fault.call else None,
        declared=state.dtype,
        actual=FORMATS[bits],
        details={"bits": bits},
    )
    # all that float64 could show is rounding there: whatever else differs is beyond that
    return judge(fault.where, as_declared(), [cause]) if cause.fits else None


def explain_order(state: LadderState, fault: Fault) -> Explanation | None:
    """Whether the port calls modules in another order, as post-norm for pre-norm."""
    if state.pairing.param_map.guessed:
        return None  # two modules that were taken for each other
    partners = state.pairing.param_map.modules()
    names = {partner: name for name, partner in partners.items()}
    left = _first_calls(state.left, dict(zip(partners, partners, strict=True)))
    right = _first_calls(state.right, names)
    ours = [name for name in left if name in right]
    theirs = [name for name in right if name in left]
    if ours == theirs:
        return None
    first, in_port = next((a, b) for a, b in zip(ours, theirs, strict=True) if a != b)
    gap, array = _gap(state, left[first], right[in_port]), left[first].inputs[0].astype(np.float64)
    unit = state.check("", array, array, lambda _: None, fault.terms).tolerance
    for name in sorted((first, in_port), key=lambda name: not _is_norm(left[name])):
        moved = _gap(state, left[name], right[name])
        cause = Candidate(
            "order of modules",
            gap,
            gap / max(unit, 1e-300),
            at=name,
            declared=ours,
            actual=theirs,
            details={"norm": _is_norm(left[name])},
        )
        if moved > gap and cause.fits:
            return judge(fault.where, as_declared(moved), [cause])
    return None


def _is_norm(call: Call) -> bool:
    return "norm" in call.kind.lower()


def _first_calls(trace: Trace, names: Mapping[str, str]) -> dict[str, Call]:
    """The first call of each named module, where it has inputs, in the order of the calls."""
    calls: dict[str, Call] = {}
    for call in trace.calls:
        if call.module in names:
            calls.setdefault(names[call.module], call)
    return {name: call for name, call in calls.items() if call.inputs}


def _gap(state: LadderState, ours: Call, theirs: Call) -> float:
    """How far apart what goes into two modules is."""
    left = ours.inputs[0].astype(np.float64)
    right = aligned(theirs.inputs[0].astype(np.float64), left, state.pairing.across)
    if left.shape != right.shape:
        return np.inf
    return float(np.abs(left - right).max(initial=0))
