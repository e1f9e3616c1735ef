"""The state of training as plain NumPy: what every backend can load and dump."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

# Layer name -> {"kernel": [in, out], "bias": [out]}
ParamTree = dict[str, dict[str, np.ndarray]]


@dataclass(frozen=True)
class StateTree:
    """Weights and what the optimizer remembers of them, by layer name; the number of steps taken.

    The slots' names are `optimizers.slots_of(config)`: Adam's are `mu` and `nu`, its moments.
    """

    params: ParamTree
    slots: dict[str, ParamTree]
    step: int

    def trees(self) -> dict[str, ParamTree]:
        """The weights as `params`, and each slot by its name."""
        return {"params": self.params, **self.slots}


def named_tensors(tree: ParamTree) -> Iterator[tuple[str, np.ndarray]]:
    """Each tensor with its name, `layer1/kernel`, in the tree's order."""
    for layer, tensors in tree.items():
        for kind, tensor in tensors.items():
            yield f"{layer}/{kind}", tensor


def tree_of(named: Mapping[str, np.ndarray]) -> ParamTree:
    """The way back: a tree of tensors by such names."""
    tree: ParamTree = {}
    for name, tensor in named.items():
        layer, _, kind = name.partition("/")
        tree.setdefault(layer, {})[kind] = tensor
    return tree


def zeros_like(params: ParamTree) -> ParamTree:
    """Zeros in the shapes and dtypes of `params`."""
    zeros: ParamTree = {}
    for layer, tensors in params.items():
        zeros[layer] = {kind: np.zeros_like(tensor) for kind, tensor in tensors.items()}
    return zeros


def layer_sizes(params: ParamTree) -> tuple[int, ...]:
    """Widths from the input to the output, (784, 512, 10) for the shallow model."""
    kernels = [tensors["kernel"] for tensors in params.values()]
    return (kernels[0].shape[0], *(kernel.shape[1] for kernel in kernels))


def count_parameters(params: ParamTree) -> int:
    """How many numbers are trained."""
    return sum(tensor.size for _, tensor in named_tensors(params))


def all_finite(state: StateTree) -> bool:
    """No NaN and no infinity in weights or slots."""
    for tree in state.trees().values():
        for _, tensor in named_tensors(tree):
            if not np.isfinite(tensor).all():
                return False
    return True
