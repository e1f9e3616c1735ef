"""Norms with another ε, another variance, other statistics, or without their scale."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as fn

from mnist_fn.shared.parity.causes import normalization
from mnist_fn.shared.parity.causes.search import Form

Arguments = dict[str, Any]
Ways = Iterator[Form]


def _epsilon(a: Arguments) -> float:
    eps = a.get("eps", 1e-5)
    return float(torch.finfo(a["input"].dtype).eps) if eps is None else eps


def _scaled(norm: Callable[..., Tensor], a: Arguments, **changes: Any) -> Callable[[], Tensor]:
    """The norm with other arguments."""
    return lambda: norm(**{**a, "eps": _epsilon(a), **changes})


def _layered(norm: Callable[..., Tensor], a: Arguments, centered: bool) -> Ways:
    """Of the last axes."""
    x, weight, bias, eps = a["input"], a.get("weight"), a.get("bias"), _epsilon(a)

    def affine(y: Tensor) -> Tensor:
        y = y if weight is None else y * weight
        return y if bias is None else y + bias

    yield from normalization.epsilons(lambda e: _scaled(norm, a, eps=e)(), eps, of_torch=True)
    if weight is not None:
        unscaled = {"weight": None, "bias": None} if centered else {"weight": None}
        code = "no weight, no bias" if centered else "no weight"
        yield Form(code, _scaled(norm, a, **unscaled))
        shifted = _scaled(norm, a, weight=1 + weight)
        yield Form("1 + weight in place of weight", shifted)
    if bias is not None:
        yield Form("no bias", _scaled(norm, a, bias=None))
    axes = tuple(range(-len(a["normalized_shape"]), 0))
    yield from normalization.forms(torch, x, axes, eps, affine, centered)


def _layer_norm(a: Arguments) -> Ways:
    yield from _layered(fn.layer_norm, a, centered=True)


def _rms_norm(a: Arguments) -> Ways:
    yield from _layered(fn.rms_norm, {"eps": None, **a}, centered=False)
    single = float(torch.finfo(torch.float32).eps)
    changed = _scaled(fn.rms_norm, a, eps=single)
    yield Form("epsilon of float32", changed, actual=single, family="epsilon")


def _group_norm(a: Arguments) -> Ways:
    groups, channels = a["num_groups"], a["input"].shape[1]
    norm = functools.partial(_scaled, fn.group_norm, a)
    yield from normalization.epsilons(lambda e: norm(eps=e)(), _epsilon(a), of_torch=True)
    for count in range(1, channels + 1):
        if channels % count == 0 and count != groups:
            yield Form("groups", norm(num_groups=count), declared=groups, actual=count)


def _batch_norm(a: Arguments) -> Ways:
    training = a.get("training", False)

    def normed(eps: float, statistics: bool) -> Tensor:
        """Of the batch's statistics or the running ones, which stay as they are."""
        mean, var = (None, None) if statistics else (a["running_mean"], a["running_var"])
        settings = {"running_mean": mean, "running_var": var, "training": statistics}
        return fn.batch_norm(**{**a, **settings, "momentum": 0.0, "eps": eps})

    yield from normalization.epsilons(lambda e: normed(e, training), _epsilon(a))
    if a["running_mean"] is not None:
        names = "running averages", "the batch's own statistics"
        actual, declared = names if training else names[::-1]
        changed = lambda: normed(_epsilon(a), not training)  # noqa: E731
        yield Form("statistics", changed, declared=declared, actual=actual)


TABLE = {
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
    "batch_norm": _batch_norm,
}
