"""Batches as people have them, checked and made NumPy; stress states' batches made of them."""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.parity.program import Batch

MOST = 64  # batches that are taken of a loader without end
FORM = "expected a list of (inputs, targets)"


def read_batches(batches: Any, dtype: str) -> list[Batch]:
    """Batches from (inputs, targets); inputs are an array, a tuple or list of arrays for a model of
    several arguments, or a dict of arrays by keyword. Tensors of either framework will do.

    Args:
        batches: a list or a loader; of a loader at most MOST are taken.
        dtype: what floating-point numbers become.

    Raises:
        InputError: none, not of that form, of unequal structure, or not finite.
    """
    if not isinstance(batches, Iterable) or isinstance(batches, str | bytes | dict):
        raise InputError(f"batches: {FORM}, not a {type(batches).__name__}")
    read = []
    for i, item in enumerate(itertools.islice(batches, MOST)):
        if not isinstance(item, tuple | list) or len(item) != 2:
            length = f" of {len(item)}" if isinstance(item, tuple | list) else ""
            raise InputError(f"batches[{i}]: {FORM}, not a {type(item).__name__}{length}")
        read.append(_read(item[0], item[1], dtype, f"batches[{i}]"))
    if not read:
        raise InputError(f"batches: there are none; {FORM}")
    first = _structure(read[0])
    for i, batch in enumerate(read[1:], start=1):
        if _structure(batch) != first:
            raise InputError(
                f"batches[{i}]: {_structure(batch)}, but batches[0]: {first}; all must be of one "
                "structure"
            )
    return read


def _read(inputs: Any, targets: Any, dtype: str, place: str) -> Batch:
    if isinstance(inputs, dict):
        batch = Batch((), {str(key): part for key, part in inputs.items()}, targets)
    else:
        batch = Batch(tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,), {}, targets)
    if not batch.arrays:
        raise InputError(f"{place}: no inputs; {FORM}")

    to_array = partial(_array, dtype=dtype, place=place)
    return batch.changed(to_array, to_array)


def _array(value: Any, dtype: str, place: str) -> np.ndarray:
    value = value.detach().cpu() if hasattr(value, "detach") else value
    try:
        array = np.array(value)
    except Exception as error:  # whatever a tensor of theirs says
        raise InputError(f"{place}: can't be made an array ({error})") from error
    if array.dtype.kind not in "fiub":
        raise InputError(f"{place}: {array.dtype} is no array of numbers; {FORM}")
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise InputError(f"{place}: has a NaN or an infinity")
        array = array.astype(dtype)
    return array


def _structure(batch: Batch) -> str:
    """All but the number of examples, in words."""

    def words(value: Any) -> str:
        if isinstance(value, np.ndarray):
            return f"{value.dtype}[{', '.join(['n', *map(str, value.shape[1:])])}]"
        if isinstance(value, dict):
            return "{" + ", ".join(f"{k}: {words(v)}" for k, v in sorted(value.items())) + "}"
        if isinstance(value, tuple):
            return "(" + ", ".join(map(words, value)) + ")"
        return str(value)

    return f"inputs {words(batch.named or batch.inputs)}, targets {words(batch.targets)}"


def moved(batch: Batch, move: Callable[[np.ndarray], np.ndarray]) -> Batch:
    """The batch with inputs, and targets of images, in another layout."""
    return batch.changed(
        lambda part: move(part) if part.ndim > 2 else part,
        lambda part: move(part) if part.ndim > 3 else part,
    )


def one_class(batch: Batch) -> Batch | None:
    """All targets those of the first example; None where targets are no classes."""
    y = batch.targets
    if not isinstance(y, np.ndarray) or y.dtype.kind not in "iu" or not y.size:
        return None
    return replace(batch, targets=np.full_like(y, y.flat[0]))


def large_inputs(batch: Batch, factor: float) -> Batch | None:
    """Inputs times a factor; None where they are whole numbers."""
    if any(part.dtype.kind != "f" for part in batch.arrays):
        return None
    return batch.changed(lambda part: factor * part)
