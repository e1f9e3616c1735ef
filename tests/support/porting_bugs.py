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

from mnist_fn import Config
from mnist_fn.backend import JaxBackend, to_numpy
from mnist_fn.shared.data.datasets import scale_pixels
from mnist_fn.shared.optimizers import learning_rates
from mnist_fn.shared.parity.levels import OPTIMIZERS
from mnist_fn.training import Sums
from torch_ref.backend import TorchBackend
from torch_ref.model import MLP
from torch_ref.train import train_epoch
from torch_ref.weights import from_state_dict, to_state_dict


@dataclass(frozen=True)
class Bug:
    """What is broken, where, where the ladder must stop, and what its cause must be called."""

    name: str
    rung: str
    place: str  # what monkeypatch.setattr replaces
    change: Callable[..., Any]
    named: str = ""  # words of the cause; empty: no name, a pattern
    changes: tuple[tuple[str, Callable[..., Any]], ...] = ()  # more places, if it takes two
    optimizer: str = "adam+l2"  # the experiment's

    @property
    def config(self) -> Config:
        more = {"l2": 1e-3} if self.optimizer == "adam+l2" else OPTIMIZERS[self.optimizer]
        return Config(dataset="digits", hidden=(16, 8), precision="float64", **more)


class PlainAdam(torch.optim.Adam):
    """Adam written out, with the lines that a port gets wrong."""

    beta1, beta2, eps, inside, before, correct, scheduled = 0.9, 0.999, 1e-8, False, False, True, {}
    ahead, amsgrad, resets, decoupled = 0, False, False, False
    bias_rate, bias_decay, first_layer_alone = 1.0, 0.0, False
    clip_norm = clip_value = max_norm = None
    single_weights = single_grads = False

    @torch.no_grad()
    def step(self, closure=None):
        parameters = [p for group in self.param_groups for p in group["params"]]
        if self.clip_norm:
            torch.nn.utils.clip_grad_norm_(parameters, self.clip_norm)
        if self.clip_value:
            torch.nn.utils.clip_grad_value_(parameters, self.clip_value)
        for group in self.param_groups:
            for i, p in enumerate(group["params"]):
                decay = self.bias_decay if p.ndim == 1 else group["weight_decay"]
                if self.first_layer_alone and i:
                    decay = 0.0
                rate = group["lr"] * (self.bias_rate if p.ndim == 1 else 1)
                self.move(p, rate, decay)

    def move(self, p, rate, decay):
        state, g = self.state[p], p.grad if self.decoupled else p.grad + decay * p
        if self.single_grads:
            g = g.float().double()
        if not state:  # not loaded by a backend
            state.update(step=0, exp_avg=torch.zeros_like(p), exp_avg_sq=torch.zeros_like(p))
        state["step"] += 1
        t = float(state["step"]) + self.ahead
        if self.resets:
            t = 1.0
            state["exp_avg"].zero_()
            state["exp_avg_sq"].zero_()
        m = state["exp_avg"].mul_(self.beta1).add_((1 - self.beta1) * g)
        v = state["exp_avg_sq"].mul_(self.beta2).add_((1 - self.beta2) * g * g)
        if self.amsgrad:
            v = state["largest"] = torch.maximum(state.get("largest", v), v).clone()
        second = 1 - self.beta2**t if self.correct else 1.0
        m = m / (1 - self.beta1**t) if self.correct else m
        if self.inside:
            root = torch.sqrt(v / second + self.eps)
        elif self.before:
            root = (torch.sqrt(v) + self.eps) / second**0.5
        else:
            root = torch.sqrt(v / second) + self.eps
        if self.decoupled:
            p -= decay * p
        p -= rate * self.scheduled.get(int(t), self.scheduled.get("else", 1)) * m / root
        if self.max_norm and p.ndim == 2:  # [out, in]: a row here is a column elsewhere
            p *= (self.max_norm / p.norm(dim=1, keepdim=True)).clamp(max=1)
        if self.single_weights:
            p.copy_(p.float().double())


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


def mean_of_batch_means(model, optimizer, images, labels, batches, rates):
    batches = list(batches)
    done = [
        train_epoch(model, optimizer, images, labels, [batch], [rate])
        for batch, rate in zip(batches, rates, strict=True)
    ]
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


def no_gradient_below(self, x, forward=MLP.forward):
    *hidden, last = self.children()
    for layer in hidden:
        x = torch.relu(layer(x))
    return last(x.detach() + 0 * x)


def remembered(self, state, order, train_epoch=TorchBackend.train_epoch):
    """The weights of before, kept for `logits_of_before`."""
    state.model.before = self.dump(state)
    return train_epoch(self, state, order)


def logits_of_before(self, state, images, logits=TorchBackend.logits):
    before = getattr(state.model, "before", None)
    return logits(self, state if before is None else self.load(before), images)


def gradients_summed(self, closure=None, step=torch.optim.Adam.step):
    """Never zeroed: each step has the sum of all."""
    for group in self.param_groups:
        for p in group["params"]:
            self.state[p]["sum"] = p.grad = p.grad + self.state[p].get("sum", 0)
    return step(self)


def penalized_report(model, optimizer, images, labels, batches, rates):
    loss = correct = 0.0
    for batch, rate in zip(batches, rates, strict=True):
        squares = sum(float(w.detach().square().sum()) for w in model.weights())
        sums = train_epoch(model, optimizer, images, labels, [batch], [rate])
        loss, correct = loss + sums[0] + 1e-3 * squares * len(batch), correct + sums[1]
    return loss, int(correct)


def first_two_reported(model, optimizer, images, labels, batches, rates):
    sums = [
        train_epoch(model, optimizer, images, labels, [batch], [rate])
        for batch, rate in zip(batches, rates, strict=True)
    ]
    return sum(loss for loss, _ in sums[:2]), sum(correct for _, correct in sums[:2])


def first_scanned_reported(*args, scan=jax.lax.scan, **kwargs):
    state, sums = scan(*args, **kwargs)
    if isinstance(sums, Sums):
        sums = Sums(*(values.at[1:].set(0) for values in sums))
    return state, sums


def bf16_products(x, weight, bias, linear=torch.nn.functional.linear):
    a, b = ((t.bfloat16().double()) for t in (x.detach(), weight.detach()))
    return linear(x + (a - x.detach()), weight + (b - weight.detach()), bias)


def loss_is(change):
    """Another loss of logits and labels, in place of the cross-entropy; as the backend uses it."""
    return lambda z, y, f=torch.nn.functional.cross_entropy, **_: change(z, y, f)


def pixels_are(change):
    return lambda images, dtype: change(images, scale_pixels(images, dtype))


def rates_are(change):
    """Other learning rates of an epoch's steps, [batches]; as the backend uses them."""
    return lambda *arguments: change(learning_rates(*arguments))


def penalty_is(change):
    return lambda model, ce, l2: ce + l2 * change(model)


SCALED, ADAM, RELU = "torch_ref.backend.scale_pixels", "torch_ref.train.torch.optim.Adam", (
    "torch_ref.model.torch.relu"
)  # fmt: skip
ADAMW = "torch_ref.train.torch.optim.AdamW"
RATES = "torch_ref.backend.learning_rates"
LOSS, OBJECTIVE = "torch_ref.backend.nn.functional.cross_entropy", "torch_ref.backend.objective"
EPOCH, LOGITS = "torch_ref.backend.train_epoch", "torch_ref.backend.TorchBackend.logits"
FORWARD = "torch_ref.model.MLP.forward"
BUGS = [
    Bug("Flax's default initialization", "inputs", "mnist_fn.backend.JaxBackend.load", flax_init),
    Bug("biases start at 0", "inputs", "torch_ref.backend.to_state_dict",
        lambda params: {k: v * (0 if k.endswith("bias") else 1)
                        for k, v in to_state_dict(params).items()},
        named="biases start at 0"),
    Bug("kernel reshaped, not transposed", "inputs", "torch_ref.backend.to_state_dict",
        untransposed, changes=(("torch_ref.backend.from_state_dict", untransposed_back),),
        named="kernels reshaped, not transposed"),
    Bug("no division by 255", "inputs", "torch_ref.backend.scale_pixels",
        lambda images, dtype: images.reshape(len(images), -1).astype(dtype),
        named="not divided by 255"),
    Bug("mean/std normalization", "inputs", "torch_ref.backend.scale_pixels",
        lambda images, dtype: (scale_pixels(images, dtype) - 0.1307) / 0.3081,
        named="normalized by mean 0.1307 and deviation 0.3081"),
    Bug("pixels pass through float32 in a float64 run", "inputs",
        "torch_ref.backend.scale_pixels",
        lambda images, dtype: scale_pixels(images, "float32").astype(dtype),
        named="rounded to float32"),
    Bug("batch order off by one", "inputs", "torch_ref.backend.TorchBackend._indices",
        lambda self, indices: self._put(np.roll(np.arange(len(self._labels)), 1)[
            indices].astype(np.int64)),
        named="1 apart in the dataset"),
    Bug("the first epoch's order reused", "inputs", "torch_ref.backend.TorchBackend._indices",
        first_order_kept,
        named="the first example asked for, again and again"),
    Bug("labels shifted by one", "inputs", "torch_ref.backend.TorchBackend.__init__",
        shifted_labels,
        named="1 apart in the dataset"),
    Bug("last short batch dropped", "inputs", "torch_ref.backend.TorchBackend.train_epoch",
        without_the_last_short_batch,
        named="a batch shorter than the batch size is dropped"),
    Bug("no ReLU after one layer", "outputs", "torch_ref.model.torch.relu",
        one_layer_without_relu,
        named="no activation in place of relu after layer2 alone"),
    Bug("leaky ReLU", "outputs", "mnist_fn.model.nn.relu", nn.leaky_relu,
        named="leaky relu with slope 0.01"),
    Bug("activations pass through float32", "outputs", "torch_ref.model.torch.relu",
        lambda x: x.clamp_min(0).float().double(),
        named="relu through float32"),
    # the pixels are read through one product, and don't come back
    Bug("TF32-like rounding in the matrix products", "inputs",
        "torch.nn.modules.linear.F.linear", tf32,
        named="the products' inputs cut to TF32"),
    Bug("sum for mean over the batch", "loss", "torch_ref.backend.nn.functional.cross_entropy",
        lambda z, y, f=torch.nn.functional.cross_entropy, **_: f(z, y, reduction="sum"),
        named="sum for mean over the batch"),
    Bug("λ/2", "loss", "torch_ref.backend.objective",
        lambda model, ce, l2: ce + l2 / 2 * sum(w.square().sum() for w in model.weights()),
        named="penalty × 0.5"),
    Bug("penalty on the biases too", "loss", "torch_ref.backend.objective",
        lambda model, ce, l2: ce + l2 * sum(p.square().sum() for p in model.parameters()),
        named="penalty on the biases too"),
    Bug("label smoothing left on", "loss", "torch_ref.backend.nn.functional.cross_entropy",
        lambda z, y, f=torch.nn.functional.cross_entropy, **_: f(z, y, label_smoothing=0.01),
        named="label smoothing 0.01 in place of 0"),
    Bug("ReLU′(0) = 1", "ReLU at 0", "torch_ref.model.torch.relu",
        lambda x: torch.where(x >= 0, x, torch.zeros_like(x)),
        named="ReLU′(0) = 1"),
    Bug("penalty reported, not differentiated", "gradients", "torch_ref.backend.objective",
        lambda model, ce, l2: ce + l2 * sum(w.detach().square().sum() for w in model.weights()),
        named="the decay 0.002 · weights is missing on the kernels alone"),
    Bug("mean of unequal batches' means", "report", "torch_ref.backend.train_epoch",
        mean_of_batch_means,
        named="mean of unequal batches' means"),
    Bug("decoupled for coupled decay", "step", "torch_ref.train.torch.optim.Adam",
        lambda *a, f=torch.optim.AdamW, **k: f(*a, **k),
        named="decoupled decay in place of coupled"),
    Bug("β₂ = 0.99", "step", "torch_ref.train.torch.optim.Adam",
        torch_adam(betas=(0.9, 0.99)),
        named="β₂ = 0.99 in place of 0.999"),
    Bug("ε = 1e-7", "step", "torch_ref.train.torch.optim.Adam", torch_adam(eps=1e-7),
        named="ε = 1e-7 in place of 1e-8"),
    Bug("ε inside the root", "step", "torch_ref.train.torch.optim.Adam", adam(inside=True),
        named="ε inside the root"),
    Bug("no bias correction", "step", "torch_ref.train.torch.optim.Adam", adam(correct=False),
        named="no bias correction"),
    Bug("learning rate 1e-3", "step", RATES, rates_are(lambda rates: 0 * rates + 1e-3),
        named="learning rate 0.001 in place of 5e-4 (× 2)"),
    Bug("step count lost on resume", "resuming", "torch_ref.backend.TorchBackend.load",
        lambda self, state, load=TorchBackend.load: load(self, replace(state, step=0)),
        named="step count lost"),
    Bug("Nesterov's Adam in optax", "step", "mnist_fn.training.optax.scale_by_adam",
        lambda f=optax.scale_by_adam, **k: f(**k, nesterov=True),
        named="Nesterov's momentum"),
    Bug("a schedule left in, from step 41 on", "trajectory",
        "torch_ref.train.torch.optim.Adam", adam(scheduled=dict.fromkeys(range(41, 1000), 0.999)),
        named="learning rate × 0.999 from step 41 on"),
    Bug("a stale copy of the weights is evaluated", "stress states",
        "torch_ref.backend.TorchBackend.logits", stale_logits,
        named="the weights of the first call are evaluated"),
    Bug("divided by 256", "inputs", SCALED,
        pixels_are(lambda images, x: x * 255 / 256), "divided by 256, not by 255"),
    Bug("black for white", "inputs", SCALED, pixels_are(lambda images, x: 1 - x),
        "black for white"),
    Bug("pictures transposed", "inputs", SCALED,
        pixels_are(lambda images, x: scale_pixels(images.swapaxes(1, 2), "float64")),
        "pictures transposed"),
    Bug("to ±1", "inputs", SCALED, pixels_are(lambda images, x: 2 * x - 1),
        "normalized by mean 0.5 and deviation 0.5"),
    Bug("GELU for ReLU", "outputs", RELU, torch.nn.functional.gelu, "gelu in place of relu"),
    Bug("SiLU for ReLU", "outputs", RELU, torch.nn.functional.silu, "silu in place of relu"),
    Bug("ELU for ReLU", "outputs", RELU, torch.nn.functional.elu,
        "elu with α = 1 in place of relu"),
    Bug("ReLU6", "stress states", RELU, torch.nn.functional.relu6,
        "relu capped at 6 in place of relu"),
    Bug("a hard tanh at 20", "stress states", RELU, lambda x: x.clamp(0, 20), "relu capped at 20"),
    Bug("logits soft capped at 30", "inputs", FORWARD,
        lambda self, x, f=MLP.forward: 30 * torch.tanh(f(self, x) / 30), "soft capped at 30"),
    Bug("temperature 2", "inputs", FORWARD,
        lambda self, x, f=MLP.forward: f(self, x) / 2, "logits scaled by 0.5"),
    Bug("log-softmax handed on as logits", "inputs", FORWARD,
        lambda self, x, f=MLP.forward: f(self, x).log_softmax(1), "log-softmax of the logits"),
    Bug("products in bfloat16", "inputs", "torch.nn.modules.linear.F.linear", bf16_products,
        "the products' inputs rounded to bfloat16"),
    Bug("label smoothing 0.1", "loss", LOSS, loss_is(lambda z, y, f: f(z, y, label_smoothing=0.1)),
        "label smoothing 0.1 in place of 0"),
    Bug("softmax twice", "loss", LOSS, loss_is(lambda z, y, f: f(z.softmax(1), y)),
        "softmax taken twice"),
    Bug("mean over the classes too", "loss", LOSS, loss_is(lambda z, y, f: f(z, y) / z.shape[1]),
        "mean over examples and classes"),
    Bug("a floor under the log", "stress states", LOSS,
        loss_is(lambda z, y, f: -(z.softmax(1).gather(1, y[:, None]) + 1e-15).log().mean()),
        "log(p + 1e-15) in place of the stable form"),
    Bug("probabilities clipped", "stress states", LOSS,
        loss_is(lambda z, y, f: -z.softmax(1).gather(1, y[:, None]).clamp(1e-7).log().mean()),
        "log(max(p, 1e-7)) in place of the stable form"),
    Bug("focal loss", "loss", LOSS,
        loss_is(lambda z, y, f: ((1 - (-f(z, y, reduction="none")).exp()) ** 2
                                 * f(z, y, reduction="none")).mean()), "focal loss, γ = 2"),
    Bug("L1 for L2", "loss", OBJECTIVE,
        penalty_is(lambda model: sum(w.abs().sum() for w in model.weights())), "λ Σ |W|"),
    Bug("no penalty on the last layer", "loss", OBJECTIVE,
        penalty_is(lambda model: sum(w.square().sum() for w in model.weights()[:-1])),
        "no penalty on layer3/kernel"),
    Bug("norms for squares", "loss", OBJECTIVE,
        penalty_is(lambda model: sum(w.norm() for w in model.weights())), "norm, not its square"),
    Bug("a layer detached", "gradients", FORWARD, no_gradient_below,
        "no gradient but the decay's everywhere but on layer3"),
    Bug("the penalty in the reported loss", "report", EPOCH, penalized_report,
        "the penalty is in the reported loss"),
    Bug("only two batches of an epoch reported", "trajectory", EPOCH, first_two_reported,
        "only the first 2 batches are summed"),
    Bug("only one scanned batch of an epoch reported", "trajectory",
        "mnist_fn.training.jax.lax.scan", first_scanned_reported,
        "of the full batches only the first is summed"),
    Bug("gradients not zeroed", "trajectory", "torch.optim.Adam.step", gradients_summed,
        "gradients are not zeroed"),
    Bug("clipping at norm 0.1", "step", ADAM, adam(clip_norm=0.1), "global norm of 0.1"),
    Bug("clipping at norm 1", "stress states", ADAM, adam(clip_norm=1.0), "global norm of 1"),
    Bug("clipping at norm 5", "stress states", ADAM, adam(clip_norm=5.0), "global norm of 5"),
    Bug("clipping at ±0.5", "stress states", ADAM, adam(clip_value=0.5), "clipped to ±0.5"),
    Bug("max-norm 3", "stress states", ADAM, adam(max_norm=3.0), "max-norm 3 of each column"),
    Bug("the biases' learning rate × 1.5", "step", ADAM, adam(bias_rate=1.5),
        "learning rate × 1.5 on the biases alone"),
    Bug("biases not trained", "step", ADAM, adam(bias_rate=0.0), "no training on the biases alone"),
    Bug("decay on the first layer alone", "step", ADAM, adam(first_layer_alone=True),
        "no weight decay on layer2/kernel and layer3/kernel alone"),
    Bug("biases decay", "step", ADAM, adam(bias_decay=2e-3), "weight decay 0.002 on the biases"),
    Bug("learning rate rounded to float32", "step", RATES,
        rates_are(lambda rates: rates.astype(np.float32)), "learning rate rounded to float32"),
    Bug("AMSGrad", "trajectory", ADAM, adam(amsgrad=True), "AMSGrad"),
    Bug("β₁ = 0.95", "step", ADAM, torch_adam(betas=(0.95, 0.999)), "β₁ = 0.95 in place of 0.9"),
    Bug("TensorFlow's ε", "step", ADAM, adam(before=True), "ε added before the bias correction"),
    Bug("the counter one ahead", "step", ADAM, adam(ahead=1), "step counter one ahead"),
    Bug("moments are reset at each epoch", "resuming", ADAM, adam(resets=True),
        "moments and step counter are reset"),
    Bug("weights kept in float32", "step", ADAM, adam(single_weights=True), "kept in float32"),
    Bug("gradients through float32", "step", ADAM, adam(single_grads=True),
        "gradients, the decay's with them, pass through float32"),
    Bug("ten steps of warm-up", "step", ADAM,
        adam(scheduled={t: t / 10 for t in range(1, 10)}), "warmed up linearly over 10 steps"),
    Bug("a stop at step 30", "trajectory", ADAM,
        adam(scheduled=dict.fromkeys(range(30, 1000), 0.0)), "no step is taken from step 30 on"),
    Bug("AdamW's decay not scaled", "step", ADAMW, adam(decoupled=True),
        "decay not scaled by the learning rate", optimizer="adamw"),
    Bug("optax's default decay", "step", ADAMW,
        lambda *a, f=torch.optim.AdamW, **k: f([{**g, "weight_decay": 1e-4 if g["weight_decay"]
                                                 else 0.0} for g in a[0]], **k),
        "decoupled decay 1e-4 in place of 0.01 (× 0.01)", optimizer="adamw"),
    Bug("AdamW's biases decay", "step", ADAMW,
        lambda *a, f=torch.optim.AdamW, **k: f([{**g, "weight_decay": 0.01} for g in a[0]], **k),
        "decoupled decay 0.01 on the biases alone too", optimizer="adamw"),
    Bug("coupled for decoupled decay", "step", ADAMW,
        lambda *a, f=torch.optim.Adam, **k: f(*a, **k), "coupled decay in place of decoupled",
        optimizer="adamw"),
    Bug("the weights of one epoch before are evaluated", "evaluation", LOGITS, logits_of_before,
        "the weights of one step before are evaluated",
        changes=(("torch_ref.backend.TorchBackend.train_epoch", remembered),)),
]  # fmt: skip
# one of each rung and kind, for `make test`; all of them are for `make test-exhaustive`
QUICK = (
    "biases start at 0", "mean/std normalization", "batch order off by one", "temperature 2",
    "leaky ReLU", "SiLU for ReLU", "label smoothing left on", "λ/2", "ReLU′(0) = 1",
    "decoupled for coupled decay", "ε = 1e-7", "the biases' learning rate × 1.5",
    "clipping at norm 0.1", "step count lost on resume",
    "only two batches of an epoch reported",
)  # fmt: skip
