"""A side's inputs, logits, loss and gradients, explained from the declared experiment."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mnist_fn.shared.backend import Backend
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset, scale_pixels
from mnist_fn.shared.parity import reference
from mnist_fn.shared.parity.causes.explanation import Candidate, Explanation, Tensors, judge
from mnist_fn.shared.parity.causes.forward import ACTIVATIONS, FAMILIES, functions
from mnist_fn.shared.parity.causes.gradients import explain_gradients
from mnist_fn.shared.parity.causes.inputs import explain_order, explain_pixels
from mnist_fn.shared.parity.causes.loss import explain_loss
from mnist_fn.shared.parity.causes.numbers import round_to_bits
from mnist_fn.shared.parity.causes.search import Form, Number, explain_variants
from mnist_fn.shared.parity.checks import Pair
from mnist_fn.shared.parity.kinks import near
from mnist_fn.shared.parity.probes import Probe, scaled_by_layer
from mnist_fn.shared.parity.reference import Activation, Layer, dense
from mnist_fn.shared.parity.rungs import at_kink, examples, first_batch, zero_state
from mnist_fn.shared.state import ParamTree, StateTree, named_tensors, zeros_like
from mnist_fn.shared.streams import batch_order

PICTURES = 24  # read back pixel by pixel
QUERIES = 48  # examples asked for one by one
IMAGES = 120  # of the test set, for logits
LARGER = (1, 3, 10, 100)  # weights from which logits are taken, in turn


@dataclass(frozen=True)
class Side:
    """One of the two backends."""

    pair: Pair
    index: int
    backend: Backend

    @property
    def name(self) -> str:
        """Its name; both have one where a backend is compared with itself."""
        return self.backend.name

    @property
    def dtype(self) -> str:
        """Of its arithmetic."""
        return self.pair.config.dtype

    def of(self, pair: Pair) -> Backend:
        """The same side of another pair."""
        if pair is self.pair:
            return self.backend
        make, device = pair.makers[self.index]
        return make(pair.config, pair.dataset, device)

    @cached_property
    def linear(self) -> Backend:
        """The same side as a linear model on few examples, whose pixels can be read."""
        few = replace(
            self.pair.dataset,
            train=self.pair.dataset.train.first(1000),
            test=self.pair.dataset.test.first(PICTURES),
        )
        config = self.pair.config.replace(hidden=())
        config = config.replace(batch_size=min(config.batch_size, len(few.train)))
        make, device = self.pair.makers[self.index]
        return make(config, few, device)


def loaded(side: Side) -> Explanation:
    """Weights as `load` and `dump` give them back."""
    start = side.pair.start
    seen = reference.flat(side.backend.dump(side.backend.load(start)).params)
    expected = reference.flat(start.params)
    exact = {n: np.full(t.shape, 1e-300) for n, t in expected.items()}
    if any(n not in seen or seen[n].shape != t.shape for n, t in expected.items()):
        wrong = Candidate("as declared", np.inf, np.inf, "declared")
        return judge("weights as loaded", wrong, (), f"found {', '.join(seen)[:200]}")

    def each(change: Callable[[np.ndarray], np.ndarray], flat: bool) -> Callable[[], Tensors]:
        return lambda: {n: change(t) if (t.ndim < 2) == flat else t for n, t in expected.items()}

    forms = [
        Form("biases start at 0", each(np.zeros_like, True)),
        Form("kernels reshaped, not transposed", each(reshaped, False)),
        Form("kernels transposed twice",
             each(lambda t: t.T if t.shape[0] == t.shape[1] else t, False)),
        Form("weights rounded to float32",
             lambda: {n: round_to_bits(t, 24) for n, t in expected.items()}),
        Form("kernels are 0", each(np.zeros_like, False)),
    ]  # fmt: skip
    numbers = [Number("kernels scaled by {}", lambda c: each(lambda t: c * t, False)(),
                      (0.5, 3**0.5), "linear")]  # fmt: skip
    found = explain_variants("weights as loaded", seen, expected, forms, numbers, side.dtype, exact)
    if found.holds or found.found:
        return found

    def share(name: str) -> str:
        deviation = seen[name].std() / max(float(expected[name].std()), 1e-300)
        return f"{name} deviates {deviation:.3g} ×" if seen[name].any() else f"{name} is 0 ×"

    shares = [share(name) for name in seen]
    why = "weights are drawn anew (Flax's own default has biases 0, kernels √3 ×)"
    return replace(found, pattern=f"{why}: {', '.join(shares)} the declared")


def reshaped(kernel: np.ndarray) -> np.ndarray:
    """[in, out] read as [out, in] without a transposition, and used as that."""
    return kernel.reshape(kernel.shape[::-1]).T


def evaluated(side: Side) -> Explanation:
    """Whether logits are those of the state that is given, a second time too."""
    pair, backend = side.pair, side.backend
    images = pair.dataset.test.images[:PICTURES]
    states = [scaled_by_layer(pair.start, lambda _, f=f: f) for f in (1, 2)]
    first, second = (backend.logits(backend.load(s), images).astype(np.float64) for s in states)
    wrong = Candidate("as declared", np.inf, np.inf, "declared")
    right = Candidate("as declared", 0.0, 0.0, "declared")
    of = "logits of a second state"
    if not np.array_equal(first, second) or not np.any(first):
        return judge(of, right, ())
    text = "the weights of the first call are evaluated, whatever state is given"
    return judge(of, wrong, [Candidate(text, 0.0, 0.0)])


def pixels(side: Side) -> Explanation:
    """Every pixel of some pictures, read through a linear model with a single 1 for each logit."""
    pair, backend = side.pair, side.linear
    images = pair.dataset.test.images[:PICTURES]
    classes, n = pair.dataset.classes, pair.dataset.pixels
    config = pair.config.replace(hidden=())
    read = np.empty((len(images), n))
    for first in range(0, n, classes):
        state = zero_state(config, pair.dataset)
        these = np.arange(first, min(first + classes, n))
        state.params["layer1"]["kernel"][these, np.arange(len(these))] = 1
        read[:, these] = backend.logits(backend.load(state), images)[:, : len(these)]
    true = scale_pixels(images, side.dtype).astype(np.float64)
    shape = images.shape
    found = explain_pixels(true.reshape(shape), read.reshape(shape), side.dtype)
    if not found.holds and not _plain_product(backend, config, pair.dataset, images):
        text = "what was read through one product is not as declared, nor is the product"
        return replace(found, causes=(), pattern=f"{text}; {found.pattern}")
    return found


def _plain_product(backend: Backend, config: Config, dataset: Dataset, images: np.ndarray) -> bool:
    """Whether logits are pixels times weights plus biases, whatever the pixels are."""
    state = zero_state(config, dataset)
    size = float(np.finfo(config.dtype).eps) * 2**8  # beyond the mantissa of coarser products
    middle = int((images.reshape(len(images), -1) > 0).sum(axis=0).argmax())
    kernel, bias = state.params["layer1"]["kernel"], state.params["layer1"]["bias"]
    kernel[middle, 0], kernel[middle, 1], bias[2] = 1, 1 + size, 0.7
    seen = backend.logits(backend.load(state), images).astype(np.float64)
    lit = seen[:, 0] != 0
    return bool(
        np.all(seen[lit, 1] != seen[lit, 0]) and np.all(np.abs(seen[:, 2] - bias[2]) < size)
    )


def order(side: Side) -> Explanation:
    """Which examples are trained on: a model that says one class is right just on its examples."""
    pair, backend = side.pair, side.linear
    labels = pair.dataset.train.labels[:1000]
    said = labels[labels != labels[0]][0] if (labels != labels[0]).any() else labels[0]
    model = zero_state(pair.config.replace(hidden=()), pair.dataset)
    model.params["layer1"]["bias"][said] = 1
    own = np.flatnonzero(labels == said)[:QUERIES]
    drawn = batch_order(pair.config.seed, 1, len(labels))[: 2 * QUERIES]
    asked = np.r_[own[:1], np.stack([drawn, np.resize(own[1:], len(drawn))], axis=1).ravel()]

    def correct(indices: np.ndarray) -> float:
        done = backend.train_epoch(backend.load(model), indices.astype(np.int32))
        return float(done[1].correct)

    right = (labels == said).astype(float)
    seen = np.array([correct(np.array([i])) for i in asked[:QUERIES]])
    found = explain_order(right, asked[:QUERIES], seen)
    full = np.resize(asked, min(pair.config.batch_size, len(labels)))
    if not found.holds and not seen.any() and correct(full) == right[full].sum():
        text = "a batch shorter than the batch size is dropped"
        return replace(found, causes=(Candidate(text, 0.0, 0.0),))
    return found


def logits(side: Side) -> Explanation:
    """Logits of test images, from the start and from larger weights at once."""
    pair, backend = side.pair, side.backend
    images = pair.dataset.test.images[:IMAGES]
    x = scale_pixels(images, side.dtype).astype(np.float64)
    states = {f"weights × {f}": scaled_by_layer(pair.start, lambda _, f=f: f) for f in LARGER}
    seen, floor, params = {}, {}, {}
    for name, state in states.items():
        params[name] = reference.flat(state.params)
        seen[name] = backend.logits(backend.load(state), images).astype(np.float64)
        # a product's rounding is a share of its own largest input, which may be beyond the logits'
        inputs = [reference.logits(params[name], x), *reference.hidden_inputs(params[name], x)]
        size = max(float(np.abs(h).max()) for h in inputs)
        floor[name] = np.full(seen[name].shape, pair.tolerance * size)
    found = _Logits(params, x)
    return explain_variants("logits", seen, found.logits(), found.forms(), found.numbers(),
                            side.dtype, floor)  # fmt: skip


class _Logits:
    """Logits from some weights at once, as declared or otherwise."""

    def __init__(self, params: dict[str, Tensors], x: np.ndarray) -> None:
        self.params, self.x = params, x
        self.depth = len(reference.layers(next(iter(params.values()))))

    def logits(self, activation: Activation = reference.relu, layer: Layer = dense) -> Tensors:
        return {n: reference.logits(p, self.x, activation, layer) for n, p in self.params.items()}

    def of_logits(self, change: Callable[[np.ndarray], np.ndarray]) -> Tensors:
        return {name: change(z) for name, z in self.logits().items()}

    @property
    def places(self) -> list[int | None]:
        """Hidden layers of which one may be wrong: all (None), or one alone."""
        if self.depth == 1:
            return []
        return [None, *range(self.depth - 1)] if self.depth > 2 else [None]

    def where(self, layer: int | None) -> str:
        return "" if layer is None else f" after layer{layer + 1} alone"

    def swapped(self, f: Callable[[np.ndarray], np.ndarray], only: int | None) -> Tensors:
        return self.logits(lambda i, h: f(h) if only in (None, i) else reference.relu(i, h))

    def forms(self) -> Iterator[Form]:
        for only in self.places:
            for name, f in functions("relu"):
                what = name if name.startswith("relu through") else f"{name} in place of relu"
                yield Form(what + self.where(only), lambda f=f, o=only: self.swapped(f, o))
        for text, layer in _layers(self.depth):
            yield Form(text, lambda f=layer: self.logits(layer=f))
        for name in ("softmax", "log-softmax", "relu", "sigmoid", "tanh"):
            yield Form(f"{name} of the logits", lambda f=ACTIVATIONS[name]: self.of_logits(f))
        for text, f in _ON_LOGITS:
            yield Form(text, lambda f=f: self.of_logits(f))

    def numbers(self) -> Iterator[Number]:
        for text, f, starts, scale in _NUMBERS_ON_LOGITS:
            yield Number(text, lambda c, f=f: self.of_logits(lambda z: f(z, c)), starts, scale)
        for only in self.places:
            for text, f, starts, scale in FAMILIES:
                yield Number(
                    f"{text} in place of relu{self.where(only)}",
                    lambda v, f=f, o=only: self.swapped(lambda h: f(h, v), o), starts, scale,
                )  # fmt: skip
        if self.depth > 1:
            yield Number("hidden units scaled by {}", lambda c: self.swapped(
                lambda h: c * np.maximum(h, 0), None), (0.5, 0.9, 1.1, 2.0))  # fmt: skip
            yield Number("biases scaled by {}", lambda c: self.logits(
                layer=lambda _, v, k, b: v @ k + c * b), (0.0, 0.5, 2.0), "linear")  # fmt: skip
        yield Number("weights held to a max-norm of {} a column", lambda c: self.logits(
            layer=lambda _, v, k, b: v @ (k * np.minimum(1, c / _norms(k))) + b),
            (0.5, 1.0, 2.0, 3.0, 5.0))  # fmt: skip


def _norms(kernel: np.ndarray) -> np.ndarray:
    return np.maximum(np.sqrt((kernel * kernel).sum(axis=0)), 1e-300)


_ON_LOGITS: list[tuple[str, Callable[[np.ndarray], np.ndarray]]] = [
    ("logits centered", lambda z: z - z.mean(axis=1, keepdims=True)),
    ("logits less their largest", lambda z: z - z.max(axis=1, keepdims=True)),
    ("logits through float32", lambda z: round_to_bits(z, 24)),
    ("logits through float16 or TF32", lambda z: round_to_bits(z, 11)),
    ("logits through bfloat16", lambda z: round_to_bits(z, 8)),
    ("classes in the reverse order", lambda z: z[:, ::-1]),
    ("classes moved by +1", lambda z: np.roll(z, 1, 1)),
    ("classes moved by -1", lambda z: np.roll(z, -1, 1)),
    ("images moved by +1", lambda z: np.roll(z, 1, 0)),
    ("images moved by -1", lambda z: np.roll(z, -1, 0)),
    ("images in the reverse order", lambda z: z[::-1]),
    ("the first image's for all", lambda z: np.repeat(z[:1], len(z), 0)),
    ("the other sign", lambda z: -z),
]
_NUMBERS_ON_LOGITS: list[tuple[str, Callable[[np.ndarray, float], np.ndarray], tuple, str]] = [
    ("logits scaled by {}", lambda z, c: c * z, (0.1, 0.5, 2.0, 10.0), "log"),
    ("{} added to the logits", lambda z, c: z + c, (0.1,), "linear"),
    ("logits clipped to ±{}", lambda z, c: np.clip(z, -c, c), (1.0, 5.0, 20.0, 50.0), "log"),
    ("logits soft capped at {}: c·tanh(z/c)", lambda z, c: c * np.tanh(z / c),
     (1.0, 10.0, 30.0, 50.0), "log"),
]  # fmt: skip


def _layers(depth: int) -> Iterator[tuple[str, Layer]]:
    """Layers computed otherwise: all of them, or one."""

    def without(i, x, k, b, only):
        return x @ k if only in (None, i) else x @ k + b

    def coarse(i, x, k, b, bits, trunc):
        cut = _truncated if trunc else round_to_bits
        return cut(x, bits) @ cut(k, bits) + b

    def normalized(i, x, k, b):
        h = x @ k + b
        if i + 1 == depth:
            return h
        h = h - h.mean(-1, keepdims=True)
        return h / np.sqrt((h * h).mean(-1, keepdims=True) + 1e-5)

    for only in [None, *range(depth)] if depth > 1 else [None]:
        where = "" if only is None else f" of layer{only + 1}"
        yield f"no bias{where}", lambda i, x, k, b, o=only: without(i, x, k, b, o)
        yield (
            f"bias{where} added twice",
            lambda i, x, k, b, o=only: x @ k + b * (2 if o in (None, i) else 1),
        )
        yield (
            f"bias{where} taken off",
            lambda i, x, k, b, o=only: x @ k + b * (-1 if o in (None, i) else 1),
        )
    for bits, name in ((24, "float32"), (11, "TF32"), (8, "bfloat16")):
        for trunc, how in ((False, "rounded"), (True, "cut")):
            text = f"the products' inputs {how} to {name}"
            yield text, lambda i, x, k, b, n=bits, t=trunc: coarse(i, x, k, b, n, t)
        text = f"weights rounded to {name}"
        yield text, lambda i, x, k, b, n=bits: x @ round_to_bits(k, n) + round_to_bits(b, n)
    yield "kernels reshaped, not transposed", lambda i, x, k, b: x @ reshaped(k) + b
    if depth > 1:
        yield "layers normalized before their ReLU", normalized


def _truncated(x: np.ndarray, bits: int) -> np.ndarray:
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.trunc(np.ldexp(mantissa, bits)), exponent - bits)


def _loss_states(pair: Pair) -> list[tuple[StateTree, np.ndarray]]:
    start, batch = pair.start, first_batch(pair)
    short = batch[: len(batch) * 3 // 8 + 1]
    last = len(start.params) - 1
    states = [(start, batch), (start, short)]
    for factor in (3, 10):
        scaled = scaled_by_layer(start, lambda _, f=factor: f)
        states += [(scaled, batch), (scaled, short[: len(short) // 2 + 1])]
    for factor in (30, 1000):
        states.append((scaled_by_layer(start, lambda i, f=factor: f if i == last else 1), batch))
    return states


def losses(side: Side) -> Explanation:
    """The cross-entropy of the side's own logits."""
    seen, batches = [], []
    for state, batch in _loss_states(side.pair):
        x, y = examples(side.pair, batch)
        batches.append((reference.logits(reference.flat(state.params), x), y))
        seen.append(side.backend.losses(side.backend.load(state), batch)[0])
    return explain_loss(batches, seen, dtype=side.dtype, of="cross-entropy")


def penalty(side: Side) -> Explanation:
    """What the objective adds to the cross-entropy."""
    pair, l2 = side.pair, side.pair.config.l2
    states = _loss_states(pair)[:6]
    trees, seen = [], []
    for state, batch in states:
        ce, objective = side.backend.losses(side.backend.load(state), batch)
        seen.append(objective - ce)
        trees.append(reference.flat(state.params))

    def made(one) -> Tensors:
        return {"penalty": np.array([l2 * one(tree) for tree in trees])}

    def squares(tree: Tensors, chosen=lambda n, t: t.ndim > 1) -> float:
        return float(sum((t * t).sum() for n, t in tree.items() if chosen(n, t)))

    kernels = [name for name, t in trees[0].items() if t.ndim > 1]
    forms = [
        Form("penalty on the biases too", lambda: made(lambda t: squares(t, lambda n, v: True))),
        Form("penalty on the biases alone",
             lambda: made(lambda t: squares(t, lambda n, v: v.ndim < 2))),
        Form("λ Σ |W| in place of λ Σ W²",
             lambda: made(lambda t: sum(np.abs(v).sum() for v in t.values() if v.ndim > 1))),
        Form("the root of Σ W²", lambda: made(lambda t: np.sqrt(squares(t)))),
        Form("each kernel's norm, not its square", lambda: made(
            lambda t: sum(np.sqrt((v * v).sum()) for v in t.values() if v.ndim > 1))),
        Form("mean for sum of the squares", lambda: made(
            lambda t: sum((v * v).mean() for v in t.values() if v.ndim > 1))),
    ]  # fmt: skip
    if len(kernels) > 1:
        forms += [
            Form(f"no penalty on {name}", lambda o=name: made(
                lambda t: squares(t, lambda n, v: v.ndim > 1 and n != o))) for name in kernels
        ]  # fmt: skip
    if len(kernels) > 2:
        forms += [
            Form(f"penalty on {name} alone", lambda o=name: made(
                lambda t: squares(t, lambda n, v: n == o))) for name in kernels
        ]  # fmt: skip
    sizes = np.array([len(batch) for _, batch in states])
    base = made(squares)
    forms += [
        Form("penalty divided by the batch size", lambda: {"penalty": base["penalty"] / sizes}),
        Form("penalty times the batch size", lambda: {"penalty": base["penalty"] * sizes}),
    ]
    numbers = [Number("penalty × {}", lambda c: {"penalty": c * base["penalty"]},
                      (0.0, 0.5, 2.0), "linear")]  # fmt: skip
    if not l2:
        one = np.array([squares(tree) for tree in trees])
        numbers = [
            Number("a penalty of {} Σ W²", lambda c: {"penalty": c * one}, (1e-4,), "linear")
        ]
    size = np.array([max(abs(v), 1.0) for v in seen])
    # it is the difference of two losses, of which the cross-entropy may be the larger
    ce = [side.backend.losses(side.backend.load(s), b)[0] for s, b in states]
    floor = {"penalty": side.pair.tolerance * np.maximum(size, np.abs(ce))}
    return explain_variants("penalty", {"penalty": np.array(seen)}, base, forms, numbers,
                            side.dtype, floor)  # fmt: skip


def kinked(pair: Pair) -> list[Probe]:
    """The state in which a unit's input is exactly 0."""
    return [Probe("a ReLU's kink", at_kink(pair.start), first_batch(pair))] if pair.config.hidden \
        else []  # fmt: skip


def gradients(side: Side, probe: Probe) -> Explanation:
    """The gradient of one batch, from the weights of a probe."""
    pair, backend = side.pair, side.backend
    x, y = examples(pair, probe.batch)
    params = reference.flat(probe.state.params)
    seen = backend.gradients(backend.load(probe.state), probe.batch)
    declared = reference.gradients(params, x, y, pair.config.l2)
    also = {}
    for at, text in ((1.0, "1"), (0.5, "½")):

        def passes(_: int, h: np.ndarray, at: float = at) -> np.ndarray:
            return np.where(h == 0, at, h > 0)

        also[f"ReLU′(0) = {text}"] = reference.gradients(params, x, y, pair.config.l2, passes)
    also["ReLU's gradient passes everywhere"] = reference.gradients(
        params, x, y, pair.config.l2, lambda _, h: np.ones_like(h)
    )
    z = reference.logits(params, x)
    kinks = near(params, x, y, float(np.finfo(side.dtype).eps))
    times = max(1.0, float(np.abs(z).max()))
    floor = {n: a + pair.tolerance * times * np.abs(declared[n]).max()
             for n, a in kinks.allowed.items()}  # fmt: skip
    return explain_gradients(declared, dict(named_tensors(seen)), params, len(y), side.dtype,
                             "gradients", floor, 2 * pair.config.l2, also)  # fmt: skip


def reference_gradients(pair: Pair, state: StateTree, batch: np.ndarray) -> ParamTree:
    """The declared gradient as a tree in the run's dtype."""
    x, y = examples(pair, batch)
    found = reference.gradients(reference.flat(state.params), x, y, pair.config.l2)
    tree = zeros_like(state.params)
    for name, tensor in found.items():
        layer, _, kind = name.partition("/")
        tree[layer][kind] = tensor.astype(pair.config.dtype)
    return tree
