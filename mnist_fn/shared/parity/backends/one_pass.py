"""What a backend shows before any step, explained: each function holds one side to the declared
experiment in NumPy, and to that with one of its lines changed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from mnist_fn.shared.backend import Backend
from mnist_fn.shared.config import Config
from mnist_fn.shared.parity.backends.checks import Pair
from mnist_fn.shared.parity.backends.numpy_program import DECLARED, Lines, flat, forward, gradients
from mnist_fn.shared.parity.backends.numpy_variants import (
    SLOPES,
    forward_variants,
    measured,
    penalty_variants,
    reshaped,
)
from mnist_fn.shared.parity.backends.rungs import correct, one_class, queries_of, short_of
from mnist_fn.shared.parity.backends.states import BackendState, scaled_by_layer
from mnist_fn.shared.parity.causes.distance import Tensors, largest_of_all, map_tensors
from mnist_fn.shared.parity.causes.explanation import Candidate, Explanation, as_declared, judge
from mnist_fn.shared.parity.causes.gradients import explain_gradients
from mnist_fn.shared.parity.causes.inputs import explain_order, explain_pixels
from mnist_fn.shared.parity.causes.loss import explain_loss
from mnist_fn.shared.parity.causes.precision import round_to_bits
from mnist_fn.shared.parity.causes.search import Form, explain_variants
from mnist_fn.shared.state import StateTree, named_tensors

PICTURES = 24  # read back pixel by pixel
IMAGES = 60  # of the test set
COARSER = 2**8  # times ε: two weights so far apart are one where a product has fewer bits
LARGER = (1, 3, 10, 100)  # weights from which logits are taken, in turn


@dataclass(frozen=True)
class Side:
    """One of the two backends, made once for each experiment."""

    pair: Pair
    index: int
    _made: dict[tuple[Config, int], Backend] = field(default_factory=dict)

    def of(self, pair: Pair) -> Backend:
        """Its backend for another pair's experiment."""
        key = pair.config, len(pair.dataset.train)
        if key not in self._made:
            make, device = pair.makers[self.index]
            self._made[key] = make(pair.config, pair.dataset, device)
        return self._made[key]

    @property
    def backend(self) -> Backend:
        """Its backend for the experiment that is explained."""
        return self.of(self.pair)

    @property
    def dtype(self) -> str:
        """Of its arithmetic."""
        return self.pair.config.dtype

    def logits(self, state: StateTree, images: np.ndarray) -> np.ndarray:
        """Logits from a state, float64."""
        return self.backend.logits(self.backend.load(state), images).astype(np.float64)


def loaded(side: Side) -> Explanation:
    """Weights as `load` and `dump` give them back."""
    subject, start = "weights as loaded", side.pair.start
    observed = flat(side.backend.dump(side.backend.load(start)).params)
    expected = flat(start.params)
    for name, tensor in expected.items():
        if name not in observed or observed[name].shape != tensor.shape:
            return judge(subject, as_declared(), (), f"found {', '.join(observed)[:200]}")

    def changed(change: Callable[[np.ndarray], np.ndarray], ndim: int) -> Tensors:
        return map_tensors(lambda t: change(t) if t.ndim == ndim else t, expected)

    def square(t: np.ndarray) -> np.ndarray:
        return t.T if t.shape[0] == t.shape[1] else t

    ways = [
        Form("biases start at 0", lambda: changed(np.zeros_like, 1)),
        Form("kernels reshaped, not transposed", lambda: changed(reshaped, 2)),
        Form("kernels transposed twice", lambda: changed(square, 2)),
        Form(
            "weights rounded to float32",
            lambda: map_tensors(lambda t: round_to_bits(t, 24), expected),
        ),
        Form("kernels are 0", lambda: changed(np.zeros_like, 2)),
        Form(
            "kernels scaled by {}", lambda c: changed(lambda t: c * t, 2), (0.5, 3**0.5), "linear"
        ),
    ]
    exact = map_tensors(lambda t: np.full(t.shape, 1e-300), expected)
    explanation = explain_variants(subject, observed, expected, ways, side.dtype, exact)
    if explanation.holds or explanation.found:
        return explanation
    shares = []
    for name, tensor in observed.items():
        deviation = tensor.std() / max(float(expected[name].std()), 1e-300)
        verb = f"deviates {deviation:.3g}" if tensor.any() else "is 0"
        shares.append(f"{name} {verb} ×")
    why = "weights are drawn again (Flax's own default has biases 0, kernels √3 ×)"
    return replace(explanation, pattern=f"{why}: {', '.join(shares)} the declared")


def evaluated(side: Side) -> Explanation:
    """Whether logits are those of the state that is given, a second time too."""
    pair, subject = side.pair, "logits of a second state"
    images = pair.dataset.test.images[:PICTURES]
    first = side.logits(pair.start, images)
    second = side.logits(scaled_by_layer(pair.start, lambda _: 2), images)
    text = "the weights of the first call are evaluated, whatever state is given"
    if np.array_equal(first, second) and np.any(first):
        return judge(subject, as_declared(), [Candidate(text, 0.0, 0.0)])
    return judge(subject, as_declared(0.0, 0.0), ())


def pixels(side: Side) -> Explanation:
    """Every pixel of some pictures, read through a linear model with a single 1 for each logit."""
    pair = side.pair.linear
    backend, images = side.of(pair), pair.dataset.test.images[:PICTURES]
    classes, n = pair.dataset.classes, pair.dataset.pixels
    read = np.empty((len(images), n))
    for first in range(0, n, classes):
        state = pair.zeros
        indices = np.arange(first, min(first + classes, n))
        state.params["layer1"]["kernel"][indices, np.arange(len(indices))] = 1
        read[:, indices] = backend.logits(backend.load(state), images)[:, : len(indices)]
    true, shape = pair.declared.pixels(images), images.shape
    explanation = explain_pixels(true.reshape(shape), read.reshape(shape), side.dtype)
    if explanation.holds or _is_plain_product(backend, pair, images):
        return explanation
    text = "what was read through one product is not as declared, nor is the product"
    return replace(explanation, causes=(), pattern=f"{text}; {explanation.pattern}")


def _is_plain_product(backend: Backend, pair: Pair, images: np.ndarray) -> bool:
    """Whether logits are pixels times weights plus biases, whatever the pixels are."""
    state, size = pair.zeros, float(np.finfo(pair.config.dtype).eps) * COARSER
    kernel, bias = state.params["layer1"]["kernel"], state.params["layer1"]["bias"]
    middle = int((images.reshape(len(images), -1) > 0).sum(axis=0).argmax())
    kernel[middle, 0], kernel[middle, 1], bias[2] = 1, 1 + size, 0.7
    observed = backend.logits(backend.load(state), images).astype(np.float64)
    lit = observed[:, 0] != 0
    told_apart = np.all(observed[lit, 1] != observed[lit, 0])
    return bool(told_apart and np.all(np.abs(observed[:, 2] - bias[2]) < size))


def order(side: Side) -> Explanation:
    """Which examples are trained on."""
    pair = side.pair.linear
    backend, (state, members) = side.of(pair), one_class(pair)
    queries = queries_of(pair, members)
    answers = np.array([correct(backend, state, query) for query in queries])
    explanation = explain_order(members, queries, answers)
    if explanation.holds or answers.any():
        return explanation
    full = np.resize(queries, pair.config.batch_size)
    if correct(backend, state, full) != members[full].sum():
        return explanation
    text = "a batch shorter than the batch size is dropped"
    return replace(explanation, causes=(Candidate(text, 0.0, 0.0),))


def logits(side: Side) -> Explanation:
    """Logits of test images, from the start and from larger weights at once."""
    pair, images = side.pair, side.pair.dataset.test.images[:IMAGES]
    x = pair.declared.pixels(images)
    observed, floor, params, firsts = {}, {}, {}, {}
    for factor in LARGER:
        state, name = scaled_by_layer(pair.start, lambda _, f=factor: f), f"weights × {factor}"
        observed[name] = side.logits(state, images)
        params[name] = flat(state.params)
        values = forward(params[name], x)
        firsts[name] = values[0]
        # a product's rounding is a share of its own largest input, which may be beyond the logits'
        floor[name] = np.full(observed[name].shape, pair.tolerance * largest_of_all(values))

    def measure(lines: Lines) -> Tensors:
        return {n: forward(p, x, lines, firsts[n])[-1] for n, p in params.items()}

    variants = measured(forward_variants(len(pair.start.params)), measure)
    return explain_variants("logits", observed, measure(DECLARED), variants, side.dtype, floor)


def losses(side: Side) -> Explanation:
    """The cross-entropy of the side's own logits."""
    backend, observed, batches = side.backend, [], []
    for state, batch in _loss_states(side.pair):
        x, y = side.pair.declared.examples(batch)
        batches.append((forward(flat(state.params), x)[-1], y))
        observed.append(backend.losses(backend.load(state), batch)[0])
    return explain_loss(batches, observed, dtype=side.dtype, subject="cross-entropy")


def _loss_states(pair: Pair) -> list[tuple[StateTree, np.ndarray]]:
    start, batch = pair.start, pair.first_batch
    short, last = batch[: short_of(len(batch))], len(start.params) - 1
    states = [(start, batch), (start, short)]
    for factor in (3, 10):
        scaled = scaled_by_layer(start, lambda _, f=factor: f)
        states += [(scaled, batch), (scaled, short[: len(short) // 2 + 1])]
    for factor in (30, 1000):
        states.append((scaled_by_layer(start, lambda i, f=factor: f if i == last else 1), batch))
    return states


def penalty(side: Side) -> Explanation:
    """What the objective adds to the cross-entropy."""
    pair, backend = side.pair, side.backend
    figures: list[tuple[float, float]] = []
    batches: list[tuple[Tensors, int]] = []
    for state, batch in _loss_states(pair)[:6]:
        figures.append(backend.losses(backend.load(state), batch))
        batches.append((flat(state.params), len(batch)))
    cross_entropies, objectives = np.transpose(figures)

    def measure(lines: Lines) -> Tensors:
        return {"": np.array([lines.penalty(*batch, pair.config.l2) for batch in batches])}

    observed = objectives - cross_entropies
    # it is the difference of two losses, of which the cross-entropy may be the larger
    size = np.maximum(1, np.maximum(np.abs(observed), np.abs(cross_entropies)))
    variants = measured(penalty_variants(batches[0][0], pair.config.l2), measure)
    floor = {"": pair.tolerance * size}
    return explain_variants(
        "penalty", {"": observed}, measure(DECLARED), variants, side.dtype, floor
    )


def gradients_of(side: Side, state: BackendState) -> Explanation:
    """The gradient of a state's batch."""
    pair, backend, l2 = side.pair, side.backend, side.pair.config.l2
    x, y = pair.declared.examples(state.batch)
    params = flat(state.tree.params)
    observed = dict(named_tensors(backend.gradients(backend.load(state.tree), state.batch)))
    declared = gradients(params, x, y, l2)
    floor, slopes = {}, {}
    for name, tensor in declared.items():
        rounding = state.slack + pair.tolerance * state.times * np.abs(tensor).max()
        floor[name] = np.full(tensor.shape, rounding)
    for text, lines in SLOPES.items():
        slopes[text] = gradients(params, x, y, l2, lines)
    return explain_gradients(
        declared, observed, params, len(y), side.dtype, floor=floor, decay=2 * l2, also=slopes
    )
