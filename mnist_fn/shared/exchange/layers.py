"""An MLP's layers among tensors of any names: order and transposition from their shapes.

Names that people have: `0.weight, 0.bias, 2.weight` (nn.Sequential), `fc1.weight`, behind `module.`
(DataParallel) or `_orig_mod.` (torch.compile), `layer1/kernel` (Flax). All that a name says here
is which weight and bias belong together, and, where shapes leave a choice, the number in it.
"""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from mnist_fn.shared.config import MAX_LAYERS
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.state import ParamTree

_WEIGHTS, _BIASES = ("weight", "kernel"), ("bias",)
_FIRST = {"in", "input", "inp", "features", "encoder", "backbone", "body"}
_LAST = {"out", "output", "outputs", "head", "classifier", "logits", "final", "last", "predictions"}
SHOWN = 12  # names in an error


@dataclass(frozen=True)
class Layer:
    """One layer under its name, the weight as it lies in the file, 2-D."""

    name: str
    weight: np.ndarray
    bias: np.ndarray | None

    def kernel(self, transposed: bool) -> np.ndarray:
        """[in, out], if the file has its weights [out, in] (`transposed`) or as they are."""
        return self.weight.T if transposed else self.weight


def mlp_of(
    tensors: Mapping[str, np.ndarray],
    pixels: int,
    classes: int,
    source: str,
    *,
    ordered: bool = False,
) -> ParamTree:
    """The layers `pixels → … → classes` that the tensors are, in their order.

    Args:
        tensors: floating-point arrays by name, weights and biases and nothing else.
        pixels: inputs of the first layer.
        classes: outputs of the last.
        source: the file, for errors.
        ordered: whether the tensors come as the model defines them: then their order decides where
            shapes and names don't.

    Returns:
        `{"layer1": {"kernel": [in, out], "bias": [out]}, ...}`; zeros for a bias that isn't there.

    Raises:
        InputError: not an MLP, not from `pixels` to `classes`, or in several orders; with the list.
    """
    layers = _layers(tensors, source)
    fitting = [
        (order, transposed)
        for transposed in (True, False)
        for order in _orders(layers, transposed, pixels, classes, ordered)
    ]
    if not fitting:
        raise InputError(
            f"{source}: its layers do not lead from {pixels} pixels to {classes} classes: "
            f"{_listed(tensors)}"
        )
    if len(fitting) > 1:
        raise InputError(
            f"{source}: its layers fit in more than one order, and their names don't say which: "
            f"{_listed(tensors)}; name them 1, 2, ... in theirs"
        )
    ((order, transposed),) = fitting
    tree: ParamTree = {}
    for number, layer in enumerate(order, start=1):
        kernel = np.ascontiguousarray(layer.kernel(transposed))
        bias = np.zeros(kernel.shape[1], kernel.dtype) if layer.bias is None else layer.bias
        tree[f"layer{number}"] = {"kernel": kernel, "bias": np.ascontiguousarray(bias)}
    return tree


def _layers(tensors: Mapping[str, np.ndarray], source: str) -> list[Layer]:
    weights, biases = {}, {}
    for name, tensor in tensors.items():
        start, _, kind = name.replace("/", ".").rpartition(".")
        if kind in _WEIGHTS and tensor.ndim == 2 and start not in weights:
            weights[start] = tensor
        elif kind in _BIASES and tensor.ndim == 1:
            biases[start] = tensor
        else:
            raise InputError(
                f"{source}: {name[:60]} {list(tensor.shape)} is no weight or bias of a linear "
                "layer; only MLPs are imported"
            )
    if strays := sorted(biases.keys() - weights.keys()):
        raise InputError(f"{source}: {strays[0][:60]} has a bias and no weight")
    if not 1 <= len(weights) <= MAX_LAYERS + 1:
        raise InputError(f"{source}: {len(weights)} layers; 1 to {MAX_LAYERS + 1} are imported")
    return [Layer(name, weight, biases.get(name)) for name, weight in weights.items()]


def _orders(
    layers: list[Layer], transposed: bool, pixels: int, classes: int, ordered: bool
) -> Iterator[list[Layer]]:
    """The order that the names give, if it fits; else the file's, else up to two that fit."""
    for order in (_by_names(layers), layers if ordered else []):
        if order and _leads(order, transposed, pixels, classes):
            yield order
            return
    yield from itertools.islice(_chains(layers, transposed, pixels, classes), 2)


def _by_names(layers: list[Layer]) -> list[Layer]:
    """Sorted by what their names say, if no two say the same; else none.

    Inputs come first and outputs last; then numbers count, none before 1: `dense, dense_1`.
    """
    keys = [_place(layer.name) for layer in layers]
    stems = {_stem(layer.name) for layer, (rank, _) in zip(layers, keys, strict=True) if rank == 1}
    if len(stems) > 1 or len({(rank, tuple(numbers)) for rank, numbers in keys}) < len(keys):
        return []
    return sorted(layers, key=lambda layer: _place(layer.name))


def _place(name: str) -> tuple[int, list[int]]:
    """First (0), last (2) or between (1), and the numbers in the name."""
    words = set(re.split(r"[^a-z]+", name.lower()))
    rank = 0 if words & _FIRST else 2 if words & _LAST else 1
    return rank, [int(number) for number in re.findall(r"\d+", name)]


def _stem(name: str) -> str:
    """The name without its numbers and what joins them."""
    return re.sub(r"[_.]*\d+", "", name)


def _fits(layer: Layer, transposed: bool, width: int) -> bool:
    inputs, outputs = layer.kernel(transposed).shape
    return inputs == width and (layer.bias is None or len(layer.bias) == outputs)


def _leads(layers: list[Layer], transposed: bool, width: int, classes: int) -> bool:
    for layer in layers:
        if not _fits(layer, transposed, width):
            return False
        width = layer.kernel(transposed).shape[1]
    return width == classes


def _chains(
    layers: list[Layer], transposed: bool, width: int, classes: int
) -> Iterator[list[Layer]]:
    """Every order in which each layer's inputs are the outputs of the one before it."""
    if not layers:
        if width == classes:
            yield []
        return
    for i, layer in enumerate(layers):
        if _fits(layer, transposed, width):
            remaining = layers[:i] + layers[i + 1 :]
            for chain in _chains(remaining, transposed, layer.kernel(transposed).shape[1], classes):
                yield [layer, *chain]


def _listed(tensors: Mapping[str, np.ndarray]) -> str:
    shown = [f"{name[:40]} {list(tensor.shape)}" for name, tensor in list(tensors.items())[:SHOWN]]
    return ", ".join(shown) + (", ..." if len(tensors) > SHOWN else "")
