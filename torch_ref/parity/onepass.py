"""Norms whose variance is mean(x²) − mean(x)², as Flax's are: how a control run rounds.

The same number in another order of sums, which cancels where the mean is large beside the spread:
Flax's `use_fast_variance`, its default.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn import functional as fn
from torch.overrides import TorchFunctionMode


class OnePass(TorchFunctionMode):
    """Within it LayerNorm, GroupNorm and BatchNorm are computed so."""

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        norm = NORMS.get(func)
        return (norm or func)(*args, **(kwargs or {}))


def _normed(x: Tensor, dims: tuple[int, ...], eps: float) -> Tensor:
    mean = x.mean(dims, keepdim=True)
    variance = (x.square().mean(dims, keepdim=True) - mean.square()).clamp(min=0)
    return (x - mean) / (variance + eps).sqrt()


def _affine(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def _by_channel(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    shape = (-1, *(1,) * (x.ndim - 2))
    return _affine(x, *(None if p is None else p.reshape(shape) for p in (weight, bias)))


def _layer_norm(
    input: Tensor,
    normalized_shape: list[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    return _affine(_normed(input, tuple(range(-len(normalized_shape), 0)), eps), weight, bias)


def _group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    grouped = input.reshape(len(input), num_groups, -1)
    return _by_channel(_normed(grouped, (2,), eps).reshape(input.shape), weight, bias)


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    output = fn.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    if not training:
        return output
    return _by_channel(_normed(input, (0, *range(2, input.ndim)), eps), weight, bias)


NORMS: dict[Callable[..., Any], Callable[..., Tensor]] = {
    fn.layer_norm: _layer_norm,
    fn.group_norm: _group_norm,
    fn.batch_norm: _batch_norm,
}
