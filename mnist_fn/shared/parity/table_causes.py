"""Causes where the reference's program can't be done otherwise line by line, as a traced one.

They are looked for by the tables of the project's own ladder, on the tensors that both show.
"""

import contextlib
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from mnist_fn.shared.parity.bounds import sum_bound
from mnist_fn.shared.parity.causes import normalization
from mnist_fn.shared.parity.causes.activation import (
    IDENTITY,
    activations,
    explain_forward,
    usual_activations,
)
from mnist_fn.shared.parity.causes.explanation import Explanation
from mnist_fn.shared.parity.causes.loss import LOSSES, explain_loss
from mnist_fn.shared.parity.causes.search import Form, Number, explain_variants
from mnist_fn.shared.parity.causes.sums import sums
from mnist_fn.shared.parity.ladder_state import LadderState
from mnist_fn.shared.parity.modules import Fault
from mnist_fn.shared.parity.param_map import module_of, parts

FACTORS = (1, 3, 30, 300)  # of the weights, from which losses are taken
NORMS = {"LayerNorm": True, "RMSNorm": False}  # of Flax: whether the mean is taken off
GATED = 4  # last modules of which one may be the other's gate
STARTS = 8  # last modules of which what parts may be a function


def explain_between(state: LadderState, fault: Fault) -> Explanation | None:
    """What the port has in place of a function between two modules, of a sum of what they give or
    of a gate; None where the reference's own is none of these, of the last modules' outputs.
    """
    ours = fault.read(state.left)
    if fault.call is not None or ours is None or ours.shape != fault.port_value.shape:
        return None
    tensors = [x.reshape(ours.shape).astype(np.float64) for x in _before(state, ours)]
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
    x, params = call.inputs[0].astype(np.float64), state.weights.params

    def param(kind: str) -> np.ndarray | None:
        found = [params[n] for n in params if module_of(n) == call.module and parts(n)[1] == kind]
        return found[0] if found else None

    weight, bias = param("weight"), param("bias")
    if call.kind in NORMS:
        centered = NORMS[call.kind]
        eps = float(call.settings.get("epsilon", normalization.FLAX_EPSILON))

        def affine(y: np.ndarray) -> np.ndarray:
            return y * (1.0 if weight is None else weight) + (0.0 if bias is None else bias)

        def norm(e: float) -> np.ndarray:
            return affine(normalization.normalized(np, x, (-1,), e, centered=centered))

        declared = norm(eps)
        ways = [
            *normalization.epsilons(norm, eps),
            *normalization.forms(np, x, (-1,), eps, affine, centered),
        ]
    elif call.kind == "Dense" and weight is not None:
        kernel = weight if weight.shape[0] == x.shape[-1] else weight.T
        declared = x @ kernel + (0.0 if bias is None else bias)
        ways = list(activations(np, declared, IDENTITY))
        if bias is not None:
            ways.append(Form("no bias", lambda: x @ kernel, code="bias"))
        if kernel.shape[0] == kernel.shape[1]:
            transposed = lambda: x @ kernel.T + (0.0 if bias is None else bias)  # noqa: E731
            ways.append(Form("the weight is not transposed", transposed, code="kernel"))
    else:
        return None
    return _explained(state, fault, ours, ways) if _near(declared, ours, state, fault) else None


def _explained(
    state: LadderState, fault: Fault, ours: np.ndarray, ways: Iterable[Form | Number]
) -> Explanation:
    """Which of some ways gives what the port has."""
    at = fault.call.module if fault.call else ""
    prefix = f"{at}: " if at else ""
    arrays = (
        replace(
            way,
            text=prefix + way.text,
            at=at,
            compute=lambda *value, way=way: {"": way.compute(*value)},
        )
        for way in ways
    )
    observed = {"": np.asarray(fault.port_value)}
    return explain_variants(fault.where, observed, {"": ours}, arrays, state.dtype)


def _near(computed: np.ndarray, ours: np.ndarray, state: LadderState, fault: Fault) -> bool:
    """Whether something computed is what the reference has there."""
    if computed.shape != ours.shape:
        return False
    bound = sum_bound(fault.terms, state.dtype) * float(np.abs(ours).max(initial=1e-300))
    return float(np.abs(computed - ours).max(initial=0)) <= bound


def _before(state: LadderState, ours: np.ndarray) -> Iterator[np.ndarray]:
    """Outputs of the modules that had ended before one is given an array, the last first; then the
    model's inputs.
    """
    calls = state.left.calls
    ended = next(
        (i for i, call in enumerate(calls) if any(x is ours for x in call.inputs)), len(calls)
    )
    for call in calls[:ended][-STARTS:][::-1]:
        yield from (array for array in call.outputs if array.size == ours.size)
    yield from (array for array in state.batch.inputs if array.size == ours.size)


def explain_classes(state: LadderState) -> Explanation | None:
    """Which loss the port has of the same logits; None where the reference's own is none of
    `causes.loss.LOSSES`, or there are no classes.
    """
    labels, outputs = state.batch.targets, state.left.outputs
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iu" or len(outputs) != 1:
        return None
    if outputs[0].ndim != 2 or labels.ndim != 1:
        return None
    answered = list(_answered(_scaled(state, factor) for factor in FACTORS))
    batches = [(scaled.left.outputs[0], labels) for scaled in answered]
    ours = [scaled.left.loss or 0.0 for scaled in answered]
    theirs = [scaled.right.loss or 0.0 for scaled in answered]
    for name in LOSSES:
        if explain_loss(batches, ours, name, dtype=state.dtype).holds:
            return explain_loss(batches, theirs, name, dtype=state.dtype)
    return None


def _answered(states: Iterable[LadderState]) -> Iterator[LadderState]:
    """Without those in which a recording was not asked, or a program fails."""
    for state in states:
        with contextlib.suppress(Exception):
            _ = state.left, state.right
            yield state


def _scaled(state: LadderState, factor: float) -> LadderState:
    return LadderState(
        f"weights × {factor}", state.pairing, state.weights.scaled(factor), state.batch
    )
