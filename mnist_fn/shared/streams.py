"""Every random draw of an experiment, from a counter-based generator's raw stream.

NumPy promises that `Philox.random_raw` stays the same between versions; it does not
promise that for `Generator.permutation` and the like. So everything here is made from
raw 64-bit words by arithmetic that stands below, and a draw is addressed by
(seed, purpose, epoch): any epoch's order without replaying the ones before it.
Philox: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
"""

import itertools
import math

import numpy as np

from mnist_fn.shared.config import Config
from mnist_fn.shared.errors import Argument, InputError
from mnist_fn.shared.optimizers import slots_of
from mnist_fn.shared.state import ParamTree, StateTree, zeros_like

MAX_PARAMETERS = 2**26  # bounds what a few digits in a config or a record can allocate

# Numbers are part of the contract: they never change, new purposes are added at the end.
PURPOSES = {"initial_state": 0, "batch_order": 1, "validation": 2, "twin": 3}


def raw(seed: int, purpose: str, epoch: int, n: int) -> np.ndarray:
    """`n` raw words of the stream (seed, purpose, epoch), uint64 [n]."""
    key = np.array([seed, PURPOSES[purpose]], dtype=np.uint64)
    counter = np.array([0, 0, epoch, 0], dtype=np.uint64)  # 2**128 blocks to each epoch
    return np.random.Philox(key=key, counter=counter).random_raw(n)


def permutation(seed: int, purpose: str, epoch: int, n: int) -> np.ndarray:
    """A uniform permutation of range(n), int32 [n]: the stable sort order of n raw words."""
    return np.argsort(raw(seed, purpose, epoch, n), kind="stable").astype(np.int32)


def batch_order(seed: int, epoch: int, n: int) -> np.ndarray:
    """The order of the n training examples in an epoch (the first is 1), int32 [n]."""
    return permutation(seed, "batch_order", epoch, n)


def initial_state(config: Config, pixels: int, classes: int) -> StateTree:
    """The state before the first step, drawn as PyTorch's `nn.Linear` draws its own.

    Weights and biases are uniform in ±1/√fan_in, drawn in float64 layer by layer (kernel
    [in, out] row by row, then bias) and rounded once to `config.dtype`; so float32 and
    float64 runs of a seed start from the same numbers. Slots are 0, the step is 0.

    Raises:
        InputError: more than MAX_PARAMETERS.
    """
    layers, count = _layers(config, pixels, classes)
    words = raw(config.seed, "initial_state", 0, count)
    uniform = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53  # 53 bits, [0, 1)
    params: ParamTree = {}
    start = 0
    for index, (fan_in, fan_out) in enumerate(layers, start=1):
        bound = 1 / math.sqrt(fan_in)
        middle, end = start + fan_in * fan_out, start + (fan_in + 1) * fan_out
        values = ((2 * uniform[start:end] - 1) * bound).astype(config.dtype)
        params[f"layer{index}"] = {
            "kernel": values[: middle - start].reshape(fan_in, fan_out),
            "bias": values[middle - start :],
        }
        start = end
    slots = {name: zeros_like(params) for name in slots_of(config)}
    return StateTree(params, slots, step=0)


def blank_state(config: Config, pixels: int, classes: int) -> StateTree:
    """Zeros in the shapes and dtype of `initial_state`; each tensor takes the memory of one number.

    Raises:
        InputError: more than MAX_PARAMETERS.
    """
    zero = np.zeros((), config.dtype)
    params: ParamTree = {}
    layers, _ = _layers(config, pixels, classes)
    for index, (fan_in, fan_out) in enumerate(layers, start=1):
        params[f"layer{index}"] = {
            "kernel": np.broadcast_to(zero, (fan_in, fan_out)),
            "bias": np.broadcast_to(zero, fan_out),
        }
    return StateTree(params, dict.fromkeys(slots_of(config), params), step=0)


def _layers(config: Config, pixels: int, classes: int) -> tuple[list[tuple[int, int]], int]:
    """The inputs and outputs of each layer, and how many parameters all have."""
    layers = list(itertools.pairwise((pixels, *config.hidden, classes)))
    count = sum((fan_in + 1) * fan_out for fan_in, fan_out in layers)
    if count > MAX_PARAMETERS:
        raise InputError(
            (
                Argument("hidden", config.hidden, given=True),
                f": {count:,} parameters on {pixels} pixels, at most {MAX_PARAMETERS:,}",
            ),
            hint="use fewer or narrower layers",
        )
    return layers, count
