"""A side's logits, explained: another activation, another layer, something done to them."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from mnist_fn.shared.data.datasets import scale_pixels
from mnist_fn.shared.parity.backends import numpy_program
from mnist_fn.shared.parity.backends.numpy_program import Activation, Layer, dense
from mnist_fn.shared.parity.backends.stages.implementation import Implementation
from mnist_fn.shared.parity.backends.stages.inputs import reshaped
from mnist_fn.shared.parity.backends.states import scaled_by_layer
from mnist_fn.shared.parity.causes.activation import (
    ACTIVATIONS,
    RELU,
    Function,
    activations,
    relu,
    rounded,
)
from mnist_fn.shared.parity.causes.distance import Tensors
from mnist_fn.shared.parity.causes.explanation import Explanation
from mnist_fn.shared.parity.causes.normalization import normalized
from mnist_fn.shared.parity.causes.precision import cut_to_bits, round_to_bits
from mnist_fn.shared.parity.causes.search import Form, explain_variants

IMAGES = 60  # of the test set
LARGER = (1, 3, 10, 100)  # weights from which logits are taken, in turn


def logits(side: Implementation) -> Explanation:
    """Logits of test images, from the start and from larger weights at once."""
    pair, backend = side.pair, side.backend
    images = pair.dataset.test.images[:IMAGES]
    x = scale_pixels(images, side.dtype).astype(np.float64)
    states = {f"weights × {f}": scaled_by_layer(pair.start, lambda _, f=f: f) for f in LARGER}
    observed, floor, params = {}, {}, {}
    for name, state in states.items():
        params[name] = numpy_program.flat(state.params)
        observed[name] = backend.logits(backend.load(state), images).astype(np.float64)
        # a product's rounding is a share of its own largest input, which may be beyond the logits'
        inputs = [
            numpy_program.logits(params[name], x),
            *numpy_program.hidden_inputs(params[name], x),
        ]
        size = max(float(np.abs(h).max()) for h in inputs)
        floor[name] = np.full(observed[name].shape, pair.tolerance * size)
    model = _Logits(params, x)
    return explain_variants("logits", observed, model.declared, model.ways(), side.dtype, floor)


class _Logits:
    """Logits from some weights at once, as declared or otherwise."""

    def __init__(self, params: dict[str, Tensors], x: np.ndarray) -> None:
        self.params, self.x = params, x
        self.depth = len(numpy_program.layers(next(iter(params.values()))))
        # the product with the pixels is the dear one, and the same whatever follows
        self.first = {n: dense(0, x, *numpy_program.layers(p)[0]) for n, p in params.items()}
        self.declared = self.logits()

    def logits(self, activation: Activation = numpy_program.relu, layer: Layer = dense) -> Tensors:
        def kept(i: int, x: np.ndarray, k: np.ndarray, b: np.ndarray, first: np.ndarray):
            return first if i == 0 and layer is dense else layer(i, x, k, b)

        return {
            name: numpy_program.logits(p, self.x, activation, partial(kept, first=self.first[name]))
            for name, p in self.params.items()
        }

    def of_logits(self, change: Callable[[np.ndarray], np.ndarray]) -> Tensors:
        return {name: change(z) for name, z in self.declared.items()}

    @property
    def places(self) -> list[int | None]:
        """Hidden layers of which one may be wrong: all (None), or one alone."""
        if self.depth == 1:
            return []
        return [None, *range(self.depth - 1)] if self.depth > 2 else [None]

    def swapped(self, f: Function, only: int | None) -> Tensors:
        return self.logits(lambda i, h: f(np, h) if only in (None, i) else numpy_program.relu(i, h))

    def ways(self) -> Iterator[Form]:
        for only in self.places:
            for way in (
                *activations(np, self.x, RELU, lambda f, o=only: self.swapped(f, o)),
                *rounded(RELU, lambda f, o=only: self.swapped(f, o)),
            ):
                if only is None:
                    yield way
                    continue
                layer = f"layer{only + 1}"  # whose families are its own
                family = way.family and f"{way.family} after {layer}"
                yield replace(way, details={**way.details, "after": layer}, family=family)
        for text, layer in _layers(self.depth):
            yield Form(text, lambda f=layer: self.logits(layer=f))
        for name in ("softmax", "log-softmax", "relu", "sigmoid", "tanh"):
            yield Form(
                f"{name} of the logits", lambda f=ACTIVATIONS[name]: self.of_logits(partial(f, np))
            )
        for text, f in _ON_LOGITS:
            yield Form(text, lambda f=f: self.of_logits(f))
        for text, f, starts, scale in _NUMBERS_ON_LOGITS:
            yield Form(text, lambda c, f=f: self.of_logits(lambda z: f(z, c)), starts, scale)
        if self.depth > 1:
            yield Form(
                "hidden units scaled by {}",
                lambda c: self.swapped(lambda xp, h: c * relu(xp, h), None),
                (0.5, 0.9, 1.1, 2.0),
            )
            yield Form(
                "biases scaled by {}",
                lambda c: self.logits(layer=lambda _, v, k, b: v @ k + c * b),
                (0.0, 0.5, 2.0),
                "linear",
            )
        yield Form(
            "weights held to a max-norm of {} a column",
            lambda c: self.logits(
                layer=lambda _, v, k, b: v @ (k * np.minimum(1, c / _norms(k))) + b
            ),
            (0.5, 1.0, 2.0, 3.0, 5.0),
        )


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
    for only in [None, *range(depth)] if depth > 1 else [None]:
        suffix = "" if only is None else f" of layer{only + 1}"
        biases = {
            f"no bias{suffix}": 0,
            f"bias{suffix} added twice": 2,
            f"bias{suffix} taken off": -1,
        }
        for text, times in biases.items():
            yield text, lambda i, x, k, b, o=only, c=times: x @ k + b * (c if o in (None, i) else 1)
    for bits, name in ((24, "float32"), (11, "TF32"), (8, "bfloat16")):
        for cut, verb in ((round_to_bits, "rounded"), (cut_to_bits, "cut")):
            text = f"the products' inputs {verb} to {name}"
            yield text, lambda i, x, k, b, n=bits, f=cut: f(x, n) @ f(k, n) + b
        text = f"weights rounded to {name}"
        yield text, lambda i, x, k, b, n=bits: x @ round_to_bits(k, n) + round_to_bits(b, n)
    yield "kernels reshaped, not transposed", lambda i, x, k, b: x @ reshaped(k) + b
    if depth > 1:

        def layer_normalized(i: int, x: np.ndarray, k: np.ndarray, b: np.ndarray) -> np.ndarray:
            h = x @ k + b
            return h if i + 1 == depth else normalized(np, h, (-1,))

        yield "layers normalized before their ReLU", layer_normalized
