"""A program can be compared if two runs of it from the same state agree to the bit."""

from collections.abc import Iterator

import numpy as np

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.parity.program import Trace


def difference_of_runs(first: Trace, second: Trace) -> str:
    """What differs first between two runs of one program, in words; "" where nothing does."""
    ours, theirs = list(_arrays(first)), list(_arrays(second))
    if [name for name, _ in ours] != [name for name, _ in theirs]:
        return "they call other modules"
    for (name, array_a), (_, array_b) in zip(ours, theirs, strict=True):
        if array_a.shape != array_b.shape:
            return f"{name} has another shape"
        if not np.array_equal(array_a, array_b, equal_nan=array_a.dtype.kind == "f"):
            return f"{name} differs by {np.nanmax(np.abs(array_a.astype(float) - array_b)):.1e}"
    return ""


def refuse_random(name: str, apart: str) -> None:
    """Raise InputError if two runs differ.

    Args:
        name: of the program.
        apart: what `difference_of_runs` says.
    """
    if apart:
        raise InputError(
            f"{name}: is not deterministic: of two runs from the same state {apart}, so there is "
            "nothing to compare with; what is random (Python's random, np.random, a counter, the "
            "time) must be drawn outside and handed in as an input"
        )


def _arrays(trace: Trace) -> Iterator[tuple[str, np.ndarray]]:
    for call in trace.calls:
        for i, output in enumerate(call.outputs):
            yield f"output {i} of {call.module}", output
    for i, output in enumerate(trace.outputs):
        yield f"output {i}", output
    if trace.loss is not None:
        yield "the loss", np.asarray(trace.loss)
    for name, gradient in trace.gradients.items():
        yield f"the gradient of {name}", gradient
    for name, buffer in trace.buffers.items():
        yield f"the buffer {name}", buffer
