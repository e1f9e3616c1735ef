"""Parameters that one program has joined and the other in parts: `in_proj_weight`, `qkv`."""

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mnist_fn.shared.parity.layouts import layouts
from mnist_fn.shared.parity.program import Tensors, Weights

COUNTS = (2, 3, 4)  # a gate and its value; query, key and value; the gates of an LSTM
PART = re.compile(
    r"(?:(?P<module>.*)(?P<mark>[./]))?(?:(?P<prefix>.*)_)?(?P<kind>weight|bias|kernel)"
)


@dataclass(frozen=True)
class Division:
    """A tensor of one program that is several of the other's, along one axis."""

    name: str
    axis: int
    parts: tuple[str, ...]  # `attn.qkv.weight` is attn.qkv[0].weight, …


def divided(weights: Weights, divisions: Iterable[Division]) -> Weights:
    """Weights with the parts of joined parameters in their place."""
    of_name = {division.name: division for division in divisions}
    frozen = set(weights.frozen)
    for name in weights.frozen & of_name.keys():
        frozen.update(of_name[name].parts)
    params = divided_tensors(weights.params, of_name.values())
    return replace(weights, params=params, frozen=frozenset(frozen))


def divided_tensors(tensors: Tensors, divisions: Iterable[Division]) -> Tensors:
    """The same of parameters or their gradients."""
    of_name = {division.name: division for division in divisions}
    result: Tensors = {}
    for name, tensor in tensors.items():
        division = of_name.get(name)
        if division is None:
            result[name] = tensor
        else:
            arrays = np.split(tensor, len(division.parts), division.axis)
            result |= zip(division.parts, arrays, strict=True)
    return result


def joined_tensors(tensors: Tensors, divisions: Iterable[Division]) -> Tensors:
    """Tensors with the parts of each division joined, where all of them are there."""
    result = dict(tensors)
    for division in divisions:
        if result.keys() >= set(division.parts):
            arrays = [result.pop(part) for part in division.parts]
            result[division.name] = np.concatenate(arrays, division.axis)
    return result


def find_divisions(
    ours: Tensors,
    theirs: Tensors,
    first_axis: bool,
    kind_of: Callable[[str], str],
    kept: Collection[str],
) -> tuple[Division, ...]:
    """Which tensors of one program are several of the other's: those of a size that the other
    lacks, where it has that many more of the parts' size. Tensors that both have but for the order
    of their axes don't count.

    Args:
        ours: of the program whose tensors may be joined.
        theirs: of the other.
        first_axis: whether a kernel's outputs are its first axis, else its last.
        kind_of: what a tensor's name says that it is.
        kept: names that stay as they are.
    """
    forms = {name: (kind_of(name), *sorted(tensor.shape)) for name, tensor in ours.items()}
    other_forms = {name: (kind_of(name), *sorted(tensor.shape)) for name, tensor in theirs.items()}
    alone = Counter(forms.values()) - Counter(other_forms.values())
    other_alone = Counter(other_forms.values()) - Counter(forms.values())
    sizes, other_sizes = _sizes(alone), _sizes(other_alone)
    divisions = []
    for name, tensor in ours.items():
        kind, match = kind_of(name), PART.fullmatch(name)
        joined = kind, tensor.size
        if match is None or name in kept or forms[name] not in alone or other_sizes[joined]:
            continue
        for count in COUNTS:
            part = kind, tensor.size // count
            if other_sizes[part] - sizes[part] < count * sizes[joined] or tensor.size % count:
                continue
            shapes = [t.shape for t in theirs.values() if t.size == part[1]]
            axis = _axis(tensor.shape, count, shapes, first_axis)
            if axis is not None:
                divisions.append(Division(name, axis, tuple(_part_names(match, count))))
                break
    return tuple(divisions)


def _sizes(forms: Counter[tuple[Any, ...]]) -> Counter[tuple[str, int]]:
    """How many tensors of each kind and size, of those of each kind and lengths of axes."""
    sizes: Counter[tuple[str, int]] = Counter()
    for (kind, *shape), count in forms.items():
        sizes[kind, math.prod(shape)] += count
    return sizes


def _axis(
    shape: tuple[int, ...], count: int, shapes: Sequence[tuple[int, ...]], first_axis: bool
) -> int | None:
    """The axis along which parts have a shape that fits one of the other program's."""
    axes = list(range(len(shape)))
    axes.sort(key=lambda axis: (shape[axis] != count, axis if first_axis else -axis))
    for axis in axes:
        part = (*shape[:axis], shape[axis] // count, *shape[axis + 1 :])
        if shape[axis] % count == 0 and any(layouts(part, other, 1) for other in shapes):
            return axis
    return None


def _part_names(match: re.Match[str], count: int) -> list[str]:
    """`attn.qkv[0].weight` and so on; `attn.in_proj[0].weight` of `attn.in_proj_weight`."""
    module, mark, prefix, kind = match.group("module", "mark", "prefix", "kind")
    mark = mark or "."
    place = mark.join(filter(None, (module, prefix)))
    return [f"{place}[{i}]{mark}{kind}" for i in range(count)]
