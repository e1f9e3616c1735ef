"""Every module's calls, by hooks: what went in and what came out, in order."""

import contextlib
import copy
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from mnist_fn.shared.parity.program import Call
from torch_ref.parity.guard import Guard

SETTINGS = (
    "eps", "momentum", "kernel_size", "stride", "padding", "dilation", "groups", "num_groups",
    "num_heads", "approximate", "negative_slope", "affine", "track_running_stats",
    "padding_idx",
)  # fmt: skip


class Listener:
    """Within its block, `calls` grows by each call of a module.

    Args:
        modules: those below the root, by name.
        guard: whose clock and modules the calls are told.
    """

    def __init__(self, modules: dict[str, nn.Module], guard: Guard) -> None:
        self._modules, self._guard = modules, guard
        self._open: list[tuple[int, tuple[Any, ...]]] = []
        self.calls: list[Call] = []

    def __enter__(self) -> Self:
        self._hooks = contextlib.ExitStack()
        for name, module in self._modules.items():
            hook, later_hook = partial(self._before, name), partial(self._after, name)
            handle = module.register_forward_pre_hook(hook, with_kwargs=True)
            self._hooks.callback(handle.remove)
            handle = module.register_forward_hook(later_hook, with_kwargs=True)
            self._hooks.callback(handle.remove)
        return self

    def __exit__(self, *_: object) -> None:
        self._hooks.close()

    def _before(self, name: str, module: nn.Module, args: Any, kwargs: Any) -> None:
        inputs = arrays(tensors_in((args, kwargs)))
        self._guard.within.append(name)
        self._open.append((self._guard.tick(), inputs))

    def _after(self, name: str, module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        began, inputs = self._open.pop()
        self._guard.within.pop()
        tensors = tuple(tensors_in(result))
        for tensor in tensors:
            if isinstance(tensor.grad_fn, torch.autograd.function.BackwardCFunction):
                function = type(tensor.grad_fn).__name__.removesuffix("Backward")
                self._guard.backwards[name] = function
        settings = {}
        for key in SETTINGS:
            value = getattr(module, key, None)
            if isinstance(value, int | float | str | bool | tuple):
                settings[key] = value
        kind, ended = type(module).__name__, self._guard.tick()
        self.calls.append(Call(name, kind, inputs, arrays(tensors), settings, began, ended))


def arrays(tensors: Iterable[torch.Tensor]) -> tuple[np.ndarray, ...]:
    """Copies in NumPy."""
    return tuple(tensor.detach().cpu().numpy().copy() for tensor in tensors)


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """Every tensor in nested tuples, lists, dicts, dataclasses and their likes, in order."""
    yield from named_tensors(value).values()


def named_tensors(value: Any, name: str = "") -> dict[str, torch.Tensor]:
    """The same by name: `logits`, `1`, `hidden/0`."""
    if isinstance(value, torch.Tensor):
        return {name: value}
    tensors: dict[str, torch.Tensor] = {}
    for key, entry in _entries(value):
        tensors |= named_tensors(entry, f"{name}/{key}" if name else str(key))
    return tensors


def _entries(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return list(zip(getattr(value, "_fields", ()), value, strict=True))
    if isinstance(value, list | tuple):
        return list(enumerate(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    return []


def replaced(value: Any, new: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """The same structure with another tensor for each of its tensors."""
    if isinstance(value, torch.Tensor):
        return new(value)
    if isinstance(value, dict):  # a copy of its own class, such as a ModelOutput
        copied = copy.copy(value)
        for key, entry in value.items():
            copied[key] = replaced(entry, new)
        return copied
    if isinstance(value, list | tuple):
        entries = [replaced(entry, new) for entry in value]
        return type(value)(*entries) if hasattr(value, "_fields") else type(value)(entries)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        copied = copy.copy(value)
        for key, entry in _entries(value):
            object.__setattr__(copied, key, replaced(entry, new))
        return copied
    return value
