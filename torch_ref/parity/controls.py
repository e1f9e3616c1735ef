"""How a control run rounds: sums and library functions at random, norms in one pass."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as fn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from mnist_fn.shared.parity.bounds import NUDGE_ULPS

# What two libraries may round in different ways; their gradients too. A product or a sum of two
# numbers is the same everywhere.
ROUNDED = {
    "_log_softmax", "_softmax", "addbmm", "addmm", "addmv", "baddbmm", "bmm", "convolution",
    "cumsum", "dot", "elu", "erf", "exp", "expm1", "gelu", "linalg_vector_norm", "log", "log1p",
    "logsumexp", "mean", "mish", "mm", "mv", "native_batch_norm", "native_group_norm",
    "native_layer_norm", "norm", "pow", "prod", "sigmoid", "silu", "softplus", "sum", "tanh",
}  # fmt: skip


class RoundedAtRandom(TorchDispatchMode):
    """Within it each entry of such a result is moved by up to NUDGE_ULPS units in the last place.

    A probability next to 1 is 1 exactly in float32, and weights a few ulps away don't move it: only
    its own rounding shows what a gradient has of it.

    Args:
        draw: which random numbers.
    """

    def __init__(self, draw: int) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(draw)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in ROUNDED or name.endswith(("_backward", "_backward_data")):
            for tensor in result if isinstance(result, tuple | list) else (result,):
                if isinstance(tensor, Tensor) and tensor.is_floating_point():
                    self._move(tensor)
        return result

    def _move(self, tensor: Tensor) -> None:
        shape, dtype, most = tensor.shape, tensor.dtype, NUDGE_ULPS
        with torch._C.DisableTorchFunction():  # these are no lines of the model
            ulps = torch.randint(-most, most + 1, shape, generator=self._generator, dtype=dtype)
            tensor.mul_(1 + ulps * torch.finfo(dtype).eps)


class OnePass(TorchFunctionMode):
    """Within it the variance of LayerNorm, GroupNorm and BatchNorm is mean(x²) − mean(x)².

    The same number in another order of sums, which cancels where the mean is large beside the
    spread: Flax's `use_fast_variance`, its default.
    """

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
