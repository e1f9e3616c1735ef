"""Sums of two tensors, such as residual connections, with a term that is missing or doubled."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from mnist_fn.shared.parity.causes.search import Form

Array = Any  # of NumPy or torch

SENSE = "sense of a mask"  # the family of masks that are turned, wherever that is done
HIDING = 1e3  # what is added to a score, or multiplied by a mask, to hide it


def sums(first: Array, second: Array) -> Iterator[Form]:
    """Variants of first + second."""
    shape = np.broadcast_shapes(tuple(first.shape), tuple(second.shape))
    for place, term, partner in (("first", first, second), ("second", second, first)):
        if tuple(partner.shape) == shape:
            yield Form("term forgotten", lambda p=partner: p, actual=place)
        yield Form("term doubled", lambda t=term, p=partner: p + 2 * t, actual=place)
    if bool((abs(second) >= HIDING).any()):
        yield Form("sign of a mask", lambda: first - second, family=SENSE)
    else:
        yield Form("a sum whose second term has the other sign", lambda: first - second)
