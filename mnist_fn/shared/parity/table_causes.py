"""Causes where the reference's program can't be done otherwise line by line, as a traced one.

They are looked for by the tables of the project's own ladder, on the tensors that both show.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from mnist_fn.shared.parity.bounds import sum_bound
from mnist_fn.shared.parity.causes.activation import explain_forward, usual_activations
from mnist_fn.shared.parity.causes.explanation import Explanation
from mnist_fn.shared.parity.causes.loss import LOSSES, explain_loss
from mnist_fn.shared.parity.ladder_state import LadderState
from mnist_fn.shared.parity.modules import Fault
from mnist_fn.shared.parity.packing import NotRecordedError
from mnist_fn.shared.parity.program import Call

FACTORS = (1, 3, 30, 300)  # of the weights, from which losses are taken
STARTS = 8  # last modules of which what parts may be a function


def explain_between(state: LadderState, fault: Fault) -> Explanation | None:
    """Which function the port has in place of the one between two modules; None where the
    reference's own is none of `causes.activation`, of one of the last modules' outputs.
    """
    ours = fault.read(state.left)
    if fault.call is not None or ours is None or ours.shape != fault.port_value.shape:
        return None
    share = sum_bound(fault.terms, state.dtype)
    for x in _before(state, fault, ours.size):
        x = x.reshape(ours.shape).astype(np.float64)
        for activation in usual_activations():
            with np.errstate(all="ignore"):
                gap = float(np.abs(activation(np, x) - ours).max(initial=0))
            if gap <= share * float(np.abs(ours).max(initial=1e-300)):
                return explain_forward(x, fault.port_value, activation, state.dtype, fault.where)
    return None


def _before(state: LadderState, fault: Fault, size: int) -> Iterator[np.ndarray]:
    """Outputs of the modules that had ended, the last first; then the model's inputs."""
    calls: list[Call] = [call for call in state.left.calls if call.ended <= fault.last]
    calls.sort(key=lambda call: -call.ended)
    for call in calls[:STARTS]:
        yield from (array for array in call.outputs if array.size == size)
    yield from (array for array in state.batch.inputs if array.size == size)


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
    """Without those in which a recording was not asked."""
    for state in states:
        try:
            _ = state.left
        except NotRecordedError:
            continue
        yield state


def _scaled(state: LadderState, factor: float) -> LadderState:
    return LadderState(
        f"weights × {factor}", state.pairing, state.weights.scaled(factor), state.batch
    )
