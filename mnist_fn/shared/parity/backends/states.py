"""States chosen to wake what sleeps: branches that no ordinary start takes.

Clipping at a norm of 1, a ReLU capped at 6, max-norm 3, a floor under a log: at an ordinary start
each of them does nothing, bit for bit. Two right programs agree on every stress as well.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mnist_fn.shared.parity.backends import numpy_program
from mnist_fn.shared.parity.backends.checks import Pair, compare_numbers
from mnist_fn.shared.parity.backends.climb import BackendClimb
from mnist_fn.shared.parity.backends.rungs import (
    BackendState,
    copied,
    gradients_at,
    logits,
    middle,
    one_step,
)
from mnist_fn.shared.parity.result import Check
from mnist_fn.shared.state import ParamTree, StateTree

TEST_IMAGES = 200


def stress_states(pair: Pair, grads: ParamTree) -> list[BackendState]:
    """All of them; `grads` are those at the start, for the moments of a late step."""
    start, batch = pair.start, pair.first_batch
    labels = pair.dataset.train.labels
    alike = np.resize(np.flatnonzero(labels == labels[0]), len(batch)).astype(np.int32)
    late, last = middle(grads, start), len(start.params) - 1

    def state(name: str, tree: StateTree, indices: np.ndarray = batch) -> BackendState:
        x, _ = pair.declared.examples(indices)
        largest = float(np.abs(numpy_program.logits(numpy_program.flat(tree.params), x)).max())
        return BackendState(name, tree, indices, max(1.0, largest))

    def last_layer(factor: float, others: float = 1) -> StateTree:
        return scaled_by_layer(start, lambda i: factor if i == last else others)

    alternating = scaled_by_layer(start, lambda i: (10, 0.1)[i % 2])
    return [
        state("weights × 0.1", scaled_by_layer(start, lambda _: 0.1)),
        state("weights × 3", scaled_by_layer(start, lambda _: 3)),
        state("weights × 10", scaled_by_layer(start, lambda _: 10)),
        state("layers × 10 and × 0.1 in turn", alternating),
        state("one class in the batch", start, alike),
        state("saturated logits", last_layer(1000)),
        state("logits right beyond doubt", _certain(start, int(labels[0])), alike),
        state("huge gradients", last_layer(1e4, others=10)),
        state("a column × 300", _column(start, 300)),
        state("step 10,000", replace(late, step=10_000)),
        state("step 1,000,000", replace(late, step=1_000_000)),
    ]


def stressed(climb: BackendClimb) -> list[Check]:
    """Logits, loss, gradients and a step from each; ends after the first stage that fails."""
    pair, reference = climb.pair, climb.backends[0]
    grads = reference.gradients(reference.load(pair.start), pair.first_batch)
    images = pair.dataset.test.images[:TEST_IMAGES]
    stages: tuple[Callable[[BackendState], list[Check]], ...] = (
        lambda state: logits(climb, state, images, f"logits of {len(images)} test images"),
        lambda state: _losses(climb, state),
        lambda state: gradients_at(climb, state),
        lambda state: one_step(climb, state, "step"),
    )
    checks: list[Check] = []
    for state in stress_states(pair, grads):
        for stage in stages:
            checks += [replace(check, state=state.name) for check in stage(state)]
            if not all(check.passed for check in checks):
                return checks
    return checks


def _losses(climb: BackendClimb, state: BackendState) -> list[Check]:
    checks, pair = [], climb.pair
    ours, theirs = (b.losses(b.load(state.tree), state.batch) for b in climb.backends)
    for name, a, b in zip(("cross-entropy", "objective"), ours, theirs, strict=True):
        d = compare_numbers(name, a, b, pair.config.dtype)
        bound = pair.tolerance * max(state.times, abs(a))
        reason = "a share of the largest logit: a small loss is a difference of such"
        checks.append(Check(state.label(name), d, bound, "absolute", reason))
    return checks


def scaled_by_layer(start: StateTree, factor: Callable[[int], float]) -> StateTree:
    """The state with each layer's weights times a factor, of the layer's number from 0."""
    params = {}
    for i, (layer, tensors) in enumerate(start.params.items()):
        params[layer] = {k: (t * factor(i)).astype(t.dtype) for k, t in tensors.items()}
    return replace(start, params=params)


def _certain(start: StateTree, label: int) -> StateTree:
    """A class has all the probability but e⁻²⁵: gradients are far below ε."""
    state = copied(start)
    *_, last = state.params.values()
    last["kernel"][:] = last["bias"][:] = 0
    last["bias"][label] = 25
    return state


def _column(start: StateTree, factor: float) -> StateTree:
    """Each kernel's first column beyond any norm that a layer has."""
    state = copied(start)
    for tensors in state.params.values():
        tensors["kernel"][:, 0] *= factor
    return state
