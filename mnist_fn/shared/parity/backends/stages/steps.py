"""A side's optimizer steps, explained from its own gradients."""

from collections.abc import Sequence

import numpy as np

from mnist_fn.shared.backend import Backend
from mnist_fn.shared.parity.backends import numpy_program
from mnist_fn.shared.parity.backends.checks import Pair
from mnist_fn.shared.parity.backends.rungs import middle
from mnist_fn.shared.parity.backends.stages.gradients import reference_gradients
from mnist_fn.shared.parity.backends.stages.implementation import Implementation
from mnist_fn.shared.parity.backends.states import StressState
from mnist_fn.shared.parity.causes.distance import Tensors
from mnist_fn.shared.parity.causes.explanation import Explanation
from mnist_fn.shared.parity.causes.update import explain_update
from mnist_fn.shared.state import StateTree
from mnist_fn.shared.streams import batch_order

STEPS = 6
BEFORE, AFTER = 3, 3  # steps around the one that parts


def steps(side: Implementation, pair: Pair) -> Explanation:
    """The first steps of a training, each on a batch of its own."""
    batches = full_batches(pair, STEPS)
    return _explained(side, pair, pair.start, batches, f"weights after {STEPS} steps")


def resumed(side: Implementation, pair: Pair) -> Explanation:
    """Steps from a state that has moments and a count."""
    grads = reference_gradients(pair, pair.start, full_batches(pair, 2)[1])
    state = middle(grads, pair.start)
    return _explained(side, pair, state, full_batches(pair, 3), "weights after 3 steps")


def stressed(side: Implementation, pair: Pair, stress: StressState) -> Explanation:
    """Steps from the weights of a stress of this pair."""
    batches = [stress.batch, *full_batches(pair, 3)[1:]]
    return _explained(side, pair, stress.state, batches, "weights after 3 steps")


def late(side: Implementation, pair: Pair, step: int) -> Explanation:
    """Steps around the one at which a trajectory parts."""
    first, backend = max(0, step - 1 - BEFORE), side.of(pair)
    batches = full_batches(pair, first + BEFORE + AFTER)
    state = backend.load(pair.start)
    for batch in batches[:first]:
        state, _ = backend.train_epoch(state, batch)
    trajectory = trained(backend, state, batches[first:])
    return _update(side, pair, trajectory, batches[first:], f"weights around step {step}")


def full_batches(pair: Pair, count: int) -> list[np.ndarray]:
    """Full batches in the order of a training, one epoch after another."""
    n, size = len(pair.dataset.train), pair.config.batch_size
    batches: list[np.ndarray] = []
    epoch = 1
    while len(batches) < count:
        order = batch_order(pair.config.seed, epoch, n)
        full = [order[index : index + size] for index in range(0, n - size + 1, size)] or [order]
        batches, epoch = batches + full, epoch + 1
    return batches[:count]


def trained(backend: Backend, state: object, batches: Sequence[np.ndarray]) -> list[StateTree]:
    """The state before the first batch and after each; never loaded anew in between."""
    trajectory = [backend.dump(state)]
    for batch in batches:
        state, _ = backend.train_epoch(state, batch)
        trajectory.append(backend.dump(state))
    return trajectory


def _explained(
    side: Implementation, pair: Pair, start: StateTree, batches: Sequence[np.ndarray], subject: str
) -> Explanation:
    backend = side.of(pair)
    trajectory = trained(backend, backend.load(start), batches)
    trajectory[0] = start
    return _update(side, pair, trajectory, batches, subject, backend)


def _update(
    side: Implementation,
    pair: Pair,
    trajectory: Sequence[StateTree],
    batches: Sequence[np.ndarray],
    subject: str,
    backend: Backend | None = None,
) -> Explanation:
    """The side's own gradients at its own weights; the rule adds the penalty's part itself."""
    backend = backend or side.of(pair)
    grads: list[Tensors] = []
    for state, batch in zip(trajectory, batches, strict=False):
        grad = numpy_program.flat(backend.gradients(backend.load(state), batch))
        weights = numpy_program.flat(state.params)
        grads.append(
            {n: g - 2 * pair.config.l2 * weights[n] if g.ndim > 1 else g for n, g in grad.items()}
        )
    start = numpy_program.flat(trajectory[0].params)
    weights_seen = [numpy_program.flat(state.params) for state in trajectory[1:]]
    moments = {name: numpy_program.flat(slot) for name, slot in trajectory[0].slots.items()}
    rule = numpy_program.rule_of(pair.config, start)
    return explain_update(
        rule, grads, start, weights_seen, moments, trajectory[0].step, side.dtype, subject
    )
