"""A PyTorch model as a program on the ladder: see docs/porting.md."""

import copy
import inspect
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.parity.program import Batch, Nudge, Step, Tensors, Trace, Variant, Weights
from torch_ref.parity import sites
from torch_ref.parity.guard import Guard
from torch_ref.parity.listening import Listener, tensors_in
from torch_ref.parity.onepass import OnePass
from torch_ref.parity.optimizers import SLACK, clip_plainly, clipped_to, read_rule

WRAPPERS = ("_orig_mod", "module")  # of torch.compile, and of DataParallel


class TorchProgram:
    """A module, its loss and its optimizer. The module is copied; the caller's stays as it is.

    Args:
        model: any `nn.Module`; parameters in float32 or float64.
        loss: (outputs, targets) -> scalar. Without it nothing above the outputs is compared.
        optimizer: parameters -> `torch.optim.Optimizer`. An argument that is named `model` is
            given the copied module instead, for groups.
        before_step: called with the parameters after each backward pass, for clipping.
        scheduler: optimizer -> learning rate scheduler, stepped after each step.
        name: what the verdict calls this program.

    Raises:
        InputError: no parameters, or some in half precision.
    """

    data_format = "channels_first"

    def __init__(
        self,
        model: nn.Module,
        *,
        loss: Callable[..., torch.Tensor] | None = None,
        optimizer: Callable[..., torch.optim.Optimizer] | None = None,
        before_step: Callable[[list[nn.Parameter]], Any] | None = None,
        scheduler: Callable[[torch.optim.Optimizer], Any] | None = None,
        name: str = "PyTorch",
    ) -> None:
        if not isinstance(model, nn.Module):
            raise InputError(f"{name}: model is a {type(model).__name__}, not an nn.Module")
        for wrapper in WRAPPERS:
            inner = getattr(model, wrapper, None)
            if isinstance(inner, nn.Module) and len(list(model.children())) == 1:
                model = inner
        self.name, self._model = name, model
        self._loss, self._optimizer = loss, optimizer
        self._before_step, self._scheduler = before_step, scheduler
        self._copies: dict[torch.dtype, nn.Module] = {}
        self._clip: float | None = None  # to which norm `before_step` was seen to clip
        self.unsupported: dict[str, str] = {}
        if loss is None:
            self.unsupported["loss"] = f"{name} was given no loss"
        if optimizer is None:
            self.unsupported["optimizer"] = f"{name} was given no optimizer"
        self._check_parameters()
        self._declared = None if optimizer is None else self._rule()

    def _check_parameters(self) -> None:
        named = dict(self._model.named_parameters())
        if not named:
            raise InputError(f"{self.name}: the model has no parameters; there is nothing to port")
        for key, p in named.items():
            if isinstance(p, nn.parameter.UninitializedParameter):
                raise InputError(f"{self.name}: {key} has no shape yet; call the model once")
            if p.dtype not in (torch.float32, torch.float64):
                kind = str(p.dtype).removeprefix("torch.")
                raise InputError(
                    f"{self.name}: {key} is {kind}; parities are compared in float64, so give the "
                    "model in float32 (model.float()) or float64"
                )

    def _rule(self) -> dict[str, Any] | None:
        model = copy.deepcopy(self._model)
        return read_rule(self._made(model), dict(model.named_parameters()))

    @property
    def rule(self) -> dict[str, Any] | None:
        """What the optimizer declares, and the clipping that was seen."""
        if self._declared is None or self._clip is None:
            return self._declared
        return {**self._declared, "clip_norm": self._clip, "clip_slack": SLACK}

    def without_extras(self) -> tuple["TorchProgram", str] | None:
        """This with gradients clipped to just the norm, if it clips; and what that leaves out."""
        if self._clip is None:
            return None
        other = copy.copy(self)
        other._before_step = lambda parameters: clip_plainly(parameters, self._clip)
        return other, (
            f"clip_grad_norm_ divides by the norm + {SLACK:g}, optax by the norm: with that taken "
            "out, sums in another order are all that is left"
        )

    def _made(self, model: nn.Module) -> torch.optim.Optimizer:
        if self._optimizer is None:
            raise InputError(f"{self.name}: was given no optimizer")
        by_model = "model" in inspect.signature(self._optimizer).parameters
        made = self._optimizer(model if by_model else list(model.parameters()))
        own = {id(p) for p in model.parameters()}
        if not all(id(p) in own for group in made.param_groups for p in group["params"]):
            raise InputError(
                f"{self.name}: the optimizer is made of other parameters than it was given; take "
                "them from the argument: optimizer=lambda parameters: torch.optim.SGD(parameters, "
                "0.1), or lambda model: … for groups"
            )
        return made

    def spec(self, batch: Batch) -> Weights:
        """The weights themselves."""
        return self.start(batch)

    def start(self, batch: Batch) -> Weights:
        """The caller's weights as they are now, float64."""
        self._copies.clear()
        params = {name: _float64(p) for name, p in self._model.named_parameters()}
        buffers = {
            name: _float64(b) for name, b in self._model.named_buffers() if b.is_floating_point()
        }
        named = self._model.named_parameters()
        return Weights(params, buffers, frozenset(n for n, p in named if not p.requires_grad))

    def run(
        self, weights: Weights, batch: Batch, train: bool = True, variant: Variant | None = None
    ) -> Trace:
        """See `Program`."""
        dtype = _dtype(weights)
        if dtype not in self._copies:
            self._copies[dtype] = self._copy(dtype)
        model = _load(self._copies[dtype], weights).train(train)
        model.zero_grad(set_to_none=True)
        guard = Guard(self.name, dtype, variant, self._substitute)
        order = OnePass() if variant is not None and variant.control else nullcontext()
        with order, torch.enable_grad(), Listener(model, guard) as listener, guard:
            outputs = model(*map(_tensor, batch.inputs), **_named(batch))
            modelled = guard.tick()
            value = self._value(outputs, batch) if train and self._loss is not None else None
            lost = guard.tick()
        tensors = tuple(tensors_in(outputs))
        found = Trace(_numpy(tensors), listener.calls, ticks=(modelled, lost))
        if value is not None:
            value.backward()
            of_outputs = tuple(
                t.grad if t.grad is not None else torch.zeros_like(t) for t in tensors
            )
            found = Trace(found.outputs, found.calls, float(value.detach()), _numpy(of_outputs),
                         _gradients(model), {}, found.ticks)  # fmt: skip
        found.buffers.update(_buffers(model))
        self._sites = guard.sites
        return found

    def _value(self, outputs: Any, batch: Batch) -> torch.Tensor:
        if self._loss is None:
            raise InputError(f"{self.name}: was given no loss")
        for t in tensors_in(outputs):
            if t.requires_grad:
                t.retain_grad()
        value = self._loss(outputs, _targets(batch.targets))
        if not isinstance(value, torch.Tensor) or value.ndim:
            shape = list(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
            raise InputError(f"{self.name}: loss gives {shape}, not a scalar; take its mean or sum")
        return value

    def train(
        self, weights: Weights, batches: Iterator[Batch], nudge: Nudge | None = None
    ) -> Iterator[Step]:
        """See `Program`."""
        dtype = _dtype(weights)
        model = _load(self._copy(dtype), weights).train()
        optimizer = self._made(model)
        scheduler = None if self._scheduler is None else self._scheduler(optimizer)
        for i, batch in enumerate(batches, start=1):
            optimizer.zero_grad(set_to_none=True)
            order = nullcontext() if nudge is None else OnePass()
            with order, torch.enable_grad(), Guard(self.name, dtype):
                value = self._value(model(*map(_tensor, batch.inputs), **_named(batch)), batch)
            value.backward()
            gradients = _gradients(model)
            if self._before_step is not None:
                self._before_step([p for p in model.parameters() if p.requires_grad])
                self._clip = clipped_to(gradients, _gradients(model)) or self._clip
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            if nudge is not None:
                _load(model, Weights(nudge(_params(model), i)))
            yield Step(_params(model), _buffers(model), gradients, float(value.detach()))

    def variants(self, trace: Trace, first: int, last: int) -> list[Variant]:
        """See `Program`: of the last pass."""
        return sites.variants(self._sites, first, last)

    def _substitute(self, variant: Variant) -> Callable[..., Any]:
        return sites.substitute(variant)

    def _copy(self, dtype: torch.dtype) -> nn.Module:
        """A copy without dropout in another dtype."""
        try:
            model = copy.deepcopy(self._model).to(dtype)
        except Exception as error:  # whatever a module of theirs says
            raise InputError(f"{self.name}: the model can't be copied ({error})") from error
        for module in model.modules():
            for attribute in ("dropout", "dropout_p"):
                if isinstance(getattr(module, attribute, None), float):
                    setattr(module, attribute, 0.0)
        return model


def _float64(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().to("cpu", torch.float64).numpy().copy()


def _numpy(tensors: tuple[torch.Tensor, ...]) -> tuple[np.ndarray, ...]:
    return tuple(t.detach().cpu().numpy().copy() for t in tensors)


def _dtype(weights: Weights) -> torch.dtype:
    return torch.from_numpy(next(iter(weights.params.values()))[..., :0]).dtype


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(array))


def _named(batch: Batch) -> dict[str, torch.Tensor]:
    return {name: _tensor(array) for name, array in batch.named.items()}


def _targets(targets: Any) -> Any:
    if isinstance(targets, dict):
        return {name: _targets(part) for name, part in targets.items()}
    if isinstance(targets, list | tuple):
        return type(targets)(_targets(part) for part in targets)
    return _tensor(targets) if isinstance(targets, np.ndarray) else targets


@torch.no_grad()
def _load(model: nn.Module, weights: Weights) -> nn.Module:
    own = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for name, array in {**weights.params, **weights.buffers}.items():
        own[name].copy_(_tensor(array))
    return model


def _params(model: nn.Module) -> Tensors:
    return {name: p.detach().numpy().copy() for name, p in model.named_parameters()}


def _buffers(model: nn.Module) -> Tensors:
    return {n: b.numpy().copy() for n, b in model.named_buffers() if b.is_floating_point()}


def _gradients(model: nn.Module) -> Tensors:
    return {
        name: (torch.zeros_like(p) if p.grad is None else p.grad).numpy().copy()
        for name, p in model.named_parameters()
        if p.requires_grad
    }
