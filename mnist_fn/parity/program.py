"""Programs in JAX for the ladder: Flax modules and plain functions; see docs/porting.md."""

import contextlib
import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.errors import InvalidRngError

from mnist_fn.compiling import quick_jit
from mnist_fn.parity.controls import DRAWS, rounded_at_random
from mnist_fn.parity.listening import Heard, divided, listen
from mnist_fn.parity.trees import Names, name_of, names_in_order, split_variables
from mnist_fn.parity.widening import narrow_modules, widened
from mnist_fn.shared import faults
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.parity.causes.distance import map_tensors
from mnist_fn.shared.parity.causes.rules import KINDS, Rule
from mnist_fn.shared.parity.determinism import difference_of_runs, refuse_random
from mnist_fn.shared.parity.program import (
    Batch,
    Call,
    Nudge,
    Program,
    Step,
    Tensors,
    Trace,
    Variant,
    Weights,
    random_ulps,
)

Loss = Callable[..., jax.Array]
Penalty = Callable[[Any], jax.Array]  # of the parameters, nested as the model has them
# Keyword arguments by which Flax modules are told whether they train, and what each is when they do
TRAINING = {
    "train": True, "training": True, "is_training": True,
    "deterministic": False, "use_running_average": False, "inference": False, "eval_mode": False,
}  # fmt: skip


class JaxProgram(Program):
    """A pure function of its parameters; nothing of it or of the process is changed.

    Equinox, Haiku and NNX come in by their plain functions: `eqx.partition` and `combine`,
    `hk.transform`'s `apply`, `nnx.split` and `merge`.

    Args:
        apply: `(params, *inputs) -> outputs`; with `state`,
            `(params, state, *inputs, train=bool) -> (outputs, new state)`.
        params: a pytree. Its floating-point leaves are the parameters.
        state: a pytree of running averages, or None.
        loss: (outputs, targets) -> scalar. Without it nothing above the outputs is compared.
        optimizer: an `optax.GradientTransformation`, clipping and schedule in it.
        penalty: params -> scalar that training adds to the loss, such as λ Σ W². Loss and
            gradients are compared without it, so the other program may have it as a decay.
        rule: what the optimizer is, as fields of `causes.rules.Rule` such as {"kind": "adamw",
            "learning_rate": 1e-3, "weight_decay": 0.01}: optax doesn't say, and a reference's rule
            tells the cause of a step. λ Σ W² is a coupled decay of 2λ.
        name: what the verdict calls this program.
        data_format: "channels_last" or "channels_first", where images have their channels.

    Raises:
        InputError: no parameters, or some in half precision; a rule with other fields; a JAX known
            to compute wrong.
    """

    def __init__(
        self,
        apply: Callable[..., Any],
        params: Any,
        *,
        state: Any = None,
        loss: Loss | None = None,
        optimizer: optax.GradientTransformation | None = None,
        penalty: Penalty | None = None,
        rule: Mapping[str, Any] | None = None,
        name: str = "JAX",
        data_format: str = "channels_last",
    ) -> None:
        self._set_up(name, data_format, loss, optimizer, penalty, rule)
        self._apply, self._stateful = apply, state is not None
        self._params, self._state = Names(params, name), Names({} if state is None else state, name)
        if not self._params.arrays:
            raise InputError(f"{name}: the model has no parameters; there is nothing to port")
        self.unsupported["modules"] = f"{name} is a plain function, which shows no modules"

    def _set_up(
        self,
        name: str,
        data_format: str,
        loss: Loss | None,
        optimizer: Any,
        penalty: Penalty | None,
        rule: Mapping[str, Any] | None,
    ) -> None:
        faults.warn()
        super().__init__(name, data_format, loss, optimizer)
        if loss is not None and not callable(loss):
            raise InputError(
                f"{name}: loss is a {type(loss).__name__}, not a function of outputs and targets"
            )
        if optimizer is not None and not hasattr(optimizer, "update"):
            raise InputError(
                f"{name}: optimizer is a {type(optimizer).__name__}; give an optax one, such as "
                "optax.sgd(0.1)"
            )
        self._declared = None if rule is None else _checked(rule, name)
        self._loss, self._optimizer, self._penalty = loss, optimizer, penalty
        self._value_and_gradient = jax.value_and_grad(self._objective, has_aux=True)
        self._passes = {
            True: quick_jit(lambda *a: self._pass(*a, train=True)),
            False: quick_jit(lambda *a: self._pass(*a, train=False)),
        }
        self._controls = {
            True: quick_jit(partial(rounded_at_random, lambda *a: self._pass(*a, train=True))),
            False: quick_jit(partial(rounded_at_random, lambda *a: self._pass(*a, train=False))),
        }
        self._step = quick_jit(self._one_step, donate_argnums=1)

    rule_is_given = True
    _shows_dropout = False  # a function of arrays has no modules whose rate can be read

    def start(self, batch: Batch) -> Weights:
        """The parameters as they were given, float64."""
        return Weights(dict(self._params.arrays), dict(self._state.arrays))

    def _forward(
        self, params: Tensors, buffers: Tensors, batch: Batch, train: bool
    ) -> tuple[Any, Any, list[Heard]]:
        """(outputs, buffers by name, calls), traced."""
        tree = self._params.nest(params)
        if not self._stateful:
            return self._apply(tree, *batch.inputs, **batch.named), {}, []
        outputs, state = self._apply(
            tree, self._state.nest(buffers), *batch.inputs, **batch.named, train=train
        )
        return outputs, self._state.flatten(state), []

    def _objective(
        self, params: Any, buffers: Any, inputs: Any, targets: Any, train: bool
    ) -> tuple[Any, tuple[Any, Any, Any]]:
        batch = Batch(*inputs, targets=targets)
        outputs, buffers, calls = self._forward(params, buffers, batch, train)
        value = 0.0
        if train and self._loss is not None:
            value = self._loss(outputs, targets)
            if np.shape(value) != ():
                raise InputError(
                    f"{self.name}: loss gives {list(np.shape(value))}, not a scalar; "
                    "take its mean or sum"
                )
        return value, (outputs, buffers, calls)

    def _pass(self, params: Any, buffers: Any, inputs: Any, targets: Any, train: bool) -> Any:
        if not train or self._loss is None:
            _, (outputs, buffers, calls) = self._objective(params, buffers, inputs, targets, train)
            return 0.0, outputs, buffers, calls, {}, ()
        (value, (outputs, buffers, calls)), gradients = self._value_and_gradient(
            params, buffers, inputs, targets, train
        )
        of_outputs = jax.grad(self._loss)(outputs, targets)
        return value, outputs, buffers, calls, gradients, of_outputs

    def run(
        self, weights: Weights, batch: Batch, train: bool = True, variant: Variant | None = None
    ) -> Trace:
        """See `Program`."""
        with self._scope(weights):
            passed = self._passes[train]
            if variant is not None and variant.draw is not None:
                passed = partial(self._controls[train], random_ulps(variant.draw, 0, DRAWS))
            value, outputs, buffers, calls, gradients, of_outputs = jax.device_get(
                passed(*_arguments(weights, batch))
            )
        lossy = train and self._loss is not None
        calls, rates = divided(calls)
        named, _ = jax.tree_util.tree_flatten_with_path(outputs)
        return Trace(
            _arrays(outputs),
            [_call(heard) for heard in calls],
            float(value) if lossy else None,
            _arrays(of_outputs),
            map_tensors(np.array, gradients),
            map_tensors(np.array, buffers),
            names=tuple(name_of(path) if path else "" for path, _ in named),
            dropouts=rates if self._shows_dropout else None,
        )

    def check_deterministic(self, weights: Weights, batch: Batch) -> None:
        """Refuse a program of which two runs, or two traces, from the same state differ.

        Raises:
            InputError: with what differs first.
        """
        difference = difference_of_runs(self.run(weights, batch), self.run(weights, batch))
        traced = self._traced(weights, batch)
        if not difference and traced != self._traced(weights, batch):
            difference = "a second trace has other numbers in it"
        refuse_random(self.name, difference)
        if _wide(weights) and traced != self._traced(weights, batch, casts=True):
            self.note("casts to float32; it is compared in float64 throughout")

    def _traced(self, weights: Weights, batch: Batch, casts: bool = False) -> str:
        """Trace the program again, as text with each number that Python draws; or with `casts`."""
        with self._scope(weights, casts):
            fresh = jax.jit(lambda *a: self._pass(*a, train=True))
            return fresh.lower(*_arguments(weights, batch)).as_text()

    def in_float32(self, weights: Weights, batch: Batch) -> dict[str, str]:
        """Modules that compute in float32 though the weights are float64, in words."""
        with self._scope(weights):
            trace = jax.make_jaxpr(lambda *a: self._pass(*a, train=True))
            traced = trace(*_arguments(weights, batch))
        texts = {}
        for module in narrow_modules(traced.jaxpr):
            place = module or "the program"
            texts[module] = f"{place} casts to float32; let it cast to its dtype"
        return texts

    def _one_step(
        self,
        params: Any,
        memory: Any,
        buffers: Any,
        inputs: Any,
        targets: Any,
        given: Tensors | None = None,
    ) -> tuple[Any, ...]:
        (value, (_, buffers, _)), gradients = self._value_and_gradient(
            params, buffers, inputs, targets, True
        )
        tree = self._params.nest(params)
        slope = self._params.nest(gradients if given is None else {**gradients, **given})
        if self._penalty is not None:
            slope = jax.tree.map(jnp.add, slope, jax.grad(self._penalty)(tree))
        updates, memory = self._rule_of.update(slope, memory, tree)
        tree = optax.apply_updates(tree, updates)
        return self._params.flatten(tree), memory, buffers, gradients, value

    @property
    def _rule_of(self) -> optax.GradientTransformation:
        if self._optimizer is None:
            raise InputError(f"{self.name}: was given no optimizer")
        return self._optimizer

    def train(
        self,
        weights: Weights,
        batches: Iterator[Batch],
        nudge: Nudge | None = None,
        gradients: Iterator[Tensors] | None = None,
    ) -> Iterator[Step]:
        """See `Program`."""
        with self._scope(weights):
            memory = self._rule_of.init(self._params.nest(weights.params))
            # a step gives its memory away: what `init` returned may be the user's, or there twice
            memory = jax.tree.map(_copied, memory)
            if _wide(weights):  # an int32 divided is a float32, in which optax has its schedules
                memory = jax.tree.map(_wide_count, memory)
        given = itertools.repeat(None) if gradients is None else gradients
        state = [weights.params, memory, weights.buffers]
        for i, batch in enumerate(batches, start=1):
            # made elsewhere, so that a training that waits holds none of its step's gradients
            yield self._advance(weights, state, batch, next(given), nudge, i)

    def _advance(
        self,
        weights: Weights,
        state: list[Any],
        batch: Batch,
        given: Tensors | None,
        nudge: Nudge | None,
        number: int,
    ) -> Step:
        """Train by a step of a number: params, the optimizer's memory and buffers of `state` are
        replaced.
        """
        with self._scope(weights):
            inputs = batch.inputs, batch.named
            *state[:], grads, value = self._step(*state, inputs, batch.targets, given)
            params, buffers, grads, value = jax.device_get((state[0], state[2], grads, value))
        if nudge is not None:
            params = state[0] = nudge(params, number)
        return Step(dict(params), dict(buffers), dict(grads), float(value))

    @contextlib.contextmanager
    def _scope(self, weights: Weights, casts: bool = False) -> Iterator[None]:
        """In the weights' dtype, products in full; the caller's settings are as they were after.
        In float64 what a model casts to float32 stays float64 meanwhile, except with `casts`.
        """
        wide = _wide(weights)
        try:
            with (
                jax.enable_x64(wide),
                jax.default_matmul_precision("highest"),
                widened() if wide and not casts else contextlib.nullcontext(),
            ):
                yield
        except InvalidRngError as error:
            raise InputError(
                f"{self.name}: draws at random ({str(error).split('(')[0].strip()}), so no other "
                "program can do the same; draw outside of the model and hand it in as an input, or "
                "set its rate to 0 if it is dropout"
            ) from error


class FlaxProgram(JaxProgram):
    """A Linen module. Dropout is off; its other draws are refused.

    Args:
        module: any `flax.linen.Module`, with or without running averages. An argument of its call
            named train, training, is_training, deterministic or use_running_average is set.
        variables: what `module.init` gave, for a program whose own weights are the start.
        loss, optimizer, penalty, rule, name, data_format: see `JaxProgram`.

    Raises:
        InputError: see `JaxProgram`.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        variables: Any = None,
        loss: Loss | None = None,
        optimizer: optax.GradientTransformation | None = None,
        penalty: Penalty | None = None,
        rule: Mapping[str, Any] | None = None,
        name: str = "Flax",
        data_format: str = "channels_last",
    ) -> None:
        if not isinstance(module, nn.Module):
            raise InputError(
                f"{name}: module is a {type(module).__name__}, not a flax.linen.Module; give plain "
                "functions and NNX to JaxProgram"
            )
        self._set_up(name, data_format, loss, optimizer, penalty, rule)
        self._module, self._variables = module, variables
        self._order: tuple[list[str], list[str]] = [], []  # of parameters and buffers, as computed
        arguments = inspect.signature(type(module).__call__).parameters
        self._mode = {key: on for key, on in TRAINING.items() if key in arguments}

    _shows_dropout = True

    def _init(self, batch: Batch) -> Any:
        rngs = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
        with listen():
            arguments = self._arguments(batch, train=False)
            variables = self._module.init(rngs, *batch.inputs, **arguments)
        params, buffers = split_variables(variables)
        self._order = names_in_order(params), names_in_order(buffers)
        return variables

    def _arguments(self, batch: Batch, train: bool) -> dict[str, Any]:
        """The keyword arguments of a call, those that say whether it trains among them."""
        return {**batch.named, **{key: on == train for key, on in self._mode.items()}}

    def spec(self, batch: Batch) -> Weights:
        """Names and shapes, from `module.init` traced and not run."""
        if self._variables is not None:
            return self.start(batch)
        with jax.enable_x64(True):
            shapes = jax.eval_shape(lambda: self._init(batch))
        zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
        return self._named(zeros)

    def start(self, batch: Batch) -> Weights:
        """The variables as they were given, else as `init` draws them from key 0; float64."""
        if self._variables is not None:
            if not self._order[0]:  # once, for the order of computation; a user's init may differ
                with contextlib.suppress(Exception), jax.enable_x64(True):
                    jax.eval_shape(lambda: self._init(batch))
            return self._named(self._variables)
        with jax.enable_x64(True):
            return self._named(jax.device_get(quick_jit(lambda: self._init(batch))()))

    def _named(self, variables: Any) -> Weights:
        params, buffers = split_variables(variables)
        self._params = Names(params, self.name, self._order[0])
        self._state = Names(buffers, self.name, self._order[1])
        if not self._params.arrays:
            raise InputError(f"{self.name}: the model has no parameters; there is nothing to port")
        return Weights(dict(self._params.arrays), dict(self._state.arrays))

    def _forward(
        self, params: Tensors, buffers: Tensors, batch: Batch, train: bool
    ) -> tuple[Any, Any, list[Heard]]:
        state = self._state.nest(buffers)
        variables, collections = {"params": self._params.nest(params), **state}, list(state)
        arguments = self._arguments(batch, train)
        with listen() as calls:
            applied = self._module.apply(variables, *batch.inputs, mutable=collections, **arguments)
        outputs, state = applied  # pyright: ignore[reportGeneralTypeIssues]
        return outputs, self._state.flatten({**variables, **state}, only=collections), calls


def _checked(rule: Mapping[str, Any], program: str) -> dict[str, Any]:
    try:
        kind = Rule(**rule).kind
    except TypeError as error:
        raise InputError(f"{program}: rule: {error}; its fields are those of Rule") from error
    if kind not in KINDS:
        raise InputError(f"{program}: rule: kind {kind!r}: must be one of {', '.join(KINDS)}")
    return dict(rule)


def _arguments(weights: Weights, batch: Batch) -> tuple[Any, ...]:
    """What a pass is called with."""
    return weights.params, weights.buffers, (batch.inputs, batch.named), batch.targets


def _wide(weights: Weights) -> bool:
    """Whether a program computes in float64."""
    return next(iter(weights.params.values())).dtype == np.float64


def _copied(leaf: Any) -> Any:
    """An array as a buffer of its own, anything else as it is."""
    return jnp.array(leaf) if isinstance(leaf, jax.Array) else leaf


def _wide_count(leaf: Any) -> Any:
    """A counter of steps as int64, anything else as it is."""
    return leaf.astype(jnp.int64) if getattr(leaf, "dtype", None) == jnp.int32 else leaf


def _call(heard: Heard) -> Call:
    what, inputs, outputs = heard.what, _arrays(heard.inputs), _arrays(heard.outputs)
    return Call(what.module, what.kind, inputs, outputs, dict(what.settings))


def _arrays(tree: Any) -> tuple[np.ndarray, ...]:
    return tuple(np.array(leaf) for leaf in jax.tree.leaves(tree))
