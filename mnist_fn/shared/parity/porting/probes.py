"""States in which what sleeps at an ordinary start shows itself; loss and gradients in each."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from mnist_fn.shared.parity.bounds import sum_bound
from mnist_fn.shared.parity.causes.explanation import Explanation
from mnist_fn.shared.parity.checks import Check
from mnist_fn.shared.parity.porting import why
from mnist_fn.shared.parity.porting.batches import large_inputs, one_class
from mnist_fn.shared.parity.porting.layouts import aligned
from mnist_fn.shared.parity.porting.side import Batch, Seen
from mnist_fn.shared.parity.porting.situation import Situation

FACTORS = (0.1, 3.0, 10.0)  # of the weights: clipping, floors, clamps and branches wake
INPUTS = 30.0


def situations(ordinary: Situation, batches: list[Batch]) -> Iterator[Situation]:
    """The probes, each beside the ordinary start."""
    weights, batch = ordinary.weights, batches[0]
    for factor in FACTORS:
        yield replace(ordinary, name=f"weights × {factor:g}", ordinary=ordinary,
                      weights=weights.scaled(factor))  # fmt: skip
    alike, large = one_class(batch), large_inputs(batch, INPUTS)
    if alike is not None:
        yield replace(ordinary, name="one class", ordinary=ordinary, batch=alike)
    if large is not None:
        yield replace(ordinary, name=f"inputs × {INPUTS:g}", ordinary=ordinary, batch=large)


def finite(seen: Seen) -> bool:
    """Whether outputs, loss and gradients have no NaN and no infinity."""
    arrays = [*seen.outputs, *seen.gradients.values(), np.float64(seen.loss or 0.0)]
    return all(bool(np.isfinite(a).all()) for a in arrays)


def loss(situation: Situation) -> tuple[list[Check], Callable[[], Explanation | None]]:
    """The loss, and its gradient with respect to the outputs."""
    left, right = situation.left, situation.right
    usual = situation.ordinary or situation
    dtype = left.outputs[0].dtype if left.outputs[0].dtype.kind == "f" else np.float64
    value = situation.check(
        "loss", np.asarray(left.loss, dtype), np.asarray(right.loss, dtype),
        lambda seen: np.asarray(seen.loss, dtype), situation.lengths.loss,
        abs(usual.left.loss or 0.0),
    )  # fmt: skip
    found = [value]
    for i, one in enumerate(left.output_gradients):
        if i < len(right.output_gradients):
            two = aligned(right.output_gradients[i], one, situation.pairing.across)
            least = float(abs(usual.left.output_gradients[i]).max(initial=0))
            what = "the loss's gradient of the outputs"
            read = lambda seen, i=i: seen.output_gradients[i]  # noqa: E731
            found.append(situation.check(what, one, two, read, situation.lengths.loss, least))
    return found, lambda: why.explain_loss(situation)


def gradients(situation: Situation) -> tuple[list[Check], Callable[[], Explanation | None]]:
    """Of each named tensor."""
    left, right = situation.left.gradients, situation.right.gradients
    usual = (situation.ordinary or situation).left.gradients
    # a gradient that is 0 but for rounding, such as a key's bias, is measured by the others
    most = max((float(abs(g).max(initial=0)) for g in usual.values()), default=0.0)
    found, terms = [], situation.lengths.all
    rounding = sum_bound(terms, situation.dtype) * most
    for name, one in left.items():
        own = float(abs(usual[name]).max(initial=0)) if name in usual else 0.0
        least = own if own > rounding else most
        two = right.get(name, np.zeros(0))
        read = lambda seen, name=name: seen.gradients.get(name)  # noqa: E731
        found.append(situation.check(f"gradient of {name}", one, two, read, terms, least))
    return found, lambda: why.explain_slope(situation)
