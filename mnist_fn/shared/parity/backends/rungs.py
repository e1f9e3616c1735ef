"""The ladder's rungs below the trajectory: inputs, logits, loss, gradients, one step."""

from dataclasses import replace

import numpy as np

from mnist_fn.shared.backend import Backend
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset, scale_pixels
from mnist_fn.shared.optimizers import EPS, OPTIMIZERS
from mnist_fn.shared.parity.backends.checks import Pair, bitwise, sums, trees
from mnist_fn.shared.parity.backends.numpy_program import flat
from mnist_fn.shared.parity.backends.relu_boundary import Boundary, near
from mnist_fn.shared.parity.compare import compare, compare_trees
from mnist_fn.shared.parity.result import Check
from mnist_fn.shared.state import ParamTree, StateTree, named_tensors, zeros_like
from mnist_fn.shared.streams import batch_order, initial_state

FEW_EXAMPLES = 1000
AT_BOUNDARY = "at a ReLU's boundary"


def inputs(pair: Pair, backends: list[Backend], start: StateTree) -> list[Check]:
    """Weights, pixels, labels and batch order as each backend has them, against the shared ones."""
    checks = []
    for backend in backends:
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


def logits(pair: Pair, backends: list[Backend], start: StateTree) -> list[Check]:
    """Of the whole test set."""
    images = pair.dataset.test.images
    left, right = (backend.logits(backend.load(start), images) for backend in backends)
    return [sums(pair, "logits of the test set", compare("logits", left, right))]


def loss(pair: Pair, backends: list[Backend], start: StateTree) -> list[Check]:
    """Of a full and a short batch, and as an epoch of the short one alone reports it."""
    order = batch_order(pair.config.seed, 1, len(pair.dataset.train))
    size = pair.config.batch_size
    short = order[: size * 3 // 8 + 1]
    checks = []
    for batch, suffix in ((order[:size], ""), (short, " of a short batch")):
        pairs = [backend.losses(backend.load(start), batch) for backend in backends]
        for name, left, right in zip(("cross-entropy", "objective"), *pairs, strict=True):
            checks.append(_number(pair, name + suffix, left, right))
    return checks + _report(pair, backends, start, short, "an epoch of one short batch")


def _report(
    pair: Pair, backends: list[Backend], start: StateTree, order: np.ndarray, epoch: str
) -> list[Check]:
    """What each backend reports of an epoch; how many predictions are right, to the number."""
    left, right = (backend.train_epoch(backend.load(start), order)[1] for backend in backends)
    counts = (np.array(float(report.correct)) for report in (left, right))
    return [
        _number(pair, f"loss of {epoch}", left.loss, right.loss),
        *bitwise("its", [compare("correct predictions", *counts)]),
    ]


def _number(pair: Pair, name: str, left: float, right: float) -> Check:
    values = (np.asarray(value, pair.config.dtype) for value in (left, right))
    return sums(pair, name, compare(name, *values))


def gradients(pair: Pair, backends: list[Backend], start: StateTree) -> list[Check]:
    """Of each named tensor, at the start and where a unit's input is exactly 0."""
    batch = first_batch(pair)
    checks = []
    for what, state in (("gradient of", start), (f"gradient {AT_BOUNDARY} of", at_boundary(start))):
        left, right = (backend.gradients(backend.load(state), batch) for backend in backends)
        checks += trees(pair, what, left, right, boundary=boundary_of(pair, state, batch))
    return checks


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
    params = {
        layer: {kind: tensor.copy() for kind, tensor in tensors.items()}
        for layer, tensors in start.params.items()
    }
    for layer in list(params)[:-1]:
        params[layer]["kernel"][:, 0] = 0
        params[layer]["bias"][0] = 0
    return replace(start, params=params)


def step(pair: Pair, backends: list[Backend], start: StateTree) -> list[Check]:
    """One optimizer step from the start, and one from the middle of a training."""
    order = batch_order(pair.config.seed, 1, len(pair.dataset.train))
    size = pair.config.batch_size
    batch, second_batch = order[:size], order[size : 2 * size]
    half_way = middle(backends[0].gradients(backends[0].load(start), second_batch), start)
    ragged = order[: size + size * 3 // 8 + 1]
    checks = one_step(pair, backends, start, batch, "first step")
    checks += one_step(pair, backends, half_way, batch, "step 1001")
    epoch = "an epoch that ends in a short batch"
    return checks + _report(pair, backends, start, ragged, epoch)


def one_step(
    pair: Pair,
    backends: list[Backend],
    state: StateTree,
    batch: np.ndarray,
    what: str,
    times: float = 1.0,
    reason: str = "",
) -> list[Check]:
    """The count, the optimizer's slots and the weights after one step from a state."""
    left, right = (
        backend.dump(backend.train_epoch(backend.load(state), batch)[0]) for backend in backends
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
