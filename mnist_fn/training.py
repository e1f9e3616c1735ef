"""Training as pure functions: loss, gradients, one step, one epoch.

Nothing here reads or writes anything but its arguments. λ, the learning rate and the decay are
traced, so that a change of them compiles nothing again and `jax.vmap` can vary them; shapes and
the choice of model are closed over.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from mnist_fn.shared.config import Config
from mnist_fn.shared.optimizers import ALPHA, BETA1, BETA2, EPS

Params = dict[str, dict[str, jax.Array]]


class Hyper(NamedTuple):
    """What a sweep may vary without compiling again; scalars of the run's dtype."""

    learning_rate: jax.Array  # () or, of an epoch with a schedule, (steps,)
    l2: jax.Array  # λ of the study's penalty
    weight_decay: jax.Array  # AdamW's, decoupled


class State(NamedTuple):
    """Weights and what the optimizer remembers of them."""

    params: Params
    slots: dict[str, Params]  # by name, as `shared.optimizers` has them
    step: jax.Array  # steps taken, int32


class Data(NamedTuple):
    """Training examples on the device."""

    images: jax.Array  # (n, pixels) in the run's dtype, scaled to [0, 1]
    labels: jax.Array  # (n,) int32


class Sums(NamedTuple):
    """Sums over the examples of a batch or an epoch."""

    loss: jax.Array  # cross-entropy without the penalty
    correct: jax.Array


def penalty(params: Params) -> jax.Array:
    """Σ W² over all kernels, not the biases, without ½."""
    return sum((jnp.sum(layer["kernel"] ** 2) for layer in params.values()), jnp.zeros(()))


def kernels(params: Params) -> dict[str, dict[str, bool]]:
    """Which of the tensors decay: the kernels, not the biases."""
    mask = {}
    for layer, tensors in params.items():
        mask[layer] = {name: name == "kernel" for name in tensors}
    return mask


def apply(model: nn.Module, params: Params, images: jax.Array) -> jax.Array:
    """Logits (n, classes) of scaled images (n, pixels)."""
    return cast(jax.Array, model.apply({"params": params}, images))


def make_loss(model: nn.Module) -> Callable[..., tuple[jax.Array, tuple[jax.Array, jax.Array]]]:
    """The loss of a batch: `(objective, (cross_entropy, correct))`.

    The objective, mean cross-entropy + λ Σ W², is what is differentiated; the cross-entropy
    alone is what is reported.
    """

    def loss(
        params: Params, images: jax.Array, labels: jax.Array, l2: jax.Array
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        logits = apply(model, params, images)  # (batch, classes)
        cross_entropy = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
        correct = jnp.sum(jnp.argmax(logits, axis=1) == labels)
        return cross_entropy + l2 * penalty(params), (cross_entropy, correct)

    return loss


class Direction(NamedTuple):
    """An optimizer of optax without its learning rate, and its state from and to our slots."""

    transform: optax.GradientTransformation
    pack: Callable[[State], Any]  # optax's state
    unpack: Callable[[Any], dict[str, Params]]  # our slots


def make_direction(config: Config) -> Direction:
    """The optimizer of a config, with the constants of `shared.optimizers`."""
    if config.optimizer == "sgd":
        if not config.momentum:
            return Direction(optax.identity(), lambda _: optax.EmptyState(), lambda _: {})
        return Direction(
            optax.trace(decay=config.momentum, nesterov=config.nesterov),
            lambda state: optax.TraceState(state.slots["mu"]),
            lambda trace: {"mu": trace.trace},
        )
    if config.optimizer == "rmsprop":
        return Direction(
            optax.scale_by_rms(decay=ALPHA, eps=EPS, eps_in_sqrt=False),
            lambda state: optax.ScaleByRmsState(state.slots["nu"]),
            lambda rms: {"nu": rms.nu},
        )
    return Direction(
        optax.scale_by_adam(b1=BETA1, b2=BETA2, eps=EPS),
        lambda state: optax.ScaleByAdamState(state.step, state.slots["mu"], state.slots["nu"]),
        lambda adam: {"mu": adam.mu, "nu": adam.nu},
    )


def decay_and_rate(
    learning_rate: jax.Array | float, weight_decay: jax.Array | float
) -> optax.GradientTransformation:
    """What follows the direction: AdamW's decay of the kernels, the learning rate. No state."""
    return optax.chain(
        optax.add_decayed_weights(weight_decay, mask=kernels),
        optax.scale_by_learning_rate(learning_rate),
    )


def make_train_step(
    model: nn.Module, direction: Direction | None = None
) -> Callable[..., tuple[State, Sums]]:
    """One optimizer step on one batch: `train_step(state, indices, data, hyper)`.

    The penalty's gradient 2λW is part of the gradient, so of Adam's moments (it is not AdamW);
    `weight_decay` is AdamW's, decoupled: θ ← θ − lr·(m̂/(√v̂ + ε) + decay·θ), for kernels alone.
    AdamW: Loshchilov and Hutter (2019). The optimizer is Adam if `direction` is None.
    """
    loss = make_loss(model)
    transform, pack, unpack = direction or make_direction(Config())

    def train_step(
        state: State, indices: jax.Array, data: Data, hyper: Hyper
    ) -> tuple[State, Sums]:
        images = data.images[indices]  # (batch, pixels)
        labels = data.labels[indices]  # (batch,)
        grads, (cross_entropy, correct) = jax.grad(loss, has_aux=True)(
            state.params, images, labels, hyper.l2
        )
        updates, opt_state = transform.update(grads, pack(state))
        scaling = decay_and_rate(hyper.learning_rate, hyper.weight_decay)
        updates, _ = scaling.update(updates, scaling.init(state.params), state.params)
        params = cast(Params, optax.apply_updates(state.params, updates))
        step = cast(jax.Array, optax.safe_increment(state.step))
        return State(params, unpack(opt_state), step), Sums(cross_entropy * len(indices), correct)

    return train_step


def make_train_epoch(
    model: nn.Module, batch_size: int, direction: Direction | None = None
) -> Callable[[State, jax.Array, Data, Hyper], tuple[State, Sums]]:
    """One epoch as one program: `train_epoch(state, order, data, hyper)`.

    `order` (n,) is cut into batches; all full ones are scanned, a short last one follows. A
    learning rate with an axis is one for each batch. Not jitted here: a backend jits it with its
    state donated, a sweep maps it first.
    """
    train_step = make_train_step(model, direction)

    def train_epoch(state: State, order: jax.Array, data: Data, hyper: Hyper) -> tuple[State, Sums]:
        full = len(order) // batch_size * batch_size
        batches = order[:full].reshape(-1, batch_size)  # (steps, batch)
        scheduled = hyper.learning_rate.ndim > 0
        rates = hyper.learning_rate[: len(batches)] if scheduled else None  # (steps,)

        def scan_step(state: State, step: tuple[jax.Array, jax.Array | None]) -> tuple[State, Sums]:
            batch, rate = step
            step_hyper = hyper if rate is None else hyper._replace(learning_rate=rate)
            return train_step(state, batch, data, step_hyper)

        state, sums = jax.lax.scan(scan_step, state, (batches, rates))
        total = Sums(sums.loss.sum(), sums.correct.sum())
        if full < len(order):
            last_rate = hyper.learning_rate[-1] if scheduled else hyper.learning_rate
            last_hyper = hyper._replace(learning_rate=last_rate)
            state, last = train_step(state, order[full:], data, last_hyper)
            total = Sums(total.loss + last.loss, total.correct + last.correct)
        return state, total

    return train_epoch
