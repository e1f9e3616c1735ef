"""How far apart rounding may bring two programs that sum in another order: one bound, everywhere.

A sum of n products is off by some √n eps (Higham and Mary, "A New Approach to Probabilistic
Rounding Error Analysis", 2019, with 2·n·u as the limit that nothing passes). Sums taken one after
another, the worst order in use, are off by 0.53·√n eps of the largest entry at most, from n = 200
to 20,000 (tests/parity/test_bounds.py); the bound is 30 times that. The rest is for cancellation
and for rounding that passes through several layers: real ladders stay 50 times below it.
"""

import math

import numpy as np

SUM_FACTOR = 16
USUAL_TERMS = 784  # where a program's own lengths aren't known: MNIST's pixels


def sum_bound(n: int, dtype: str) -> float:
    """How far apart two orders of summing n products may be, relative to the largest entry."""
    return SUM_FACTOR * math.sqrt(n) * float(np.finfo(dtype).eps)


def sums_reason(n: int) -> str:
    """The same in words."""
    return f"sums in another order: {SUM_FACTOR}·√{n} eps of the largest entry"
