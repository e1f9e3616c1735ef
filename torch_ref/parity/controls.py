"""How a control run rounds: sums and library functions at random, norms in one pass."""

import inspect
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
        with torch._C.DisableTorchFunction():  # nothing here is a line of the model
            result = func(*args, **(kwargs or {}))
            name = func.overloadpacket.__name__
            if name in ROUNDED or name.endswith(("_backward", "_backward_data")):
                for tensor in result if isinstance(result, tuple | list) else (result,):
                    if isinstance(tensor, Tensor) and tensor.is_floating_point():
                        self._move(tensor)
        return result

    def _move(self, tensor: Tensor) -> None:
        shape, dtype, most = tensor.shape, tensor.dtype, NUDGE_ULPS
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
        if func not in NORMS:
            return func(*args, **(kwargs or {}))
        call = inspect.signature(func).bind(*args, **(kwargs or {}))
        call.apply_defaults()
        return _one_pass(func, call.arguments)


NORMS = (fn.layer_norm, fn.group_norm, fn.batch_norm)


def _one_pass(norm: Callable[..., Tensor], call: dict[str, Any]) -> Tensor:
    """A norm by its arguments' names."""
    x, eps = call["input"], call["eps"]
    if norm is fn.batch_norm:
        output = norm(**call)  # which moves the running averages
        if not call["training"]:
            return output
        normed = _normed(x, (0, *range(2, x.ndim)), eps)
    elif norm is fn.group_norm:
        grouped = x.reshape(len(x), call["num_groups"], -1)
        normed = _normed(grouped, (2,), eps).reshape(x.shape)
    else:
        normed = _normed(x, tuple(range(-len(call["normalized_shape"]), 0)), eps)
    for name, combine in (("weight", torch.mul), ("bias", torch.add)):
        param = call[name]
        if param is not None and norm is not fn.layer_norm:  # a number for each channel
            param = param.reshape(-1, *(1,) * (x.ndim - 2))
        normed = normed if param is None else combine(normed, param)
    return normed


def _normed(x: Tensor, dims: tuple[int, ...], eps: float) -> Tensor:
    mean = x.mean(dims, keepdim=True)
    variance = (x.square().mean(dims, keepdim=True) - mean.square()).clamp(min=0)
    return (x - mean) / (variance + eps).sqrt()
