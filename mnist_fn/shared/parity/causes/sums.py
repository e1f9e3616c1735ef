"""Sums of two tensors, such as residual connections, with a term that is missing or doubled."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from mnist_fn.shared.parity.causes.search import Form

Array = Any  # of NumPy or torch

SENSE = "sense of a mask"  # the family of masks that are turned, wherever that is done
INVERTED = "the mask hides what it should show"
HIDING = 1e3  # what is added to a score, or multiplied by a mask, to hide it


def sums(first: Array, second: Array) -> Iterator[Form]:
    """Variants of first + second."""
    shape = np.broadcast_shapes(tuple(first.shape), tuple(second.shape))
    for place, term, partner in (("first", first, second), ("second", second, first)):
        yield Form(
            f"a sum without its {place} term, as a residual that is forgotten",
            lambda p=partner: p if tuple(p.shape) == shape else None,
            code="sum",
            declared="both terms",
            actual=f"without the {place}",
        )
        yield Form(
            f"a sum with its {place} term twice, as a residual that is doubled",
            lambda t=term, p=partner: p + 2 * t,
            code="sum",
            declared="both terms",
            actual=f"the {place} twice",
        )
    hides = bool((abs(second) >= HIDING).any())
    text = "a sum whose second term has the other sign"
    yield Form(
        f"{INVERTED} ({text})" if hides else text,
        lambda: first - second,
        code="mask" if hides else "sum",
        declared="both terms",
        actual="minus the second",
        family=SENSE if hides else "",
    )
