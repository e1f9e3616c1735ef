"""States chosen to wake what sleeps: branches that no ordinary start takes.

Clipping at a norm of 1, a ReLU capped at 6, max-norm 3, a floor under a log: at an ordinary start
each of them does nothing, bit for bit. Two right programs agree on every stress as well.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from mnist_fn.shared.parity.backends import numpy_program
from mnist_fn.shared.parity.backends.checks import Pair
from mnist_fn.shared.parity.backends.climb import BackendClimb
from mnist_fn.shared.parity.backends.rungs import (
    copied,
    examples,
    first_batch,
    gradients_at,
    logits,
    middle,
    one_step,
)
from mnist_fn.shared.parity.compare import compare
from mnist_fn.shared.parity.result import Check
from mnist_fn.shared.state import ParamTree, StateTree

TEST_IMAGES = 200
WHY = "an error of a logit is one of its probability, relative: the bound grows with the logits"


@dataclass(frozen=True)
class StressState:
    """A state and a batch."""

    name: str
    state: StateTree
    batch: np.ndarray  # int32 [batch_size], indices of training examples


def stress_states(pair: Pair, start: StateTree, grads: ParamTree) -> list[StressState]:
    """All of them; `grads` are those at the start, for the moments of a late step."""
    batch = first_batch(pair)
    single_class = _one_class(pair, len(batch))
    late = middle(grads, start)
    last = len(start.params) - 1

    def last_layer(factor: float, others: float = 1) -> StateTree:
        return scaled_by_layer(start, lambda i: factor if i == last else others)

    alternating = scaled_by_layer(start, lambda i: (10, 0.1)[i % 2])
    return [
        *(
            StressState(f"weights × {x:g}", scaled_by_layer(start, lambda _, x=x: x), batch)
            for x in (0.1, 3, 10)
        ),
        StressState("layers × 10 and × 0.1 in turn", alternating, batch),
        StressState("one class in the batch", start, single_class),
        StressState("saturated logits", last_layer(1000), batch),
        StressState("logits right beyond doubt", _certain(pair, start, single_class), single_class),
        StressState("huge gradients", last_layer(1e4, others=10), batch),
        StressState("a column × 300", _column(start, 300), batch),
        StressState("step 10,000", replace(late, step=10_000), batch),
        StressState("step 1,000,000", replace(late, step=1_000_000), batch),
    ]


def stressed(climb: BackendClimb) -> list[Check]:
    """Logits, loss, gradients and a step from each; ends after the first stage that fails."""
    reference = climb.backends[0]
    grads = reference.gradients(reference.load(climb.pair.start), first_batch(climb.pair))
    images = climb.pair.dataset.test.images[:TEST_IMAGES]
    checks: list[Check] = []
    for stress in stress_states(climb.pair, climb.pair.start, grads):
        name, state, batch = stress.name, stress.state, stress.batch
        times = max(1.0, largest_logit(climb.pair, stress))
        for stage in (
            partial(logits, climb, state, images, f"{name}: logits of {len(images)} test images"),
            partial(_losses, climb, stress, times),
            partial(gradients_at, climb, state, batch, f"{name}: gradient of", times, WHY),
            partial(one_step, climb, state, batch, f"{name}: step", times, WHY),
        ):
            checks += [replace(check, state=name) for check in stage()]
            if not all(check.passed for check in checks):
                return checks
    return checks


def largest_logit(pair: Pair, stress: StressState) -> float:
    """Of the stress's batch, by the reference."""
    x, _ = examples(pair, stress.batch)
    return float(np.abs(numpy_program.logits(numpy_program.flat(stress.state.params), x)).max())


def _losses(climb: BackendClimb, stress: StressState, times: float) -> list[Check]:
    checks, pair = [], climb.pair
    losses = [b.losses(b.load(stress.state), stress.batch) for b in climb.backends]
    for name, a, b in zip(("cross-entropy", "objective"), *losses, strict=True):
        dtype = pair.config.dtype
        d = compare(name, np.asarray(a, dtype), np.asarray(b, dtype))
        bound = pair.tolerance * max(times, abs(a))
        reason = "a share of the largest logit: a small loss is a difference of such"
        checks.append(Check(f"{stress.name}: {name}", d, bound, "absolute", reason))
    return checks


def _one_class(pair: Pair, n: int) -> np.ndarray:
    labels = pair.dataset.train.labels
    return np.resize(np.flatnonzero(labels == labels[0]), n).astype(np.int32)


def scaled_by_layer(start: StateTree, factor: Callable[[int], float]) -> StateTree:
    """The state with each layer's weights times a factor, of the layer's number from 0."""
    params = {
        layer: {kind: (t * factor(i)).astype(t.dtype) for kind, t in tensors.items()}
        for i, (layer, tensors) in enumerate(start.params.items())
    }
    return replace(start, params=params)


def _certain(pair: Pair, start: StateTree, batch: np.ndarray) -> StateTree:
    """The batch's one class has all the probability but e⁻²⁵: gradients are far below ε."""
    state = copied(start)
    *_, last = state.params.values()
    last["kernel"][:] = last["bias"][:] = 0
    last["bias"][pair.dataset.train.labels[batch[0]]] = 25
    return state


def _column(start: StateTree, factor: float) -> StateTree:
    """Each kernel's first column beyond any norm that a layer has."""
    state = copied(start)
    for tensors in state.params.values():
        tensors["kernel"][:, 0] *= factor
    return state
