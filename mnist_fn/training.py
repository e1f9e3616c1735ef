"""Training as pure functions: loss, gradients, one step, one epoch.

Nothing here reads or writes anything but its arguments. λ, the learning rate and the decay are
traced, so that a change of them compiles nothing anew and `jax.vmap` can vary them; shapes and
the choice of model are closed over.
"""

from collections.abc import Callable
from typing import NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

Params = dict[str, dict[str, jax.Array]]


class Hyper(NamedTuple):
    """What a sweep may vary without compiling anew; scalars of the run's dtype."""

    learning_rate: jax.Array
    l2: jax.Array  # λ of the study's penalty
    weight_decay: jax.Array  # AdamW's, decoupled


class State(NamedTuple):
    """Weights and Adam's moments."""

    params: Params
    adam: optax.ScaleByAdamState  # count, mu, nu


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
    return {layer: {name: name == "kernel" for name in own} for layer, own in params.items()}


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


def scale_by_moments() -> optax.GradientTransformation:
    """Adam's direction, with the constants of Kingma and Ba (2015), algorithm 1."""
    return optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8)


def decay_and_rate(
    learning_rate: jax.Array | float, weight_decay: jax.Array | float
) -> optax.GradientTransformation:
    """What follows the moments: AdamW's decay of the kernels, and the learning rate. No state."""
    return optax.chain(
        optax.add_decayed_weights(weight_decay, mask=kernels),
        optax.scale_by_learning_rate(learning_rate),
    )


def make_train_step(model: nn.Module) -> Callable[..., tuple[State, Sums]]:
    """One step of Adam on one batch: `train_step(state, indices, data, hyper)`.

    The penalty's gradient 2λW goes into Adam's moments (it is not AdamW); `weight_decay` is
    AdamW's, decoupled: θ ← θ − lr·(m̂/(√v̂ + ε) + decay·θ), for kernels alone.
    AdamW: Loshchilov and Hutter (2019).
    """
    loss = make_loss(model)
    adam = scale_by_moments()

    def train_step(
        state: State, indices: jax.Array, data: Data, hyper: Hyper
    ) -> tuple[State, Sums]:
        images = data.images[indices]  # (batch, pixels)
        labels = data.labels[indices]  # (batch,)
        grads, (cross_entropy, correct) = jax.grad(loss, has_aux=True)(
            state.params, images, labels, hyper.l2
        )
        updates, adam_state = adam.update(grads, state.adam)
        rest = decay_and_rate(hyper.learning_rate, hyper.weight_decay)
        updates, _ = rest.update(updates, rest.init(state.params), state.params)
        params = cast(Params, optax.apply_updates(state.params, updates))
        return State(params, cast(optax.ScaleByAdamState, adam_state)), Sums(
            cross_entropy * len(indices), correct
        )

    return train_step


def make_train_epoch(
    model: nn.Module, batch_size: int
) -> Callable[[State, jax.Array, Data, Hyper], tuple[State, Sums]]:
    """One epoch as one program: `train_epoch(state, order, data, hyper)`.

    `order` (n,) is cut into batches; all full ones are scanned, a short last one follows. Not
    jitted here: a backend jits it with its state donated, a sweep maps it first.
    """
    train_step = make_train_step(model)

    def train_epoch(state: State, order: jax.Array, data: Data, hyper: Hyper) -> tuple[State, Sums]:
        full = len(order) // batch_size * batch_size
        batches = order[:full].reshape(-1, batch_size)  # (steps, batch)
        state, sums = jax.lax.scan(
            lambda state, batch: train_step(state, batch, data, hyper), state, batches
        )
        total = Sums(sums.loss.sum(), sums.correct.sum())
        if full < len(order):
            state, last = train_step(state, order[full:], data, hyper)
            total = Sums(total.loss + last.loss, total.correct + last.correct)
        return state, total

    return train_epoch
