"""Pytrees by name: `layers/0/kernel`, whatever kind of tree they are."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax.core import unfreeze

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.parity.program import Tensors

HALF = ("float16", "bfloat16")


class Names:
    """A tree's floating-point leaves by name, and the way back.

    Args:
        tree: any pytree; what is no floating-point array stays as it is.
        program: named in errors.
        order: names in the order of computation, where that is known; else they are counted up.

    Raises:
        InputError: a leaf in half precision.
    """

    def __init__(self, tree: Any, program: str, order: Sequence[str] = ()) -> None:
        leaves, self._structure = jax.tree_util.tree_flatten_with_path(tree)
        leaves = sorted(enumerate(leaves), key=lambda item: _natural(name_of(item[1][0])))
        if order:
            ranks = {name: i for i, name in enumerate(order)}
            leaves.sort(key=lambda item: ranks.get(name_of(item[1][0]), len(ranks)))
        self._places: dict[str, int] = {}
        self._fixed: dict[int, Any] = {}
        self.arrays: Tensors = {}
        for place, (path, leaf) in leaves:
            name = name_of(path)
            dtype = str(getattr(leaf, "dtype", type(leaf).__name__))
            if dtype in HALF or dtype.startswith("float8"):
                raise InputError(
                    f"{program}: {name} is {dtype}; parities are compared in float64, so give the "
                    "parameters in float32 or float64"
                )
            if dtype.startswith("float"):
                self._places[name] = place
                self.arrays[name] = np.array(leaf, np.float64)
            else:
                self._fixed[place] = leaf

    def nest(self, tensors: Tensors) -> Any:
        """The tree with these leaves."""
        leaves = {self._places[name]: tensor for name, tensor in tensors.items()} | self._fixed
        return jax.tree.unflatten(self._structure, [leaves[i] for i in range(len(leaves))])

    def flatten(self, tree: Any, only: list[str] | None = None) -> Tensors:
        """The leaves of a tree of the same structure, by name."""
        if only is not None:
            collections = unfreeze(tree)
            tree = {key: collections[key] for key in only}
        leaves = jax.tree.leaves(tree)
        return {name: leaves[place] for name, place in self._places.items()}


def split_variables(variables: Any) -> tuple[Any, dict[str, Any]]:
    """Flax's variables: the parameters, and all other collections."""
    buffers = dict(unfreeze(variables))
    return buffers.pop("params", {}), buffers


def names_in_order(tree: Any, path: tuple[str, ...] = ()) -> list[str]:
    """Names of a nested dict's leaves in its own order, which JAX's trees don't keep. What went
    through one, as a lifted module's parameters do, is counted up.
    """
    if not isinstance(tree, Mapping):
        return ["/".join(path)]
    names: list[str] = []
    keys = list(tree)
    if keys == sorted(keys):
        keys.sort(key=_natural)
    for key in keys:
        names += names_in_order(tree[key], (*path, str(key)))
    return names


def name_of(path: tuple[Any, ...]) -> str:
    """`layers/0/kernel`: keys, indices, attributes; a wrapper's own `value` says nothing."""
    wrapped = jax.tree_util.GetAttrKey("value"), jax.tree_util.GetAttrKey("raw_value")
    parts = []
    for key in path:
        if key not in wrapped:
            parts.append(str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", key)))))
    return "/".join(parts) or "value"


def _natural(name: str) -> list[tuple[int, str]]:
    """Dense_2 before Dense_10."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
