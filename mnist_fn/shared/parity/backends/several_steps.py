"""What a backend's training does, explained: its steps from its own gradients, an epoch with a
short last batch, what is reported of it, and what is evaluated after it.
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mnist_fn.shared.backend import Backend
from mnist_fn.shared.optimizers import learning_rates
from mnist_fn.shared.parity.backends.checks import Pair
from mnist_fn.shared.parity.backends.numpy_program import (
    flat,
    forward,
    gradients,
    rule_of,
    sum_of_squares,
)
from mnist_fn.shared.parity.backends.one_pass import Side
from mnist_fn.shared.parity.backends.rungs import short_of
from mnist_fn.shared.parity.backends.states import BackendState, middle
from mnist_fn.shared.parity.bounds import EPOCH_ROUNDING, EPOCH_START_EPS
from mnist_fn.shared.parity.causes.distance import Tensors, map_tensors
from mnist_fn.shared.parity.causes.explanation import Explanation
from mnist_fn.shared.parity.causes.loss import cross_entropy
from mnist_fn.shared.parity.causes.search import Form, explain_variants
from mnist_fn.shared.parity.causes.update import explain_update
from mnist_fn.shared.state import StateTree, tree_of

STEPS, LATE_STEPS = 6, 3
AROUND = 3  # steps before and after the one that parts
IMAGES = 120  # of the test set


# --- steps ---------------------------------------------------------------------------------------


def steps(side: Side, pair: Pair) -> Explanation:
    """The first steps of a training, each on a batch of its own."""
    batches = full_batches(pair, STEPS)
    return _steps(side, pair, pair.start, batches, f"weights after {STEPS} steps")


def resumed(side: Side, pair: Pair) -> Explanation:
    """Steps from a state that has moments and a count."""
    batches = full_batches(pair, LATE_STEPS)
    state = middle(pair.declared.gradients(pair.start, batches[1]), pair.start)
    return _steps(side, pair, state, batches, f"weights after {LATE_STEPS} steps")


def stressed(side: Side, pair: Pair, state: BackendState) -> Explanation:
    """Steps from a stress state of this pair."""
    batches = [state.batch, *full_batches(pair, LATE_STEPS)[1:]]
    return _steps(side, pair, state.tree, batches, f"weights after {LATE_STEPS} steps")


def late(side: Side, pair: Pair, step: int) -> Explanation:
    """Steps around the one at which a trajectory parts."""
    first, backend = max(0, step - 1 - AROUND), side.of(pair)
    batches = full_batches(pair, first + 2 * AROUND)
    start = _trained(backend, pair.start, batches[:first])[-1]
    return _steps(side, pair, start, batches[first:], f"weights around step {step}")


def full_batches(pair: Pair, count: int) -> list[np.ndarray]:
    """Full batches in the order of a training, one epoch after another."""
    size, batches = pair.config.batch_size, []
    for _, order in pair.epochs(2 * count):  # each of them may end in a short one
        full = max(1, len(order) // size)
        batches += np.split(order, range(size, size * full + 1, size))[:full]
    return batches[:count]


def _trained(backend: Backend, start: StateTree, batches: Sequence[np.ndarray]) -> list[StateTree]:
    """The start and the state after each batch; never loaded anew in between."""
    state, trajectory = backend.load(start), [start]
    for batch in batches:
        state, _ = backend.train_epoch(state, batch)
        trajectory.append(backend.dump(state))
    return trajectory


def _steps(
    side: Side, pair: Pair, start: StateTree, batches: Sequence[np.ndarray], subject: str
) -> Explanation:
    """The side's own gradients at its own weights; the rule adds the penalty's part itself."""
    config, backend = pair.config, side.of(pair)
    trajectory = _trained(backend, start, batches)
    grads: list[Tensors] = []
    for state, batch in zip(trajectory, batches, strict=False):
        grad, weights = flat(backend.gradients(backend.load(state), batch)), flat(state.params)
        for name, weight in weights.items():
            if weight.ndim > 1:
                grad[name] = grad[name] - 2 * config.l2 * weight
        grads.append(grad)
    first, *later = (flat(state.params) for state in trajectory)
    rates: list[float] = []
    if config.schedule != "constant":
        an_epoch = pair.declared.steps_an_epoch
        rates = list(learning_rates(config, start.step, len(batches) + 1, an_epoch))
    rule, moments = rule_of(config, first, rates), {n: flat(t) for n, t in start.slots.items()}
    return explain_update(rule, grads, first, later, moments, start.step, side.dtype, subject)


# --- an epoch ------------------------------------------------------------------------------------


def _ragged(pair: Pair, full: int) -> list[np.ndarray]:
    """The first batches of the first epoch, `full` whole ones and a short one."""
    size = pair.config.batch_size
    _, order = next(pair.epochs(full + 1))
    order = order[: full * size + short_of(size)]
    return np.split(order, range(size, len(order), size))


def epoch(side: Side, pair: Pair) -> Explanation:
    """Weights after one epoch of two full batches and a short one."""
    batches, backend = _ragged(pair, 2), side.of(pair)
    done, _ = backend.train_epoch(backend.load(pair.start), np.concatenate(batches))
    *full, short = batches

    def trained(*chosen: np.ndarray) -> Tensors:
        return flat(_after(pair, pair.start, chosen).params)

    def divided() -> Tensors:
        state, share = _after(pair, pair.start, full), len(short) / pair.config.batch_size
        x, y = pair.declared.examples(short)
        grads = gradients(flat(state.params), x, y, pair.config.l2 / share)
        grads = map_tensors(lambda grad: share * grad, grads)
        return flat(pair.declared.step(state, tree_of(grads)).params)

    twice = list(itertools.chain.from_iterable(zip(batches, batches, strict=True)))
    forms = [
        Form("the short batch of an epoch's end is dropped", lambda: trained(*full)),
        Form("batches in the reverse order", lambda: trained(*batches[::-1])),
        Form("the first batch again and again", lambda: trained(*batches[:1] * len(batches))),
        Form("the first batch alone", lambda: trained(batches[0])),
        Form("the first batch is skipped", lambda: trained(*batches[1:])),
        Form("the whole epoch as one batch", lambda: trained(np.concatenate(batches))),
        Form("no step at all", trained),
        Form("a short batch's sum divided by the full batch size", divided),
        Form("each batch twice", lambda: trained(*twice)),
    ]
    declared = trained(*batches)
    floor = _chaos(pair, batches, declared)
    observed = flat(backend.dump(done).params)
    return explain_variants("weights after an epoch", observed, declared, forms, side.dtype, floor)


def _after(pair: Pair, start: StateTree, batches: Sequence[np.ndarray]) -> StateTree:
    """The declared state after a step on each batch, whatever its size."""
    program, state = pair.declared, start
    for batch in batches:
        state = program.step(state, program.gradients(state, batch))
    return state


def _chaos(pair: Pair, batches: Sequence[np.ndarray], declared: Tensors) -> Tensors:
    """What rounding of the start does to each tensor in an epoch."""
    eps = float(np.finfo(pair.config.dtype).eps)
    rng = np.random.default_rng(0)
    moved = {}
    for name, tensor in flat(pair.start.params).items():
        moved[name] = tensor * (1 + EPOCH_START_EPS * eps * rng.choice((-1, 1), tensor.shape))
    nudged = flat(_after(pair, replace(pair.start, params=tree_of(moved)), batches).params)
    floor = {}
    for name, tensor in declared.items():
        gap = EPOCH_ROUNDING * float(np.abs(tensor - nudged[name]).max())
        floor[name] = np.full(tensor.shape, gap)
    return floor


def report(side: Side, pair: Pair) -> Explanation:
    """Loss and count of correct predictions of an epoch of three full batches and a short one."""
    batches, backend = _ragged(pair, 3), side.of(pair)
    _, metrics = backend.train_epoch(backend.load(pair.start), np.concatenate(batches))
    weights = [flat(state.params) for state in _trained(backend, pair.start, batches)]
    # of each batch, with the weights before each step and after the last: [weights, batches]
    losses, correct = np.zeros((2, len(weights), len(batches)))
    for i, batch in enumerate(batches):
        x, y = pair.declared.examples(batch)
        for k, params in enumerate(weights):
            z = forward(params, x)[-1]
            losses[k, i] = cross_entropy(np, z, y).sum()
            correct[k, i] = (z.argmax(axis=1) == y).sum()
    sizes = np.array(list(map(len, batches)))
    squares = [sum_of_squares(params) for params in weights[:-1]]
    penalty = pair.config.l2 * float(np.average(squares, weights=sizes))
    forms = []
    for text, figures in _reports(losses, correct, sizes, penalty).items():
        forms.append(Form(text, lambda figures=figures: _figures(*figures)))
    declared = _figures(np.trace(losses) / sizes.sum(), np.trace(correct))
    observed = _figures(metrics.loss, metrics.correct)
    return explain_variants("an epoch's report", observed, declared, forms, side.dtype)


def _reports(
    losses: np.ndarray, correct: np.ndarray, sizes: np.ndarray, penalty: float
) -> dict[str, tuple[float, float]]:
    """What an epoch may report in place of what was declared: the loss, and how many predictions
    are right.

    Args:
        losses: summed over each batch, with the weights before each step and after the last.
        correct: predictions, likewise.
        sizes: of the batches, all full but the last.
        penalty: the mean over the examples.
    """
    by_batch, right, count = np.diagonal(losses), np.diagonal(correct), sizes.sum()
    first, last, total, all_right = by_batch[0], by_batch[-1], by_batch.sum(), right.sum()
    later = np.trace(losses[1:]) / count, np.trace(correct[1:])  # with the weights after each step
    return {
        "of the full batches only the first is summed": (
            (first + last) / count,
            right[0] + right[-1],
        ),
        "only the first batch is summed": (first / count, right[0]),
        "only the first 2 batches are summed": (by_batch[:2].sum() / count, right[:2].sum()),
        "mean of unequal batches' means": ((by_batch / sizes).mean(), all_right),
        "the penalty is in the reported loss": (total / count + penalty, all_right),
        "loss taken after each batch's update": later,
        "loss taken after the epoch": (losses[-1].sum() / count, correct[-1].sum()),
        "loss taken at the epoch's start": (losses[0].sum() / count, correct[0].sum()),
        "the last batch's alone": (last / sizes[-1], right[-1]),
        "the first batch's alone": (first / sizes[0], right[0]),
        "the short batch is not counted": (by_batch[:-1].sum() / count, right[:-1].sum()),
        "sum of the batches' means": ((by_batch / sizes).sum(), all_right),
        "the sum, not the mean": (total, all_right),
        "divided by the full batches' size": (total / (len(sizes) * sizes[0]), all_right),
        "none is counted as correct": (total / count, 0.0),
    }


def _figures(loss: float, correct: float) -> Tensors:
    return {"loss": np.array([loss]), "correct": np.array([float(correct)])}


# --- evaluation ----------------------------------------------------------------------------------


def predictions(side: Side) -> Explanation:
    """Logits after some steps: of which weights?"""
    pair, backend = side.pair, side.backend
    images = pair.dataset.test.images[:IMAGES]
    x = pair.declared.pixels(images)
    state = backend.load(pair.start)
    backend.logits(state, images)
    trees, observed = [flat(pair.start.params)], np.empty(0)
    for batch in [pair.first_batch, *full_batches(pair, 4)]:
        state, _ = backend.train_epoch(state, batch)
        trees.append(flat(backend.dump(state).params))
        observed = backend.logits(state, images).astype(np.float64)

    def logits(params: Tensors) -> Tensors:
        return {"logits": forward(params, x)[-1]}

    weights = {
        "the weights of the start are evaluated": trees[0],
        "the weights of one step before are evaluated": trees[-2],
        "the weights after the first step are evaluated": trees[1],
        "the mean of the weights so far is evaluated": map_tensors(
            lambda *tensors: np.mean(tensors, axis=0), *trees[1:]
        ),
    }
    for decay in (0.9, 0.99, 0.999):
        average = trees[0]
        for tree in trees[1:]:
            average = {n: decay * average[n] + (1 - decay) * t for n, t in tree.items()}
        weights[f"an average of the weights with decay {decay:g} is evaluated"] = average
    forms = [Form(text, lambda w=params: logits(w)) for text, params in weights.items()]
    return explain_variants(
        "logits after a training", {"logits": observed}, logits(trees[-1]), forms, side.dtype
    )
