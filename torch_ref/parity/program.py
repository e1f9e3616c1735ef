"""A PyTorch model as a program on the ladder: see docs/porting.md."""

import copy
import inspect
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from types import FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import nn

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.parity.determinism import difference_of_runs, refuse_random
from mnist_fn.shared.parity.program import (
    Batch,
    Nudge,
    Program,
    Step,
    Tensors,
    Trace,
    Variant,
    Weights,
    nested,
)
from torch_ref.parity import sites
from torch_ref.parity.controls import OnePass, RoundedAtRandom
from torch_ref.parity.guard import Guard
from torch_ref.parity.listening import Listener, arrays, named_tensors, replaced
from torch_ref.parity.optimizers import SLACK, clip_plainly, clipped_to, read_rule, read_schedule

SCHEDULED = 7  # steps of which a scheduler's factors are read
WRAPPERS = ("_orig_mod", "module")  # of torch.compile, and of DataParallel


class TorchProgram(Program):
    """A module, its loss and its optimizer. The module is copied; the caller's stays as it is.

    Args:
        model: any `nn.Module`, parameters in float32 or float64; or a function that makes one,
            whose constructor then computes its tables in float64 as well.
        loss: (outputs, targets) -> scalar. Without it nothing above the outputs is compared.
        optimizer: parameters -> `torch.optim.Optimizer`. An argument that is named `model` is
            given the copied module instead, for groups.
        before_step: called with the parameters after each backward pass, for clipping.
        scheduler: optimizer -> learning rate scheduler, stepped after each step.
        name: what the verdict calls this program.

    Raises:
        InputError: no parameters, or some in half precision.
    """

    def __init__(
        self,
        model: nn.Module | Callable[[], nn.Module],
        *,
        loss: Callable[..., torch.Tensor] | None = None,
        optimizer: Callable[..., torch.optim.Optimizer] | None = None,
        before_step: Callable[[list[nn.Parameter]], Any] | None = None,
        scheduler: Callable[[torch.optim.Optimizer], Any] | None = None,
        name: str = "PyTorch",
    ) -> None:
        super().__init__(name, "channels_first", loss, optimizer)
        self._made_here = isinstance(model, FunctionType | MethodType | type | partial)
        if self._made_here:
            with self._calls("model"), Guard(name, torch.float64, keep_sites=False):
                model = model()  # pyright: ignore[reportCallIssue]
        if not isinstance(model, nn.Module):
            raise InputError(f"{name}: model is a {type(model).__name__}, not an nn.Module")
        for wrapper in WRAPPERS:
            inner = getattr(model, wrapper, None)
            if isinstance(inner, nn.Module) and len(list(model.children())) == 1:
                model = inner
        self._model = model
        functions = {"loss": loss, "optimizer": optimizer}
        functions |= {"before_step": before_step, "scheduler": scheduler}
        for argument, function in functions.items():
            if function is not None and not callable(function):
                raise InputError(
                    f"{name}: {argument} is a {type(function).__name__}, not a function; see "
                    f"TorchProgram's docstring for what {argument} is called with"
                )
        self._loss, self._optimizer = loss, optimizer
        self._before_step, self._scheduler = before_step, scheduler
        self._copies: dict[torch.dtype, nn.Module] = {}
        self._clip: float | None = None  # to which norm `before_step` was seen to clip
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
        rule = read_rule(self._made(model), dict(self._parameters(model)))
        schedule = self._schedule()
        return {**rule, "schedule": schedule} if rule is not None and schedule else rule

    def _schedule(self) -> tuple[float, ...]:
        """The scheduler's factors; none where they can't be read without a training."""
        if self._scheduler is None:
            return ()
        try:
            optimizer = self._made(copy.deepcopy(self._model))
            return read_schedule(optimizer, self._scheduler, SCHEDULED)
        except Exception:  # such as one that is given the loss; training says what it raises
            return ()

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
        program = copy.copy(self)
        program._before_step = lambda parameters: clip_plainly(parameters, self._clip)
        return program, (
            f"clip_grad_norm_ divides by the norm + {SLACK:g}, optax by the norm: with that taken "
            "out, what is left is compared"
        )

    def _made(self, model: nn.Module) -> torch.optim.Optimizer:
        if self._optimizer is None:
            raise InputError(f"{self.name}: was given no optimizer")
        by_model = "model" in inspect.signature(self._optimizer).parameters
        with self._calls("optimizer"):
            rule = self._optimizer(model if by_model else list(model.parameters()))
        if not isinstance(rule, torch.optim.Optimizer):
            raise InputError(
                f"{self.name}: optimizer gives a {type(rule).__name__}, not a torch.optim.Optimizer"
            )
        closure = inspect.signature(rule.step).parameters.get("closure")
        if closure is not None and closure.default is inspect.Parameter.empty:
            raise InputError(
                f"{self.name}: a step of {type(rule).__name__} calls the loss several times by a "
                "closure, so its steps can't be compared; leave the optimizer out to compare what "
                "is below them"
            )
        parameters = set(model.parameters())
        for group in rule.param_groups:
            if not parameters.issuperset(group["params"]):
                raise InputError(
                    f"{self.name}: the optimizer is made of other parameters than it was given; "
                    "take them from the argument: optimizer=lambda parameters: "
                    "torch.optim.SGD(parameters, 0.1), or lambda model: … for groups"
                )
        return rule

    @contextmanager
    def _calls(self, argument: str) -> Iterator[None]:
        """What a function of the caller's raises becomes one line."""
        try:
            yield
        except InputError:
            raise
        except Exception as error:
            first = (str(error).splitlines() or [""])[0]
            raise InputError(
                f"{self.name}: {argument} raises {type(error).__name__}: {first[:160]}"
            ) from error

    def start(self, batch: Batch) -> Weights:
        """The caller's weights as they are now, float64."""
        self._copies.clear()
        params, frozen = {}, set()
        for name, parameter in self._model.named_parameters():
            params[name] = _float64(parameter)
            if not parameter.requires_grad:
                frozen.add(name)
        buffers = {name: _float64(b) for name, b in self._floating_buffers(self._model)}
        return Weights(params, buffers, frozenset(frozen))

    def run(
        self, weights: Weights, batch: Batch, train: bool = True, variant: Variant | None = None
    ) -> Trace:
        """See `Program`."""
        dtype = _dtype(weights)
        if dtype not in self._copies:
            self._copies = {dtype: self._copy(dtype)}  # no other is held beside it
        model = self._load(self._copies[dtype], weights).train(train)
        model.zero_grad(set_to_none=True)
        guard = Guard(self.name, dtype, variant, sites.substitute)
        draw = None if variant is None else variant.draw
        with nullcontext() if draw is None else RoundedAtRandom(draw):
            trace, outputs, value = self._pass(model, batch, guard, variant, train)
            if value is not None:
                value.backward()
        if value is not None:
            trace = replace(
                trace,
                loss=float(value.detach()),
                output_gradients=arrays(map(_gradient, outputs)),
                gradients=self._gradients(model),
            )
            model.zero_grad(set_to_none=True)
        trace.buffers.update(self._buffers(model))
        self._draws = guard.draws
        if variant is None:
            self._sites = guard.sites
        for module in guard.casts:
            place = module or "the model"
            self.note(f"{place} casts to float32; it is compared in float64 throughout")
        for module, function in guard.backwards.items():
            self.note(f"{module or 'the model'} computes its gradient by hand ({function})")
        return trace

    def in_float32(self, weights: Weights, batch: Batch) -> dict[str, str]:
        """Tables that the constructor of a given model computed in float32, in words."""
        if self._made_here:
            return {}
        tables = dict(self._model.named_buffers())
        for path, module in self._model.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, torch.Tensor):
                    tables[f"{path}.{name}".lstrip(".")] = value
        texts, hint = {}, "give a function that makes the model"
        for name, table in tables.items():
            if table.dtype == torch.float32:
                texts[name] = f"{name} was computed in float32; {hint}"
        return texts

    def _pass(
        self, model: nn.Module, batch: Batch, guard: Guard, variant: Variant | None, train: bool
    ) -> tuple[Trace, tuple[torch.Tensor, ...], torch.Tensor | None]:
        """What a pass shows so far, its outputs and its loss. The loss has its outputs as tensors
        of their own, so that the gradient of one doesn't go through another.
        """
        order = OnePass() if variant is not None and variant.control else nullcontext()
        fork = torch.random.fork_rng(devices=[])  # a draw that changes nothing moves the generator
        listener = Listener(self._modules(model), guard)
        with fork, order, torch.enable_grad(), listener, guard:
            outputs = model(*map(_tensor, batch.inputs), **nested(batch.named, _tensor))
            value = None
            if train and self._loss is not None:
                outputs = replaced(outputs, lambda t: t.view_as(t))
            named = named_tensors(outputs)
            modelled = guard.tick()
            if train and self._loss is not None:
                value = self._value(outputs, batch)
            lost = guard.tick()
        tensors = tuple(named.values())
        recurrent = self._recurrent() if train else []
        trace = Trace(
            arrays(tensors),
            listener.calls,
            ticks=(modelled, lost),
            names=tuple(named),
            dropouts=tuple(sorted(guard.dropouts + recurrent)) if variant is None else None,
        )
        return trace, tensors, value

    def _recurrent(self) -> list[float]:
        """Dropout rates of recurrent modules, which apply them between their layers."""
        rates = []
        for module in self._model.modules():
            if isinstance(module, nn.RNNBase) and module.dropout:
                rates += [float(module.dropout)] * (module.num_layers - 1)
        return rates

    def check_deterministic(self, weights: Weights, batch: Batch) -> None:
        """Refuse a program of which two runs from the same state differ.

        Raises:
            InputError: with what draws at random, where that is known.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            first = self.run(weights, batch)
            torch.manual_seed(1)
            second = self.run(weights, batch)
        difference = difference_of_runs(first, second)
        if difference and self._draws:
            raise InputError(
                f"{self.name}: draws at random ({self._draws[0]}), so no other program can do the "
                "same; draw outside of the model and hand it in as an input, or set its rate to 0"
            )
        refuse_random(self.name, difference)

    def _value(self, outputs: Any, batch: Batch) -> torch.Tensor:
        if self._loss is None:
            raise InputError(f"{self.name}: was given no loss")
        for t in named_tensors(outputs).values():
            if t.requires_grad:
                t.retain_grad()
        value = self._loss(outputs, nested(batch.targets, _tensor))
        if not isinstance(value, torch.Tensor) or value.ndim:
            shape = list(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
            raise InputError(f"{self.name}: loss gives {shape}, not a scalar; take its mean or sum")
        return value

    def train(
        self,
        weights: Weights,
        batches: Iterator[Batch],
        nudge: Nudge | None = None,
        gradients: Iterator[Tensors] | None = None,
    ) -> Iterator[Step]:
        """See `Program`."""
        dtype = _dtype(weights)
        model = self._load(self._copy(dtype), weights).train()
        optimizer = self._made(model)
        scheduler = None
        if self._scheduler is not None:
            with self._calls("scheduler"):
                scheduler = self._scheduler(optimizer)
        given = itertools.repeat(None) if gradients is None else gradients
        for i, batch in enumerate(batches, start=1):
            # made elsewhere, so that a training that waits holds none of its step's tensors
            yield self._step(dtype, model, optimizer, scheduler, batch, next(given), nudge, i)

    def _step(
        self,
        dtype: torch.dtype,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        scheduler: Any,
        batch: Batch,
        given: Tensors | None,
        nudge: Nudge | None,
        number: int,
    ) -> Step:
        """Train a copy by a step of a number, with its own gradients or with those given."""
        order = nullcontext() if nudge is None else OnePass()
        plain = Guard(self.name, dtype, keep_sites=False)
        with torch.random.fork_rng(devices=[]), order, torch.enable_grad(), plain:
            outputs = model(*map(_tensor, batch.inputs), **nested(batch.named, _tensor))
            value = self._value(outputs, batch)
        value.backward()
        grads = self._gradients(model)
        if given is not None:
            self._take(model, given)
        if self._before_step is not None:
            with self._calls("before_step"):
                self._before_step([p for p in model.parameters() if p.requires_grad])
            self._clip = clipped_to(grads, self._gradients(model)) or self._clip
        # some rules keep a scalar in float32, whatever the parameters' dtype
        with self._calls("optimizer"), Guard(self.name, dtype, keep_sites=False):
            optimizer.step()
        if scheduler is not None:
            with self._calls("scheduler"):
                scheduler.step()
        if nudge is not None:
            self._load(model, Weights(nudge(self._params(model), number)))
        optimizer.zero_grad(set_to_none=True)
        return Step(self._params(model), self._buffers(model), grads, float(value.detach()))

    def variants(self, trace: Trace, first: int, last: int) -> list[Variant]:
        """See `Program`: of the last pass of the program as it is."""
        return sites.variants(self._sites, trace.ticks[0], first, last)

    def _copy(self, dtype: torch.dtype) -> nn.Module:
        """A copy without dropout in another dtype."""
        try:
            model = copy.deepcopy(self._model).to(dtype)
        except Exception as error:  # whatever a module of theirs says
            raise InputError(f"{self.name}: the model can't be copied ({error})") from error
        for module in model.modules():
            if isinstance(module, nn.RNNBase):  # its dropout is within one call, out of reach
                module.dropout = 0.0
            if self._made_here:  # its tables are float64, and `to` moves no plain attribute
                for name, value in list(vars(module).items()):
                    if isinstance(value, torch.Tensor) and value.is_floating_point():
                        setattr(module, name, value.to(dtype))
        return model

    def _modules(self, model: nn.Module) -> dict[str, nn.Module]:
        """A copy's modules below the root, by the original's names."""
        modules = dict(zip(dict(self._model.named_modules()), model.modules(), strict=True))
        del modules[""]
        return modules

    def _parameters(self, model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
        """A copy's parameters by the original's names: some models rename those of a copy."""
        yield from zip(dict(self._model.named_parameters()), model.parameters(), strict=True)

    def _floating_buffers(self, model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
        for name, buffer in zip(dict(self._model.named_buffers()), model.buffers(), strict=True):
            if buffer.is_floating_point():
                yield name, buffer

    @torch.no_grad()
    def _load(self, model: nn.Module, weights: Weights) -> nn.Module:
        tensors = {**dict(self._parameters(model)), **dict(self._floating_buffers(model))}
        for name, array in {**weights.params, **weights.buffers}.items():
            tensors[name].copy_(_tensor(array))
        return model

    def _params(self, model: nn.Module) -> Tensors:
        return {name: p.detach().numpy().copy() for name, p in self._parameters(model)}

    def _buffers(self, model: nn.Module) -> Tensors:
        return {name: b.numpy().copy() for name, b in self._floating_buffers(model)}

    @torch.no_grad()
    def _take(self, model: nn.Module, gradients: Tensors) -> None:
        """Put gradients in place of a copy's; one that it doesn't have stays away."""
        for name, p in self._parameters(model):
            if name in gradients and p.grad is not None:
                p.grad.copy_(_tensor(gradients[name]))

    def _gradients(self, model: nn.Module) -> Tensors:
        gradients = {}
        for name, parameter in self._parameters(model):
            if parameter.requires_grad:
                gradients[name] = _gradient(parameter).numpy().copy()
        return gradients


def _gradient(tensor: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


def _float64(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().to("cpu", torch.float64).numpy().copy()


def _dtype(weights: Weights) -> torch.dtype:
    return torch.from_numpy(np.zeros(0, next(iter(weights.params.values())).dtype)).dtype


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(array))
