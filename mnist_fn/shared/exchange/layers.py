"""Weights from a file, and an MLP's layers among them: order and transposition from their shapes.

Names that people have: `0.weight, 0.bias, 2.weight` (nn.Sequential), `fc1.weight`, behind `module.`
(DataParallel) or `_orig_mod.` (torch.compile), `layer1/kernel` (Flax). All that a name says here
is which weight and bias belong together, and, where shapes leave a choice, the number in it.
"""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mnist_fn.shared.config import MAX_LAYERS
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.state import ParamTree

_WEIGHTS, _BIASES = ("weight", "kernel"), ("bias",)
_FIRST = {"in", "input", "inp", "features", "encoder", "backbone", "body"}
_LAST = {"out", "output", "outputs", "head", "classifier", "logits", "final", "last", "predictions"}
SHOWN = 12  # names in an error


@dataclass(frozen=True)
class Source:
    """Weights as a file has them, whatever kind of file it is."""

    path: Path
    sha256: str  # of the file, hexadecimal
    tensors: Mapping[str, np.ndarray] = field(repr=False)  # by name
    ordered: bool = False  # whether the tensors come as the model defines them
    widened: frozenset[str] = frozenset()  # narrower types made float32, which holds them exactly


@dataclass(frozen=True)
class Layer:
    """A linear layer under its name."""

    name: str
    kernel: np.ndarray  # [in, out], or as the file has it while that is unknown
    bias: np.ndarray | None

    @property
    def transposed(self) -> "Layer":
        """The layer if the file has its weights [out, in]."""
        return replace(self, kernel=self.kernel.T)

    def fits(self, width: int) -> bool:
        """Return whether the layer takes so many inputs."""
        inputs, outputs = self.kernel.shape
        return inputs == width and (self.bias is None or len(self.bias) == outputs)


def mlp_of(
    tensors: Mapping[str, np.ndarray],
    pixels: int,
    classes: int,
    source: str,
    *,
    ordered: bool = False,
) -> ParamTree:
    """Arrange tensors as the layers `pixels → … → classes`.

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
    orders = _orders([layer.transposed for layer in layers], pixels, classes, ordered)
    orders += _orders(layers, pixels, classes, ordered)
    if not orders:
        raise InputError(
            f"{source}: its layers do not lead from {pixels} pixels to {classes} classes: "
            f"{_listed(tensors)}"
        )
    if len(orders) > 1:
        raise InputError(
            f"{source}: its layers fit in more than one order, and their names don't say which: "
            f"{_listed(tensors)}; name them 1, 2, ... in theirs"
        )
    tree: ParamTree = {}
    for number, layer in enumerate(orders[0], start=1):
        kernel = np.ascontiguousarray(layer.kernel)
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
    return [Layer(name, weights[name], biases.get(name)) for name in weights]


def _orders(layers: list[Layer], pixels: int, classes: int, ordered: bool) -> list[list[Layer]]:
    """Return the order that the names give if it fits, else the file's, else up to two that fit."""
    for order in (_by_names(layers), layers if ordered else []):
        if order and _leads(order, pixels, classes):
            return [order]
    return list(itertools.islice(_chains(layers, pixels, classes), 2))


def _by_names(layers: list[Layer]) -> list[Layer]:
    """Sort layers by their names, if no two names say the same; else return none.

    Inputs come first and outputs last; then numbers count, none before 1: `dense, dense_1`.
    """
    by_rank: dict[tuple[int, ...], Layer] = {}
    stems = set()
    for layer in layers:
        words = set(re.split(r"[^a-z]+", layer.name.lower()))
        position = 0 if words & _FIRST else 2 if words & _LAST else 1
        if position == 1:
            stems.add(re.sub(r"[_.]*\d+", "", layer.name))
        by_rank[position, *map(int, re.findall(r"\d+", layer.name))] = layer
    if len(stems) > 1 or len(by_rank) < len(layers):
        return []
    return [by_rank[rank] for rank in sorted(by_rank)]


def _leads(layers: list[Layer], width: int, classes: int) -> bool:
    for layer in layers:
        if not layer.fits(width):
            return False
        width = layer.kernel.shape[1]
    return width == classes


def _chains(layers: list[Layer], width: int, classes: int) -> Iterator[list[Layer]]:
    """Yield every order in which each layer's inputs are the outputs of the layer before it."""
    if not layers and width == classes:
        yield []
    for i, layer in enumerate(layers):
        if layer.fits(width):
            remaining = layers[:i] + layers[i + 1 :]
            for chain in _chains(remaining, layer.kernel.shape[1], classes):
                yield [layer, *chain]


def _listed(tensors: Mapping[str, np.ndarray]) -> str:
    shown = [f"{name[:40]} {list(tensor.shape)}" for name, tensor in list(tensors.items())[:SHOWN]]
    return ", ".join(shown) + (", ..." if len(tensors) > SHOWN else "")
