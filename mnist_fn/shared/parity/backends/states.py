"""States chosen to wake what sleeps: branches that no ordinary start takes.

Clipping at a norm of 1, a ReLU capped at 6, max-norm 3, a floor under a log: at an ordinary start
each of them does nothing, bit for bit. Two right programs agree on every stress as well.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mnist_fn.shared.backend import Backend
from mnist_fn.shared.parity.backends import numpy_program
from mnist_fn.shared.parity.backends.checks import Pair, sums, trees
from mnist_fn.shared.parity.backends.rungs import (
    boundary_of,
    examples,
    first_batch,
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
        *(StressState(f"weights × {x:g}", _scaled(start, x), batch) for x in (0.1, 3, 10)),
        StressState("layers × 10 and × 0.1 in turn", alternating, batch),
        StressState("one class in the batch", start, single_class),
        StressState("saturated logits", last_layer(1000), batch),
        StressState("logits right beyond doubt", _certain(pair, start, single_class), single_class),
        StressState("huge gradients", last_layer(1e4, others=10), batch),
        StressState("a column × 300", _column(start, 300), batch),
        StressState("step 10,000", replace(late, step=10_000), batch),
        StressState("step 1,000,000", replace(late, step=1_000_000), batch),
    ]


def rung(pair: Pair, backends: list[Backend], start: StateTree) -> list[Check]:
    """Logits, loss, gradients and a step from each stress; ends after the first that parts."""
    grads = backends[0].gradients(backends[0].load(start), first_batch(pair))
    checks: list[Check] = []
    for stress in stress_states(pair, start, grads):
        checks += climbed(pair, backends, stress)
        if not all(check.passed for check in checks):
            break
    return checks


def climbed(pair: Pair, backends: list[Backend], stress: StressState) -> list[Check]:
    """The checks of one stress, from the logits up to the first stage that fails."""
    times = max(1.0, largest_logit(pair, stress))
    checks: list[Check] = []
    for stage in (_logits, _losses, _gradients, _step):
        results = stage(pair, backends, stress, times)
        checks += [replace(check, state=stress.name) for check in results]
        if not all(check.passed for check in checks):
            break
    return checks


def largest_logit(pair: Pair, stress: StressState) -> float:
    """Of the stress's batch, by the reference."""
    x, _ = examples(pair, stress.batch)
    return float(np.abs(numpy_program.logits(numpy_program.flat(stress.state.params), x)).max())


def _logits(pair: Pair, backends: list[Backend], stress: StressState, times: float) -> list[Check]:
    images = pair.dataset.test.images[:TEST_IMAGES]
    left, right = (b.logits(b.load(stress.state), images) for b in backends)
    what = f"{stress.name}: logits of {len(images)} test images"
    return [sums(pair, what, compare("logits", left, right))]


def _losses(pair: Pair, backends: list[Backend], stress: StressState, times: float) -> list[Check]:
    checks = []
    losses = [backend.losses(backend.load(stress.state), stress.batch) for backend in backends]
    for name, a, b in zip(("cross-entropy", "objective"), *losses, strict=True):
        dtype = pair.config.dtype
        d = compare(name, np.asarray(a, dtype), np.asarray(b, dtype))
        bound = pair.tolerance * max(times, abs(a))
        reason = "a share of the largest logit: a small loss is a difference of such"
        checks.append(Check(f"{stress.name}: {name}", d, bound, "absolute", reason))
    return checks


def _gradients(
    pair: Pair, backends: list[Backend], stress: StressState, times: float
) -> list[Check]:
    left, right = (b.gradients(b.load(stress.state), stress.batch) for b in backends)
    boundary = boundary_of(pair, stress.state, stress.batch)
    what = f"{stress.name}: gradient of"
    return trees(pair, what, left, right, boundary=boundary, times=times, reason=WHY)


def _step(pair: Pair, backends: list[Backend], stress: StressState, times: float) -> list[Check]:
    what = f"{stress.name}: step"
    return one_step(pair, backends, stress.state, stress.batch, what, times, WHY)


def _one_class(pair: Pair, n: int) -> np.ndarray:
    labels = pair.dataset.train.labels
    return np.resize(np.flatnonzero(labels == labels[0]), n).astype(np.int32)


def _scaled(start: StateTree, factor: float) -> StateTree:
    return scaled_by_layer(start, lambda _: factor)


def scaled_by_layer(start: StateTree, factor: Callable[[int], float]) -> StateTree:
    """The state with each layer's weights times a factor, of the layer's number from 0."""
    params = {
        layer: {kind: (t * factor(i)).astype(t.dtype) for kind, t in tensors.items()}
        for i, (layer, tensors) in enumerate(start.params.items())
    }
    return replace(start, params=params)


def _certain(pair: Pair, start: StateTree, batch: np.ndarray) -> StateTree:
    """The batch's one class has all the probability but e⁻²⁵: gradients are far below ε."""
    params = {layer: dict(tensors) for layer, tensors in start.params.items()}
    *_, last = params.values()
    bias = np.zeros_like(last["bias"])
    bias[pair.dataset.train.labels[batch[0]]] = 25
    last["kernel"], last["bias"] = last["kernel"] * 0, bias
    return replace(start, params=params)


def _column(start: StateTree, factor: float) -> StateTree:
    """Each kernel's first column beyond any norm that a layer has."""
    params = {
        layer: {k: t.copy() for k, t in tensors.items()} for layer, tensors in start.params.items()
    }
    for tensors in params.values():
        tensors["kernel"][:, 0] *= factor
    return replace(start, params=params)
