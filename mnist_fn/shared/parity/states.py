"""States in which what sleeps at an ordinary start shows itself; loss and gradients in each."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from mnist_fn.shared.parity import diagnosis
from mnist_fn.shared.parity.batches import large_inputs, one_class
from mnist_fn.shared.parity.bounds import sum_bound
from mnist_fn.shared.parity.causes.distance import largest_entry
from mnist_fn.shared.parity.causes.explanation import Explanation
from mnist_fn.shared.parity.ladder_state import LadderState
from mnist_fn.shared.parity.layouts import aligned
from mnist_fn.shared.parity.modules import matched, output_name
from mnist_fn.shared.parity.program import Batch, Trace
from mnist_fn.shared.parity.result import Check

FACTORS = (0.1, 3.0, 10.0)  # of the weights: clipping, floors, clamps and branches wake
INPUTS = 30.0


def stress_states(ordinary: LadderState, batches: list[Batch]) -> Iterator[LadderState]:
    """The stress states, each compared with the ordinary start."""
    weights, batch = ordinary.weights, batches[0]
    for factor in FACTORS:
        yield replace(
            ordinary,
            name=f"weights × {factor:g}",
            ordinary=ordinary,
            weights=weights.scaled(factor),
        )
    alike, large = one_class(batch), large_inputs(batch, INPUTS)
    if alike is not None:
        yield replace(ordinary, name="one class", ordinary=ordinary, batch=alike)
    if large is not None:
        yield replace(ordinary, name=f"inputs × {INPUTS:g}", ordinary=ordinary, batch=large)


def finite(trace: Trace) -> bool:
    """Whether outputs, loss and gradients have no NaN and no infinity."""
    arrays = [*trace.outputs, *trace.gradients.values(), np.float64(trace.loss or 0.0)]
    return all(bool(np.isfinite(a).all()) for a in arrays)


def loss(state: LadderState) -> tuple[list[Check], Callable[[], Explanation | None]]:
    """The loss, and its gradient with respect to the outputs."""
    left, right = state.left, state.right
    usual = state.ordinary or state
    dtype = left.outputs[0].dtype if left.outputs[0].dtype.kind == "f" else np.float64
    value = state.check(
        "loss",
        np.asarray(left.loss, dtype),
        np.asarray(right.loss, dtype),
        lambda trace: np.asarray(trace.loss, dtype),
        state.lengths.loss,
        abs(usual.left.loss or 0.0),
    )
    results = [value]
    places = matched(left, right)
    for i, ours in enumerate(left.output_gradients):
        place = places[i]
        if place is not None and place < len(right.output_gradients):
            theirs = aligned(right.output_gradients[place], ours, state.pairing.across)
            least = largest_entry(usual.left.output_gradients[i])
            what = f"the loss's gradient of the {output_name(left, i)}"

            def read(trace: Trace, i: int = i) -> np.ndarray | None:
                index, slopes = matched(left, trace)[i], trace.output_gradients
                return slopes[index] if index is not None and index < len(slopes) else None

            results.append(state.check(what, ours, theirs, read, state.lengths.loss, least))
    return results, lambda: diagnosis.explain_loss(state)


def gradients(state: LadderState) -> tuple[list[Check], Callable[[], Explanation | None]]:
    """Of each named tensor."""
    usual = (state.ordinary or state).sizes
    # a gradient that is 0 but for rounding, such as a key's bias, is measured by the others
    most = max(usual.values(), default=0.0)
    results, terms = [], state.lengths.all
    rounding = sum_bound(terms, state.dtype) * most
    for name, ours in state.left.gradients.items():
        least = usual.get(name, 0.0) if usual.get(name, 0.0) > rounding else most
        theirs = state.right.gradients.get(name, np.zeros(0))
        read = lambda trace, name=name: trace.gradients.get(name)  # noqa: E731
        results.append(state.check(f"gradient of {name}", ours, theirs, read, terms, least))
    return results, lambda: diagnosis.explain_slope(state)
