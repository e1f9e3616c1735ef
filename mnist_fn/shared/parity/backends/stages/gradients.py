"""A side's gradient of one batch, explained."""

from collections.abc import Callable, Mapping

import numpy as np

from mnist_fn.shared.parity.backends import numpy_program
from mnist_fn.shared.parity.backends.checks import Pair
from mnist_fn.shared.parity.backends.relu_boundary import near
from mnist_fn.shared.parity.backends.rungs import at_boundary, examples, first_batch
from mnist_fn.shared.parity.backends.stages.implementation import Implementation
from mnist_fn.shared.parity.backends.states import StressState
from mnist_fn.shared.parity.causes.distance import Tensors
from mnist_fn.shared.parity.causes.explanation import Explanation
from mnist_fn.shared.parity.causes.gradients import explain_gradients
from mnist_fn.shared.state import ParamTree, StateTree, named_tensors


def boundary_states(pair: Pair) -> list[StressState]:
    """The state in which a unit's input is exactly 0."""
    if not pair.config.hidden:
        return []
    return [StressState("a ReLU's boundary", at_boundary(pair.start), first_batch(pair))]


def gradients(side: Implementation, stress: StressState) -> Explanation:
    """The gradient of one batch, from the weights of a stress."""
    pair, backend = side.pair, side.backend
    x, y = examples(pair, stress.batch)
    params = numpy_program.flat(stress.state.params)
    observed = dict(named_tensors(backend.gradients(backend.load(stress.state), stress.batch)))
    declared = numpy_program.gradients(params, x, y, pair.config.l2)
    boundary = near(params, x, y, float(np.finfo(side.dtype).eps))
    times = max(1.0, float(np.abs(numpy_program.logits(params, x)).max()))
    floor = {
        n: a + pair.tolerance * times * np.abs(declared[n]).max()
        for n, a in boundary.allowed.items()
    }

    def explained(also: Mapping[str, Tensors]) -> Explanation:
        return explain_gradients(
            declared,
            observed,
            params,
            len(y),
            side.dtype,
            "gradients",
            floor,
            2 * pair.config.l2,
            also,
        )

    explanation = explained({})
    if explanation.holds:
        return explanation
    return explained(
        {
            text: numpy_program.gradients(params, x, y, pair.config.l2, passes)
            for text, passes in SLOPES.items()
        }
    )


SLOPES: dict[str, Callable[[int, np.ndarray], np.ndarray]] = {
    "ReLU′(0) = 1": lambda _, h: np.where(h == 0, 1.0, h > 0),
    "ReLU′(0) = ½": lambda _, h: np.where(h == 0, 0.5, h > 0),
    "ReLU's gradient passes everywhere": lambda _, h: np.ones_like(h),
}


def reference_gradients(pair: Pair, state: StateTree, batch: np.ndarray) -> ParamTree:
    """The declared gradient as a tree in the run's dtype."""
    x, y = examples(pair, batch)
    grads = numpy_program.gradients(numpy_program.flat(state.params), x, y, pair.config.l2)
    return numpy_program.nested(grads, pair.config.dtype)
