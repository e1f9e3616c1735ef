"""Porting bugs, each a change of a line or so to one backend, and the rung that must find it.

`docs/make_parity.py` makes the table in docs/parity.md from `BUGS`; test_parity.py injects each.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import optax
import torch

from mnist_fn.backend import JaxBackend, to_numpy
from mnist_fn.shared.data.datasets import scale_pixels
from torch_ref.backend import TorchBackend
from torch_ref.train import train_epoch
from torch_ref.weights import from_state_dict, to_state_dict


@dataclass(frozen=True)
class Bug:
    """What is broken, where, and where the ladder must stop."""

    name: str
    rung: str
    place: str  # what monkeypatch.setattr replaces
    change: Callable[..., Any]
    changes: tuple[tuple[str, Callable[..., Any]], ...] = ()  # more places, if it takes two


class PlainAdam(torch.optim.Adam):
    """Adam written out, with the lines that a port gets wrong."""

    beta2, inside, correct, scheduled = 0.999, False, True, range(0)

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                state, g = self.state[p], p.grad + group["weight_decay"] * p
                state["step"] += 1
                t = float(state["step"])
                m = state["exp_avg"].mul_(0.9).add_(0.1 * g)
                v = state["exp_avg_sq"].mul_(self.beta2).add_((1 - self.beta2) * g * g)
                if self.correct:
                    m, v = m / (1 - 0.9**t), v / (1 - self.beta2**t)
                root = torch.sqrt(v + 1e-8) if self.inside else torch.sqrt(v) + 1e-8
                p -= group["lr"] * (0.999 if t in self.scheduled else 1) * m / root


def adam(**lines):
    """An Adam with these lines changed, in place of torch's own."""
    kind = type("Adam", (PlainAdam,), lines)
    return lambda groups, lr, **_: kind(groups, lr=lr)


def torch_adam(**changed):
    return lambda *a, f=torch.optim.Adam, **k: f(*a, **{**k, **changed})


def flax_init(self, state, load=JaxBackend.load):
    """`model.init` as Flax has it, in place of the shared draw."""
    tree = {
        layer: {
            "kernel": nn.initializers.lecun_normal()(jax.random.key(0), t["kernel"].shape),
            "bias": np.zeros_like(t["bias"]),
        }
        for layer, t in state.params.items()
    }
    return load(self, replace(state, params=to_numpy(tree)))


def untransposed(params):
    return {
        f"{layer}.{'weight' if kind == 'kernel' else kind}": torch.from_numpy(
            t.reshape(t.shape[::-1]).copy()
        )
        for layer, tensors in params.items()
        for kind, t in tensors.items()
    }


def untransposed_back(state):
    tree = from_state_dict(state)
    for layer in tree.values():
        layer["kernel"] = layer["kernel"].T.reshape(layer["kernel"].shape).copy()
    return tree


def first_order_kept(self, indices):
    self.kept = getattr(self, "kept", indices)
    return self._put(np.resize(self.kept, len(indices)).astype(np.int64))


def shifted_labels(self, *arguments, init=TorchBackend.__init__):
    init(self, *arguments)
    self._labels = self._labels.roll(1)


def mean_of_batch_means(model, optimizer, images, labels, batches):
    batches = list(batches)
    done = [train_epoch(model, optimizer, images, labels, [batch]) for batch in batches]
    means = [loss / len(batch) for (loss, _), batch in zip(done, batches, strict=True)]
    return float(np.mean(means)) * sum(map(len, batches)), sum(correct for _, correct in done)


def without_the_last_short_batch(self, state, order, train_epoch=TorchBackend.train_epoch):
    size = self.config.batch_size
    return train_epoch(self, state, order[: len(order) // size * size])


def one_layer_without_relu(x):
    return x if x.shape[1] == 8 else x.clamp_min(0)


def tf32(x, weight, bias, linear=torch.nn.functional.linear):
    """Inputs of the product rounded to TF32's 10 bits of mantissa."""
    a, b = ((t.float().view(torch.int32) & ~0x1FFF).view(torch.float32).double()
            for t in (x.detach(), weight.detach()))  # fmt: skip
    return linear(x + (a - x.detach()), weight + (b - weight.detach()), bias)


def stale_logits(self, state, images, logits=TorchBackend.logits):
    """Of the weights as they were at the first call."""
    self.first = getattr(self, "first", None) or self.load(self.dump(state))
    return logits(self, self.first, images)


BUGS = [
    Bug("Flax's default initialization", "inputs", "mnist_fn.backend.JaxBackend.load", flax_init),
    Bug("biases start at 0", "inputs", "torch_ref.backend.to_state_dict",
        lambda params: {k: v * (0 if k.endswith("bias") else 1)
                        for k, v in to_state_dict(params).items()}),
    Bug("kernel reshaped, not transposed", "inputs", "torch_ref.backend.to_state_dict",
        untransposed, (("torch_ref.backend.from_state_dict", untransposed_back),)),
    Bug("no division by 255", "inputs", "torch_ref.backend.scale_pixels",
        lambda images, dtype: images.reshape(len(images), -1).astype(dtype)),
    Bug("mean/std normalization", "inputs", "torch_ref.backend.scale_pixels",
        lambda images, dtype: (scale_pixels(images, dtype) - 0.1307) / 0.3081),
    Bug("pixels pass through float32 in a float64 run", "inputs",
        "torch_ref.backend.scale_pixels",
        lambda images, dtype: scale_pixels(images, "float32").astype(dtype)),
    Bug("batch order off by one", "inputs", "torch_ref.backend.TorchBackend._indices",
        lambda self, indices: self._put(np.roll(np.arange(len(self._labels)), 1)[
            indices].astype(np.int64))),
    Bug("the first epoch's order reused", "inputs", "torch_ref.backend.TorchBackend._indices",
        first_order_kept),
    Bug("labels shifted by one", "inputs", "torch_ref.backend.TorchBackend.__init__",
        shifted_labels),
    Bug("last short batch dropped", "inputs", "torch_ref.backend.TorchBackend.train_epoch",
        without_the_last_short_batch),
    Bug("no ReLU after one layer", "logits", "torch_ref.model.torch.relu",
        one_layer_without_relu),
    Bug("leaky ReLU", "logits", "mnist_fn.model.nn.relu", nn.leaky_relu),
    Bug("activations pass through float32", "logits", "torch_ref.model.torch.relu",
        lambda x: x.clamp_min(0).float().double()),
    # the pixels are read through one product, and don't come back
    Bug("TF32-like rounding in the matrix products", "inputs",
        "torch.nn.modules.linear.F.linear", tf32),
    Bug("sum for mean over the batch", "loss", "torch_ref.backend.nn.functional.cross_entropy",
        lambda z, y, f=torch.nn.functional.cross_entropy, **_: f(z, y, reduction="sum")),
    Bug("λ/2", "loss", "torch_ref.backend.objective",
        lambda model, ce, l2: ce + l2 / 2 * sum(w.square().sum() for w in model.weights())),
    Bug("penalty on the biases too", "loss", "torch_ref.backend.objective",
        lambda model, ce, l2: ce + l2 * sum(p.square().sum() for p in model.parameters())),
    Bug("label smoothing left on", "loss", "torch_ref.backend.nn.functional.cross_entropy",
        lambda z, y, f=torch.nn.functional.cross_entropy, **_: f(z, y, label_smoothing=0.01)),
    Bug("ReLU′(0) = 1", "gradients", "torch_ref.model.torch.relu",
        lambda x: torch.where(x >= 0, x, torch.zeros_like(x))),
    Bug("penalty reported, not differentiated", "gradients", "torch_ref.backend.objective",
        lambda model, ce, l2: ce + l2 * sum(w.detach().square().sum() for w in model.weights())),
    Bug("mean of unequal batches' means", "step", "torch_ref.backend.train_epoch",
        mean_of_batch_means),
    Bug("decoupled for coupled decay", "step", "torch_ref.train.torch.optim.Adam",
        lambda *a, f=torch.optim.AdamW, **k: f(*a, **k)),
    Bug("β₂ = 0.99", "step", "torch_ref.train.torch.optim.Adam",
        torch_adam(betas=(0.9, 0.99))),
    Bug("ε = 1e-7", "step", "torch_ref.train.torch.optim.Adam", torch_adam(eps=1e-7)),
    Bug("ε inside the root", "step", "torch_ref.train.torch.optim.Adam", adam(inside=True)),
    Bug("no bias correction", "step", "torch_ref.train.torch.optim.Adam", adam(correct=False)),
    Bug("learning rate 1e-3", "step", "torch_ref.train.torch.optim.Adam", torch_adam(lr=1e-3)),
    Bug("step count lost on resume", "step", "torch_ref.backend.TorchBackend.load",
        lambda self, state, load=TorchBackend.load: load(self, replace(state, step=0))),
    Bug("Nesterov's Adam in optax", "step", "mnist_fn.training.optax.scale_by_adam",
        lambda f=optax.scale_by_adam, **k: f(**k, nesterov=True)),
    Bug("a schedule left in, from step 41 on", "trajectory",
        "torch_ref.train.torch.optim.Adam", adam(scheduled=range(41, 1000))),
    Bug("a stale copy of the weights is evaluated", "predictions",
        "torch_ref.backend.TorchBackend.logits", stale_logits),
]  # fmt: skip
