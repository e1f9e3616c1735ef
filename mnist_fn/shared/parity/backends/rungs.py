"""What two backends are compared by below the trajectory, at the ordinary start."""

from dataclasses import replace

import numpy as np

from mnist_fn.shared.backend import Backend
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset, scale_pixels
from mnist_fn.shared.optimizers import EPS, OPTIMIZERS
from mnist_fn.shared.parity.backends.checks import Pair, bitwise, sums, trees
from mnist_fn.shared.parity.backends.climb import BackendClimb
from mnist_fn.shared.parity.backends.contract import breaches
from mnist_fn.shared.parity.backends.numpy_program import flat
from mnist_fn.shared.parity.backends.relu_boundary import Boundary, near
from mnist_fn.shared.parity.compare import compare, compare_trees
from mnist_fn.shared.parity.result import Check
from mnist_fn.shared.state import ParamTree, StateTree, named_tensors, zeros_like
from mnist_fn.shared.streams import batch_order, initial_state

FEW_EXAMPLES = 1000
AT_BOUNDARY = "at a ReLU's boundary"


def inputs(climb: BackendClimb) -> list[Check]:
    """Weights, pixels, labels and batch order as each backend has them, against the shared ones;
    before that, whether each keeps its contract.
    """
    pair, start = climb.pair, climb.pair.start
    checks = breaches(climb.backends, start)
    if checks:
        return checks
    for backend in climb.backends:
        dumped = backend.dump(backend.load(start))
        for kind, tree in start.trees().items():
            differences = compare_trees(tree, dumped.trees()[kind], f"{kind}/")
            checks += bitwise(f"{backend.name} initial", differences)
    small = replace(
        pair.dataset,
        train=pair.dataset.train.first(FEW_EXAMPLES),
        test=pair.dataset.test.first(FEW_EXAMPLES),
    )
    linear = pair.config.replace(
        hidden=(), batch_size=min(pair.config.batch_size, len(small.train))
    )
    for backend in pair.make(linear, small):
        checks += _pixels(backend, linear, small) + _labels_in_order(backend, linear, small)
    return checks


def _pixels(backend: Backend, config: Config, dataset: Dataset) -> list[Check]:
    """A linear model whose kernel has a single 1 for each logit hands the pixels back."""
    state = zero_state(config, dataset)
    middle = (dataset.pixels // 2 + np.arange(dataset.classes)) % dataset.pixels
    state.params["layer1"]["kernel"][middle, np.arange(dataset.classes)] = 1
    read = backend.logits(backend.load(state), dataset.test.images)
    true = scale_pixels(dataset.test.images, config.dtype)[:, middle]
    return bitwise(f"{backend.name}, through one product,", [compare("pixels", true, read)])


def _labels_in_order(backend: Backend, config: Config, dataset: Dataset) -> list[Check]:
    """A model that always says 0 is right just on the zeros: which examples were trained on?"""
    zero = zero_state(config, dataset)
    zero.params["layer1"]["bias"][0] = 1
    # as many zeros as others, in turn, so that a shift by one is seen
    labels = dataset.train.labels
    zeros, nonzeros = np.nonzero(labels == 0)[0][:12], np.nonzero(labels != 0)[0][:12]
    n = min(len(zeros), len(nonzeros))
    counts = [
        backend.train_epoch(backend.load(zero), np.array([i], np.int32))[1].correct
        for pair in zip(zeros[:n], nonzeros[:n], strict=True)
        for i in pair
    ]
    true = np.tile([1.0, 0.0], n)
    return bitwise(backend.name, [compare("examples by order", true, np.array(counts, float))])


def zero_state(config: Config, dataset: Dataset) -> StateTree:
    """All weights 0."""
    start = initial_state(config, dataset.pixels, dataset.classes)
    return StateTree(zeros_like(start.params), start.slots, 0)


def outputs(climb: BackendClimb) -> list[Check]:
    """Logits of the whole test set."""
    return logits(climb, climb.pair.start, climb.pair.dataset.test.images, "logits of the test set")


def logits(climb: BackendClimb, state: StateTree, images: np.ndarray, what: str) -> list[Check]:
    """Logits of some images from a state."""
    left, right = (backend.logits(backend.load(state), images) for backend in climb.backends)
    return [sums(climb.pair, what, compare("logits", left, right))]


def loss(climb: BackendClimb) -> list[Check]:
    """Cross-entropy and objective, of a full and a short batch."""
    start, batch, checks = climb.pair.start, first_batch(climb.pair), []
    for indices, suffix in ((batch, ""), (batch[: short_of(len(batch))], " of a short batch")):
        pairs = [backend.losses(backend.load(start), indices) for backend in climb.backends]
        for name, left, right in zip(("cross-entropy", "objective"), *pairs, strict=True):
            checks.append(_number(climb.pair, name + suffix, left, right))
    return checks


def report(climb: BackendClimb) -> list[Check]:
    """What each backend reports of an epoch of one short batch, and of one that ends in a short
    batch; how many predictions are right, to the number.
    """
    pair, start = climb.pair, climb.pair.start
    size = pair.config.batch_size
    order = batch_order(pair.config.seed, 1, len(pair.dataset.train))
    epochs = {
        "an epoch of one short batch": order[: short_of(size)],
        "an epoch that ends in a short batch": order[: size + short_of(size)],
    }
    checks = []
    for epoch, indices in epochs.items():
        reports = (backend.train_epoch(backend.load(start), indices) for backend in climb.backends)
        left, right = (metrics for _, metrics in reports)
        checks.append(_number(pair, f"loss of {epoch}", left.loss, right.loss))
        counts = (np.array(float(metrics.correct)) for metrics in (left, right))
        checks += bitwise(f"{epoch}:", [compare("correct predictions", *counts)])
    return checks


def short_of(size: int) -> int:
    """How many examples a batch has that is shorter than a full one."""
    return size * 3 // 8 + 1


def _number(pair: Pair, name: str, left: float, right: float) -> Check:
    values = (np.asarray(value, pair.config.dtype) for value in (left, right))
    return sums(pair, name, compare(name, *values))


def gradients(climb: BackendClimb) -> list[Check]:
    """Of each named tensor."""
    return gradients_at(climb, climb.pair.start, first_batch(climb.pair), "gradient of")


def relu_at_zero(climb: BackendClimb) -> list[Check]:
    """The gradients where a unit's input is exactly 0: the derivative there is a convention."""
    what = f"gradient {AT_BOUNDARY} of"
    return gradients_at(climb, at_boundary(climb.pair.start), first_batch(climb.pair), what)


def gradients_at(
    climb: BackendClimb,
    state: StateTree,
    batch: np.ndarray,
    what: str,
    times: float = 1.0,
    reason: str = "",
) -> list[Check]:
    """The gradients of a batch from a state; `times` and `reason` as `trees` takes them."""
    left, right = (backend.gradients(backend.load(state), batch) for backend in climb.backends)
    boundary = boundary_of(climb.pair, state, batch)
    return trees(climb.pair, what, left, right, "", boundary, times, reason)


def first_batch(pair: Pair) -> np.ndarray:
    """The first epoch's first batch, int32 [n]."""
    return batch_order(pair.config.seed, 1, len(pair.dataset.train))[: pair.config.batch_size]


def boundary_of(pair: Pair, state: StateTree, batch: np.ndarray) -> Boundary:
    """The units that rounding may switch on this batch."""
    x, y = examples(pair, batch)
    return near(flat(state.params), x, y, float(np.finfo(pair.config.dtype).eps))


def examples(pair: Pair, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [n, pixels], scaled in the run's precision but in float64, and labels [n]."""
    subset = pair.dataset.train.take(batch)
    x = scale_pixels(subset.images, pair.config.dtype).astype(np.float64)
    return x, subset.labels.astype(np.int64)


def at_boundary(start: StateTree) -> StateTree:
    """The first unit of each hidden layer gets no input: its ReLU stands at exactly 0."""
    state = copied(start)
    for layer in list(state.params)[:-1]:
        state.params[layer]["kernel"][:, 0] = 0
        state.params[layer]["bias"][0] = 0
    return state


def copied(start: StateTree) -> StateTree:
    """The same with parameters that may be written to."""
    params = {
        layer: {kind: tensor.copy() for kind, tensor in tensors.items()}
        for layer, tensors in start.params.items()
    }
    return replace(start, params=params)


def step(climb: BackendClimb) -> list[Check]:
    """One optimizer step from the start."""
    return one_step(climb, climb.pair.start, first_batch(climb.pair), "first step")


def resuming(climb: BackendClimb) -> list[Check]:
    """One optimizer step from the middle of a training."""
    start, reference = climb.pair.start, climb.backends[0]
    size, count = climb.pair.config.batch_size, len(climb.pair.dataset.train)
    second = batch_order(climb.pair.config.seed, 1, count)[size : 2 * size]
    half_way = middle(reference.gradients(reference.load(start), second), start)
    return one_step(climb, half_way, first_batch(climb.pair), "step 1001")


def one_step(
    climb: BackendClimb,
    state: StateTree,
    batch: np.ndarray,
    what: str,
    times: float = 1.0,
    reason: str = "",
) -> list[Check]:
    """The count, the optimizer's slots and the weights after one step from a state."""
    pair = climb.pair
    left, right = (
        backend.dump(backend.train_epoch(backend.load(state), batch)[0])
        for backend in climb.backends
    )
    steps = compare("steps taken", np.asarray(float(left.step)), np.asarray(float(right.step)))
    checks = bitwise(what, [steps])
    boundary = boundary_of(pair, state, batch)
    optimizer = OPTIMIZERS[pair.config.optimizer]
    for kind, slot in left.slots.items():
        slope = optimizer.slots[kind]
        if kind == "nu":
            slope *= 2 * _largest_gradient(pair, left)
        moved = replace(boundary, allowed={n: slope * a for n, a in boundary.allowed.items()})
        checks += trees(pair, f"{what}:", slot, right.slots[kind], f"{kind}/", moved, times, reason)
    if state.step == 0 and optimizer.adaptive:
        return checks + _first_step(pair, state, left, right, what)
    slope = pair.config.learning_rate * (1 + pair.config.momentum)
    if optimizer.adaptive:  # m/√v moves by as much as m does, over the smallest √v
        least = min(float(np.sqrt(nu.min())) for _, nu in named_tensors(left.slots["nu"]))
        slope *= optimizer.slots.get("mu", 1.0) / max(least, EPS)
    moved = replace(boundary, allowed={n: 2 * slope * a for n, a in boundary.allowed.items()})
    return checks + trees(
        pair, f"{what}:", left.params, right.params, "params/", moved, times, reason
    )


def _largest_gradient(pair: Pair, state: StateTree) -> float:
    """The size of the largest gradient, read from what a step has left in a slot."""
    shares = OPTIMIZERS[pair.config.optimizer].slots
    if "mu" in state.slots:
        largest = max(float(np.abs(mu).max()) for _, mu in named_tensors(state.slots["mu"]))
        return largest / shares["mu"]
    largest = max(float(nu.max()) for _, nu in named_tensors(state.slots["nu"]))
    return float(np.sqrt(largest / shares["nu"]))


def _first_gradients(pair: Pair, start: StateTree, state: StateTree) -> list[np.ndarray]:
    """Each tensor's gradient as the first step has left it in a slot, float64."""
    shares = OPTIMIZERS[pair.config.optimizer].slots
    if "mu" in state.slots:
        return [mu.astype(np.float64) / shares["mu"] for _, mu in named_tensors(state.slots["mu"])]
    tensors = (named_tensors(tree) for tree in (start.params, state.params, state.slots["nu"]))
    return [
        np.sign(old - new) * np.sqrt(nu.astype(np.float64) / shares["nu"])
        for (_, old), (_, new), (_, nu) in zip(*tensors, strict=True)
    ]


def _direction(pair: Pair, g: np.ndarray) -> np.ndarray:
    """What the optimizer's first step makes of a gradient."""
    optimizer = OPTIMIZERS[pair.config.optimizer]
    return optimizer.direction(g, dict.fromkeys(optimizer.slots, 0.0 * g), 1, pair.config)[0]


def _first_step(
    pair: Pair, start: StateTree, left: StateTree, right: StateTree, what: str
) -> list[Check]:
    """Weights after an adaptive optimizer's first step, each held to what its own gradients'
    difference makes.

    Adam's is lr·g/(|g| + ε): where rounding alone decides the sign of a g beyond ε, the two are
    2·lr apart.
    """
    checks = []
    gradients = (_first_gradients(pair, start, side) for side in (left, right))
    tensors = (named_tensors(side.params) for side in (left, right))
    for (name, a), (_, b), g, h in zip(*tensors, *gradients, strict=True):
        moved = pair.config.learning_rate * abs(_direction(pair, g) - _direction(pair, h))
        bound = moved + pair.tolerance * float(np.abs(a).max())
        gap = np.abs(a.astype(np.float64) - b)
        worst = np.unravel_index(int(np.nanargmax(gap / bound)), a.shape)
        d = replace(compare(f"params/{name}", a[worst], b[worst]), index=tuple(map(int, worst)))
        checks.append(
            Check(
                f"{what}: {d.where}",
                d,
                float(bound[worst]),
                "absolute",
                f"what {pair.config.optimizer}'s first step makes of the gradients' "
                f"own difference there, and {pair.tolerance:.1e}",
            )
        )
    return checks


def middle(grads: ParamTree, start: StateTree) -> StateTree:
    """Moments as after many steps, and a step count that the bias correction feels."""
    mu = {k: {n: 0.1 * g for n, g in tensors.items()} for k, tensors in grads.items()}
    nu = {k: {n: g * g + np.asarray(1e-6, g.dtype) for n, g in t.items()} for k, t in grads.items()}
    slots = {"mu": mu, "nu": nu}
    return StateTree(start.params, {name: slots[name] for name in start.slots}, step=1000)
