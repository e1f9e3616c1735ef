"""Normalizations, written once for NumPy and PyTorch: ε, the variance, the mean, the scale."""

from collections.abc import Callable, Iterator
from typing import Any

from mnist_fn.shared.parity.causes.search import Form
from mnist_fn.shared.parity.words import number

Array = Any  # of the namespace `xp`: numpy or torch

EPSILON = 1e-5  # of torch.nn.LayerNorm
EPSILONS = (1e-3, 1e-5, 1e-6, 1e-7, 1e-8, 1e-12, 0.0)
STARTS = (1e-12, 1e-7, 1e-5, 1e-3, 0.1)
FLAX_EPSILON = 1e-6  # of flax.linen's LayerNorm, GroupNorm and RMSNorm


def normalized(
    xp: Any,
    x: Array,
    axes: tuple[int, ...],
    eps: float = EPSILON,
    unbiased: bool = False,
    outside: bool = False,
    centered: bool = True,
) -> Array:
    """Mean 0 and deviation 1 along some axes.

    Args:
        xp: the namespace.
        x: to be normalized.
        axes: along which.
        eps: added to the variance, or with `outside` to its root.
        unbiased: the variance has n - 1 for n.
        outside: see `eps`.
        centered: the mean is taken off.
    """
    n = 1
    for axis in axes:
        n *= x.shape[axis]
    z = x - xp.mean(x, axis=axes, keepdims=True) if centered else x
    variance = xp.sum(z * z, axis=axes, keepdims=True) / (n - 1 if unbiased else n)
    return z / (xp.sqrt(variance) + eps) if outside else z / xp.sqrt(variance + eps)


def epsilons(
    norm: Callable[[float], Any], declared: float, of_torch: bool = False
) -> Iterator[Form]:
    """Another ε.

    Args:
        norm: the normalization with an ε.
        declared: the one that it has.
        of_torch: whether to say what to write where the port has Flax's default.
    """
    facts: dict[str, Any] = {"declared": declared, "family": "epsilon"}
    for eps in EPSILONS:
        if eps != declared:
            is_default = of_torch and eps == FLAX_EPSILON
            hint = {"write": f"epsilon={number(declared)}"} if is_default else {}
            yield Form("epsilon", lambda e=eps: norm(e), actual=eps, details=hint, **facts)
    yield Form("epsilon", norm, STARTS, **facts)


def forms(
    xp: Any,
    x: Array,
    axes: tuple[int, ...],
    eps: float,
    affine: Callable[[Array], Array],
    centered: bool = True,
) -> Iterator[Form]:
    """Another variance, another place of ε, with the mean or without it.

    Args:
        xp, x, axes, eps, centered: see `normalized`, as declared.
        affine: the scale and the bias that follow.
    """

    def changed(**settings: bool) -> Callable[[], Array]:
        return lambda: affine(normalized(xp, x, axes, eps, **{"centered": centered, **settings}))

    yield Form("the unbiased variance", changed(unbiased=True))
    yield Form("ε outside of the root", changed(outside=True))
    off = "not taken off (RMSNorm)" if centered else "taken off (LayerNorm)"
    yield Form(f"the mean is {off}", changed(centered=not centered))
