"""Rewrites of a backend that change no more than the order of its roundings: none is an alarm."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

from tests.support.porting_bugs import (
    ADAM,
    EPOCH,
    FORWARD,
    LOSS,
    OBJECTIVE,
    RELU,
    SCALED,
    PlainAdam,
)
from torch_ref.backend import TorchBackend
from torch_ref.train import train_epoch

LINEAR = "torch.nn.modules.linear.F.linear"


@dataclass(frozen=True)
class Rewrite:
    name: str
    place: str  # what monkeypatch.setattr replaces
    change: Callable[..., Any]


def in_halves(x, weight, bias):
    middle = x.shape[1] // 2
    return x[:, :middle] @ weight[:, :middle].T + (x[:, middle:] @ weight[:, middle:].T + bias)


def stable_by_hand(z, y, **_):
    shifted = z - z.max(dim=1, keepdim=True).values
    own = shifted.gather(1, y[:, None])[:, 0]
    return (shifted.exp().sum(dim=1).log() - own).mean()


def one_hot(z, y, **_):
    hot = torch.nn.functional.one_hot(y, z.shape[1]).to(z.dtype)
    return -(hot * z.log_softmax(dim=1)).sum() / len(y)


def by_example(z, y, f=torch.nn.functional.cross_entropy, **_):
    return torch.stack([f(a[None], b[None]) for a, b in zip(z, y, strict=True)]).mean()


class FoldedAdam(PlainAdam):
    """Both bias corrections in the step's size and in ε, as torch and TensorFlow have them."""

    def move(self, p, rate, decay):
        state, g = self.state[p], p.grad + decay * p
        state["step"] += 1
        t = float(state["step"])
        m = state["exp_avg"].lerp_(g, 0.1)
        v = state["exp_avg_sq"].mul_(0.999).addcmul_(g, g, value=0.001)
        root = (1 - 0.999**t) ** 0.5
        p.addcdiv_(m, v.sqrt().add_(1e-8 * root), value=-rate * root / (1 - 0.9**t))


class FlatAdam(PlainAdam):
    """Moments flat, one multiplication by a reciprocal in place of a division."""

    def move(self, p, rate, decay):
        state, g = self.state[p], (p.grad + decay * p).reshape(-1)
        state["step"] += 1
        t = float(state["step"])
        m, v = state["exp_avg"].view(-1), state["exp_avg_sq"].view(-1)
        m.copy_(m + 0.1 * (g - m))
        v.copy_(v + 0.001 * (g * g - v))
        step = m * (1 / (1 - 0.9**t)) * torch.reciprocal((v * (1 / (1 - 0.999**t))).sqrt() + 1e-8)
        p -= rate * step.reshape(p.shape)


def plain(kind, **more):
    return lambda groups, lr, **_: kind(groups, lr=lr, **more)


def shuffled_batches(model, optimizer, images, labels, batches, rates):
    turned = [batch.flip(0) for batch in batches]
    return train_epoch(model, optimizer, images, labels, turned, rates)


def transposed_weights(self, state, load=TorchBackend.load):
    """Moments with them, as torch's own `zeros_like` makes them: its fused Adam goes through the
    memory of both, and mixes them up where they are stored otherwise.
    """
    loaded = load(self, state)
    for weight in loaded.model.weights():
        weight.data = weight.data.T.contiguous().T
        kept = loaded.optimizer.state[weight]
        kept |= {name: kept[name].T.contiguous().T for name in ("exp_avg", "exp_avg_sq")}
    return loaded


def in_parts(self, x):
    """The batch through the network in three pieces."""
    *hidden, last = self.children()

    def whole(part):
        for layer in hidden:
            part = torch.relu(layer(part))
        return last(part)

    return torch.cat([whole(part) for part in x.split(max(1, len(x) // 3))])


def gathered_gradients(self, state, indices, gradients=TorchBackend.gradients):
    """Of two halves of the batch, put together by their sizes."""
    halves = [half for half in np.array_split(indices, 2) if len(half)]
    parts = [gradients(self, state, half) for half in halves]
    shares = [len(half) / len(indices) for half in halves]
    return {
        layer: {
            kind: sum((s * part[layer][kind] for s, part in zip(shares, parts, strict=True)),
                      np.zeros_like(t)).astype(t.dtype)
            for kind, t in tensors.items()
        }
        for layer, tensors in parts[0].items()
    }  # fmt: skip


def jax_cross_entropy(logits, labels):
    logs = jax.nn.log_softmax(logits)
    return -(jax.nn.one_hot(labels, logits.shape[1], dtype=logits.dtype) * logs).sum(axis=1)


REWRITES = [
    Rewrite("products by einsum", LINEAR, lambda x, w, b: torch.einsum("ni,oi->no", x, w) + b),
    Rewrite("products by addmm", LINEAR, lambda x, w, b: torch.addmm(b, x, w.T)),
    Rewrite("products in two halves", LINEAR, in_halves),
    Rewrite("inputs summed in the reverse order", LINEAR,
            lambda x, w, b: x.flip(1) @ w.flip(1).T + b),
    Rewrite("ReLU as a product with its sign", RELU, lambda x: x * (x > 0)),
    Rewrite("ReLU by where", RELU, lambda x: torch.where(x > 0, x, torch.zeros_like(x))),
    Rewrite("ReLU by threshold", RELU, lambda x: torch.nn.functional.threshold(x, 0, 0)),
    Rewrite("cross-entropy by log-sum-exp", LOSS,
            lambda z, y, **_: (z.logsumexp(1) - z.gather(1, y[:, None])[:, 0]).mean()),
    Rewrite("log-softmax written out", LOSS, stable_by_hand),
    Rewrite("cross-entropy by one-hot labels", LOSS, one_hot),
    Rewrite("cross-entropy example by example", LOSS, by_example),
    Rewrite("penalty as dot products, last layer first", OBJECTIVE,
            lambda model, ce, l2: ce + sum(l2 * w.flatten().dot(w.flatten())
                                           for w in model.weights()[::-1])),
    Rewrite("penalty by norms", OBJECTIVE,
            lambda model, ce, l2: ce + l2 * sum(w.norm() ** 2 for w in model.weights())),
    Rewrite("Adam by foreach", ADAM,
            lambda groups, lr, f=torch.optim.Adam, **_: f(groups, lr=lr, foreach=True)),
    Rewrite("Adam in a loop", ADAM,
            lambda groups, lr, f=torch.optim.Adam, **_: f(groups, lr=lr, foreach=False)),
    Rewrite("Adam by hand", ADAM, plain(PlainAdam)),
    Rewrite("Adam with its corrections folded", ADAM, plain(FoldedAdam)),
    Rewrite("Adam on flat tensors", ADAM, plain(FlatAdam)),
    Rewrite("examples of a batch in the reverse order", EPOCH, shuffled_batches),
    Rewrite("weights stored transposed", "torch_ref.backend.TorchBackend.load", transposed_weights),
    Rewrite("a batch in three parts", FORWARD, in_parts),
    Rewrite("gradients of two halves", "torch_ref.backend.TorchBackend.gradients",
            gathered_gradients),
    Rewrite("pixels scaled in float64 first", SCALED,
            lambda images, dtype: (images.reshape(len(images), -1) / 255).astype(dtype)),
    Rewrite("JAX: ReLU by where", "mnist_fn.model.nn.relu", lambda x: jnp.where(x > 0, x, 0)),
    Rewrite("JAX: cross-entropy by one-hot labels",
            "mnist_fn.training.optax.softmax_cross_entropy_with_integer_labels", jax_cross_entropy),
    Rewrite("JAX: the penalty by dot products", "mnist_fn.training.penalty",
            lambda params: sum(jnp.vdot(t["kernel"], t["kernel"]) for t in params.values())),
]  # fmt: skip
QUICK_REWRITES = (
    "products in two halves",
    "Adam with its corrections folded",
)  # as porting_bugs.QUICK
