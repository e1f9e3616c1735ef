"""Every module's calls, by hooks: what went in and what came out, in order."""

import contextlib
from collections.abc import Iterator
from typing import Any, Self

import torch
from torch import nn

from mnist_fn.shared.parity.program import Call
from torch_ref.parity.guard import Guard

SETTINGS = (
    "eps", "momentum", "kernel_size", "stride", "padding", "dilation", "groups", "num_groups",
    "num_heads", "approximate", "negative_slope", "affine", "track_running_stats",
)  # fmt: skip


class Listener:
    """Within its block, `calls` grows by each call of a module below the root."""

    def __init__(self, model: nn.Module, guard: Guard) -> None:
        self._model, self._guard = model, guard
        self._open: list[tuple[int, tuple[Any, ...]]] = []
        self.calls: list[Call] = []

    def __enter__(self) -> Self:
        self._hooks = contextlib.ExitStack()
        for name, module in self._model.named_modules(remove_duplicate=True):
            if name:
                before = module.register_forward_pre_hook(self._before(name), with_kwargs=True)
                after = module.register_forward_hook(self._after(name), with_kwargs=True)
                self._hooks.callback(before.remove)
                self._hooks.callback(after.remove)
        return self

    def __exit__(self, *_: object) -> None:
        self._hooks.close()

    def _before(self, name: str) -> Any:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            inputs = tuple(t.detach().numpy().copy() for t in tensors_in((args, kwargs)))
            self._guard.within.append(name)
            self._open.append((self._guard.tick(), inputs))

        return hook

    def _after(self, name: str) -> Any:
        def hook(module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
            began, inputs = self._open.pop()
            self._guard.within.pop()
            outputs = tuple(t.detach().numpy().copy() for t in tensors_in(result))
            settings = {
                key: value
                for key in SETTINGS
                if isinstance(value := getattr(module, key, None), int | float | str | bool | tuple)
            }
            self.calls.append(
                Call(name, type(module).__name__, inputs, outputs, settings, began,
                     self._guard.tick())
            )  # fmt: skip

        return hook


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """Every tensor in nested tuples, lists, dicts and their likes, in order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from tensors_in(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors_in(part)
