"""What two backends are compared by below the trajectory."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mnist_fn.shared.backend import Backend
from mnist_fn.shared.data.datasets import scale_pixels
from mnist_fn.shared.optimizers import EPS, OPTIMIZERS
from mnist_fn.shared.parity.backends.checks import (
    Pair,
    absolute,
    compare_numbers,
    number,
    sums,
)
from mnist_fn.shared.parity.backends.climb import BackendClimb
from mnist_fn.shared.parity.backends.contract import breaches
from mnist_fn.shared.parity.backends.numpy_program import flat, rule_of
from mnist_fn.shared.parity.backends.states import (
    LATE,
    BackendState,
    at_boundary,
    middle,
    ordinary,
    state_of,
    stress_states,
)
from mnist_fn.shared.parity.causes.distance import largest_of_all
from mnist_fn.shared.parity.causes.rules import DIRECTIONS
from mnist_fn.shared.parity.compare import compare, compare_trees
from mnist_fn.shared.parity.result import Check
from mnist_fn.shared.state import ParamTree, StateTree, named_tensors

WHY = "an error of a logit is one of its probability, relative: the bound grows with the logits"
QUERIES = 48  # examples asked for one by one
TEST_IMAGES = 200  # of which logits are compared in a stress state


def inputs(climb: BackendClimb) -> list[Check]:
    """Check each backend's contract, then its weights, pixels, labels and order of batches."""
    pair, start = climb.pair, climb.pair.start
    checks = breaches(climb.backends, start)
    if checks:
        return checks
    for backend in climb.backends:
        dumped = backend.dump(backend.load(start))
        for kind, tree in start.trees().items():
            differences = compare_trees(tree, dumped.trees()[kind], f"{kind}/")
            checks += absolute(f"{backend.name} initial", differences)
    for backend in pair.linear.make():
        checks += _pixels(backend, pair.linear) + _labels_in_order(backend, pair.linear)
    return checks


def _pixels(backend: Backend, pair: Pair) -> list[Check]:
    """A linear model whose kernel has a single 1 for each logit hands the pixels back."""
    state, dataset = pair.zeros, pair.dataset
    middle = (dataset.pixels // 2 + np.arange(dataset.classes)) % dataset.pixels
    state.params["layer1"]["kernel"][middle, np.arange(dataset.classes)] = 1
    read = backend.logits(backend.load(state), dataset.test.images)
    true = scale_pixels(dataset.test.images, pair.config.dtype)[:, middle]
    return absolute(f"{backend.name}, through one product,", [compare("pixels", true, read)])


def _labels_in_order(backend: Backend, pair: Pair) -> list[Check]:
    """Which examples are trained on, asked one by one."""
    state, members = one_class(pair)
    queries = queries_of(pair, members)
    answers = np.array([correct(backend, state, query) for query in queries])
    differences = [compare("examples by order", members[queries], answers)]
    return absolute(backend.name, differences)


def one_class(pair: Pair) -> tuple[StateTree, np.ndarray]:
    """Make a model that always says one class; and tell, 0.0 or 1.0, which examples are of it."""
    labels = pair.dataset.train.labels
    unlike = labels[labels != labels[0]]
    label = unlike[0] if len(unlike) else labels[0]
    state = pair.zeros
    state.params["layer1"]["bias"][label] = 1
    return state, (labels == label).astype(float)


def queries_of(pair: Pair, members: np.ndarray) -> np.ndarray:
    """Examples to ask for: a member of the class, then in turn any example and a member."""
    indices = np.flatnonzero(members)[:QUERIES]
    _, order = next(pair.epochs(QUERIES))
    turns = np.stack([order[:QUERIES], np.resize(indices[1:], len(order[:QUERIES]))], axis=1)
    return np.r_[indices[:1], turns.ravel()][:QUERIES]


def correct(backend: Backend, state: StateTree, indices: np.ndarray) -> float:
    """How many of some examples are right, as an epoch of them reports it."""
    order = np.atleast_1d(indices).astype(np.int32)
    return float(backend.train_epoch(backend.load(state), order)[1].correct)


def outputs(climb: BackendClimb) -> list[Check]:
    """Logits of the whole test set."""
    images = climb.pair.dataset.test.images
    return logits(climb, ordinary(climb.pair), images, "logits of the test set")


def logits(climb: BackendClimb, state: BackendState, images: np.ndarray, what: str) -> list[Check]:
    """Logits of some images."""
    ours, theirs = (backend.logits(backend.load(state.tree), images) for backend in climb.backends)
    return [sums(climb.pair, state.label(what), compare("logits", ours, theirs))]


def loss(climb: BackendClimb) -> list[Check]:
    """Cross-entropy and objective, of a full and a short batch."""
    pair, checks = climb.pair, []
    batch = pair.first_batch
    for indices, suffix in ((batch, ""), (batch[: short_of(len(batch))], " of a short batch")):
        ours, theirs = (b.losses(b.load(pair.start), indices) for b in climb.backends)
        for name, a, b in zip(("cross-entropy", "objective"), ours, theirs, strict=True):
            checks.append(number(pair, name + suffix, a, b))
    return checks


def short_of(size: int) -> int:
    """How many examples a batch has that is shorter than a full one."""
    return size * 3 // 8 + 1


def gradients(climb: BackendClimb) -> list[Check]:
    """Of each named tensor."""
    return gradients_at(climb, ordinary(climb.pair))


def relu_at_zero(climb: BackendClimb) -> list[Check]:
    """The gradients where a unit's input is exactly 0: the derivative there is a convention."""
    return gradients_at(climb, at_boundary(climb.pair))


def gradients_at(climb: BackendClimb, state: BackendState) -> list[Check]:
    """The gradients of a state's batch."""
    ours, theirs = (b.gradients(b.load(state.tree), state.batch) for b in climb.backends)
    return trees(climb.pair, state, state.label("gradient of"), ours, theirs)


def step(climb: BackendClimb) -> list[Check]:
    """One optimizer step from the start."""
    return one_step(climb, ordinary(climb.pair), "first step")


def resuming(climb: BackendClimb) -> list[Check]:
    """One optimizer step from the middle of a training."""
    pair, reference = climb.pair, climb.backends[0]
    second = pair.first_batches[-pair.config.batch_size :]
    grads = reference.gradients(reference.load(pair.start), second)
    halfway = state_of(pair, "", middle(grads, pair.start))
    return one_step(climb, halfway, f"step {LATE + 1}")


def one_step(climb: BackendClimb, state: BackendState, what: str) -> list[Check]:
    """The count, the optimizer's slots and the weights after one step."""
    pair, what = climb.pair, state.label(what)
    states = []
    for backend in climb.backends:
        trained, _ = backend.train_epoch(backend.load(state.tree), state.batch)
        states.append(backend.dump(trained))
    ours, theirs = states
    checks = absolute(what, [compare_numbers("steps taken", ours.step, theirs.step)])
    optimizer, what = OPTIMIZERS[pair.config.optimizer], f"{what}:"
    for kind, slot in ours.slots.items():
        slope = optimizer.slots[kind]
        if kind == "nu":
            slope *= 2 * largest_of_all(_gradients(pair, state.tree, ours))
        checks += trees(pair, state, what, slot, theirs.slots[kind], f"{kind}/", slope)
    if state.tree.step == 0 and optimizer.adaptive:
        return checks + first_weights(pair, state.tree, ours, theirs, what)
    slope = 2 * pair.config.learning_rate * (1 + pair.config.momentum)
    if optimizer.adaptive:  # m/√v moves by as much as m does, over the smallest √v
        least = min(nu.min() for _, nu in named_tensors(ours.slots["nu"]))
        slope *= optimizer.slots.get("mu", 1.0) / max(float(np.sqrt(least)), EPS)
    return checks + trees(pair, state, what, ours.params, theirs.params, "params/", slope)


def _gradients(pair: Pair, start: StateTree, state: StateTree) -> list[np.ndarray]:
    """Each tensor's gradient as a first step has left it in a slot, float64."""
    shares = OPTIMIZERS[pair.config.optimizer].slots
    if "mu" in state.slots:
        return [mu.astype(np.float64) / shares["mu"] for _, mu in named_tensors(state.slots["mu"])]
    first, second = flat(start.params), flat(state.params)
    gradients = []
    for name, nu in flat(state.slots["nu"]).items():
        gradients.append(np.sign(first[name] - second[name]) * np.sqrt(nu / shares["nu"]))
    return gradients


def first_weights(
    pair: Pair, start: StateTree, ours: StateTree, theirs: StateTree, what: str
) -> list[Check]:
    """Weights after an adaptive optimizer's first step, each held to what its own gradients'
    difference makes.

    Adam's is lr·g/(|g| + ε): where rounding alone decides the sign of a g beyond ε, the two are
    2·lr apart.
    """
    checks = []
    reason = (
        f"what {pair.config.optimizer}'s first step makes of the gradients' own difference there, "
        f"and {pair.tolerance:.1e}"
    )
    tensors = zip(
        named_tensors(ours.params),
        named_tensors(theirs.params),
        _gradients(pair, start, ours),
        _gradients(pair, start, theirs),
        strict=True,
    )
    for (name, a), (_, b), first, second in tensors:
        moved = pair.config.learning_rate * abs(_direction(pair, first) - _direction(pair, second))
        bound = moved + pair.tolerance * float(np.abs(a).max())
        checks.append(entrywise(what, f"params/{name}", a, b, bound, reason))
    return checks


def entrywise(
    what: str, name: str, left: np.ndarray, right: np.ndarray, bound: np.ndarray, reason: str
) -> Check:
    """The check of the entry that comes nearest to a bound of its own, or is farthest beyond."""
    gap = np.abs(left.astype(np.float64) - right)
    shares = np.nan_to_num(gap / np.maximum(bound, 1e-300), nan=np.inf)
    worst = np.unravel_index(int(shares.argmax()), gap.shape)
    d = replace(compare(name, left[worst], right[worst]), index=tuple(map(int, worst)))
    return Check(f"{what} {d.where}", d, float(bound[worst]), "absolute", reason)


def _direction(pair: Pair, g: np.ndarray) -> np.ndarray:
    """What the optimizer's first step makes of a gradient."""
    rule = rule_of(pair.config, {})
    return DIRECTIONS[rule.kind](rule, g, {}, 1)


def report(climb: BackendClimb) -> list[Check]:
    """Compare the reports of an epoch of one short batch, and of one that ends in a short batch."""
    pair, checks = climb.pair, []
    order, short = pair.first_batches, short_of(pair.config.batch_size)
    for epoch, indices in (
        ("an epoch of one short batch", order[:short]),
        ("an epoch that ends in a short batch", order[: pair.config.batch_size + short]),
    ):
        ours, theirs = (b.train_epoch(b.load(pair.start), indices)[1] for b in climb.backends)
        checks.append(number(pair, f"loss of {epoch}", ours.loss, theirs.loss))
        difference = compare_numbers("correct predictions", ours.correct, theirs.correct)
        checks += absolute(f"{epoch}:", [difference])
    return checks


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


def trees(
    pair: Pair,
    state: BackendState,
    what: str,
    left: ParamTree,
    right: ParamTree,
    prefix: str = "",
    slope: float = 1.0,
) -> list[Check]:
    """Checks on each named tensor of two trees.

    Args:
        pair: whose precision sets the bound.
        state: that the trees were made from.
        what: stands before each tensor's name.
        left, right: the sides' trees.
        prefix: of the names.
        slope: how many times as far as a gradient's entry these move.
    """
    results = []
    for d in compare_trees(left, right, prefix):
        check = sums(pair, f"{what} {d.where}", d)
        if state.times != 1:
            longer = f"{check.reason}, times {state.times:.3g}: {WHY}"
            check = replace(check, tolerance=check.tolerance * state.times, reason=longer)
        if not check.passed and np.isfinite(d.absolute):
            largest = d.absolute / d.relative
            bound = check.tolerance * largest + slope * state.slack
            longer = f"{check.reason}, and an ulp of 1 in p − 1"
            check = replace(check, tolerance=bound, measure="absolute", reason=longer)
        results.append(check)
    return results
