"""What two backends are compared by below the trajectory."""

import copy
from dataclasses import dataclass, replace

import numpy as np

from mnist_fn.shared.backend import Backend
from mnist_fn.shared.data.datasets import scale_pixels
from mnist_fn.shared.optimizers import EPS, OPTIMIZERS
from mnist_fn.shared.parity.backends.checks import (
    Pair,
    absolute,
    compare_numbers,
    entrywise,
    number,
    sums,
    trees,
)
from mnist_fn.shared.parity.backends.climb import BackendClimb
from mnist_fn.shared.parity.backends.contract import breaches
from mnist_fn.shared.parity.backends.numpy_program import flat
from mnist_fn.shared.parity.causes.distance import largest_of_all
from mnist_fn.shared.parity.compare import compare, compare_trees
from mnist_fn.shared.parity.result import Check
from mnist_fn.shared.state import ParamTree, StateTree, named_tensors

WHY = "an error of a logit is one of its probability, relative: the bound grows with the logits"
LATE = 1000  # steps, where a training is resumed
QUERIES = 48  # examples asked for one by one


@dataclass(frozen=True)
class BackendState:
    """A state, and the batch that is seen from there."""

    name: str  # "" for the ordinary start
    tree: StateTree
    batch: np.ndarray  # int32 [batch_size], indices of training examples
    times: float = 1.0  # by how much the logits there multiply the bounds

    def label(self, what: str) -> str:
        """What is compared, with the state's name before it."""
        return f"{self.name}: {what}" if self.name else what


def ordinary(pair: Pair) -> BackendState:
    """The start, and its first batch."""
    return BackendState("", pair.start, pair.first_batch)


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


def at_boundary(pair: Pair) -> BackendState:
    """The first unit of each hidden layer gets no input: its ReLU stands at exactly 0."""
    tree = copied(pair.start)
    for layer in list(tree.params)[:-1]:
        tree.params[layer]["kernel"][:, 0] = 0
        tree.params[layer]["bias"][0] = 0
    return BackendState("a ReLU's boundary", tree, pair.first_batch)


def gradients_at(climb: BackendClimb, state: BackendState) -> list[Check]:
    """The gradients of a state's batch."""
    ours, theirs = (b.gradients(b.load(state.tree), state.batch) for b in climb.backends)
    boundary = climb.pair.boundary(state.tree, state.batch)
    what = state.label("gradient of")
    return trees(climb.pair, what, ours, theirs, "", boundary, state.times, WHY)


def copied(start: StateTree) -> StateTree:
    """The same with parameters that may be written to."""
    return replace(start, params=copy.deepcopy(start.params))


def step(climb: BackendClimb) -> list[Check]:
    """One optimizer step from the start."""
    return one_step(climb, ordinary(climb.pair), "first step")


def resuming(climb: BackendClimb) -> list[Check]:
    """One optimizer step from the middle of a training."""
    pair, reference = climb.pair, climb.backends[0]
    size = pair.config.batch_size
    _, order = next(pair.epochs(2))
    grads = reference.gradients(reference.load(pair.start), order[-size:])
    halfway = BackendState("", middle(grads, pair.start), pair.first_batch)
    return one_step(climb, halfway, f"step {LATE + 1}")


def middle(grads: ParamTree, start: StateTree) -> StateTree:
    """Moments as after many steps, and a step count that the bias correction feels."""
    slots = copy.deepcopy(start.slots)
    for layer, tensors in start.params.items():
        for kind, tensor in tensors.items():
            g = grads[layer][kind].astype(tensor.dtype)
            moments = {"mu": 0.1 * g, "nu": g * g + g.dtype.type(1e-6)}
            for name, slot in slots.items():
                slot[layer][kind] = moments[name]
    return StateTree(start.params, slots, LATE)


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
    boundary = pair.boundary(state.tree, state.batch)
    for kind, slot in ours.slots.items():
        slope = optimizer.slots[kind]
        if kind == "nu":
            slope *= 2 * largest_of_all(_gradients(pair, state.tree, ours))
        moved = boundary.scaled(slope)
        checks += trees(pair, what, slot, theirs.slots[kind], f"{kind}/", moved, state.times, WHY)
    if state.tree.step == 0 and optimizer.adaptive:
        return checks + first_weights(pair, state.tree, ours, theirs, what)
    slope = 2 * pair.config.learning_rate * (1 + pair.config.momentum)
    if optimizer.adaptive:  # m/√v moves by as much as m does, over the smallest √v
        least = min(nu.min() for _, nu in named_tensors(ours.slots["nu"]))
        slope *= optimizer.slots.get("mu", 1.0) / max(float(np.sqrt(least)), EPS)
    moved = boundary.scaled(slope)
    return checks + trees(
        pair, what, ours.params, theirs.params, "params/", moved, state.times, WHY
    )


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


def _direction(pair: Pair, g: np.ndarray) -> np.ndarray:
    """What the optimizer's first step makes of a gradient."""
    optimizer = OPTIMIZERS[pair.config.optimizer]
    return optimizer.direction(g, dict.fromkeys(optimizer.slots, 0.0 * g), 1, pair.config)[0]


def report(climb: BackendClimb) -> list[Check]:
    """Compare the reports of an epoch of one short batch, and of one that ends in a short batch."""
    pair, checks = climb.pair, []
    short = short_of(pair.config.batch_size)
    _, order = next(pair.epochs(2))
    for epoch, indices in (
        ("an epoch of one short batch", order[:short]),
        ("an epoch that ends in a short batch", order[: pair.config.batch_size + short]),
    ):
        ours, theirs = (b.train_epoch(b.load(pair.start), indices)[1] for b in climb.backends)
        checks.append(number(pair, f"loss of {epoch}", ours.loss, theirs.loss))
        difference = compare_numbers("correct predictions", ours.correct, theirs.correct)
        checks += absolute(f"{epoch}:", [difference])
    return checks
