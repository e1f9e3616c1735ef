"""Models that people port, in PyTorch and in JAX: a transformer, a ResNet, an LSTM, an MLP."""

import flax.linen as fnn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from torch import nn

from mnist_fn.parity import FlaxProgram, JaxProgram
from torch_ref.parity import TorchProgram


def batches(*shape, classes, n=3, seed=0):
    rng = np.random.default_rng(seed)
    return [(rng.normal(size=shape), rng.integers(0, classes, shape[0])) for _ in range(n)]


def jax_cross_entropy(outputs, targets):
    return optax.softmax_cross_entropy_with_integer_labels(outputs, targets).mean()


class TorchBlock(nn.Module):
    """Pre-norm transformer block: attention of several heads by hand, GELU, dropout."""

    def __init__(self, d=16, heads=4, vocabulary=11):
        super().__init__()
        self.heads = heads
        self.tokens, self.places = nn.Embedding(vocabulary, d), nn.Embedding(9, d)
        self.norm1, self.norm2, self.last = nn.LayerNorm(d), nn.LayerNorm(d), nn.LayerNorm(d)
        self.query, self.key, self.value, self.out = (nn.Linear(d, d) for _ in range(4))
        self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)
        self.drop, self.head = nn.Dropout(0.1), nn.Linear(d, vocabulary, bias=False)

    def forward(self, ids):
        x = self.drop(self.tokens(ids) + self.places(torch.arange(ids.shape[1])))
        y = self.norm1(x)
        q, k, v = (
            f(y).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for f in (self.query, self.key, self.value)
        )
        rate = 0.1 if self.training else 0.0
        y = nn.functional.scaled_dot_product_attention(q, k, v, dropout_p=rate, is_causal=True)
        x = x + self.drop(self.out(y.transpose(1, 2).flatten(2)))
        x = x + self.down(nn.functional.gelu(self.up(self.norm2(x))))
        return self.head(self.last(x))


class FlaxBlock(fnn.Module):
    d: int = 16
    heads: int = 4
    vocabulary: int = 11

    @fnn.compact
    def __call__(self, ids, deterministic=True):
        drop = fnn.Dropout(0.1, deterministic=deterministic)
        norm = lambda name: fnn.LayerNorm(epsilon=1e-5, name=name)  # noqa: E731
        x = fnn.Embed(self.vocabulary, self.d, name="tokens")(ids)
        x = drop(x + fnn.Embed(9, self.d, name="places")(jnp.arange(ids.shape[1])))
        mask = fnn.make_causal_mask(ids)
        x = x + drop(
            fnn.MultiHeadDotProductAttention(self.heads, dropout_rate=0.1, name="attention")(
                norm("norm1")(x), mask=mask, deterministic=deterministic
            )
        )
        y = fnn.gelu(fnn.Dense(4 * self.d, name="up")(norm("norm2")(x)), approximate=False)
        x = x + fnn.Dense(self.d, name="down")(y)
        return fnn.Dense(self.vocabulary, use_bias=False, name="head")(norm("last")(x))


def block_batches(n=3):
    rng = np.random.default_rng(0)
    return [(rng.integers(0, 11, (4, 9)), rng.integers(0, 11, (4, 9))) for _ in range(n)]


def torch_tokens(outputs, targets):
    return nn.functional.cross_entropy(outputs.flatten(0, 1), targets.flatten())


def transformer():
    torch.manual_seed(0)
    adamw = lambda p: torch.optim.AdamW(p, 1e-3, weight_decay=0.1)  # noqa: E731
    reference = TorchProgram(TorchBlock(), loss=torch_tokens, optimizer=adamw)
    port = FlaxProgram(FlaxBlock(), loss=jax_cross_entropy,
                    optimizer=optax.adamw(1e-3, weight_decay=0.1))  # fmt: skip
    return reference, port, block_batches()


class TorchResidual(nn.Module):
    def __init__(self, a, b, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(a, b, 3, stride, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(b), nn.BatchNorm2d(b)
        self.conv2 = nn.Conv2d(b, b, 3, 1, 1, bias=False)
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut = nn.Sequential(nn.Conv2d(a, b, 1, stride, bias=False), nn.BatchNorm2d(b))

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class TorchResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.layers = nn.Sequential(TorchResidual(8, 8, 1), TorchResidual(8, 16, 2))
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        x = nn.functional.max_pool2d(torch.relu(self.norm(self.stem(x))), 3, 2, 1)
        return self.head(self.layers(x).mean((2, 3)))


class FlaxResidual(fnn.Module):
    width: int
    stride: int

    @fnn.compact
    def __call__(self, x, train):
        norm = lambda name: fnn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, name=name)  # noqa: E731
        conv = lambda k, s, p, name: fnn.Conv(  # noqa: E731
            self.width, (k, k), s, padding=((p, p), (p, p)), use_bias=False, name=name
        )
        y = fnn.relu(norm("bn1")(conv(3, self.stride, 1, "conv1")(x)))
        y = norm("bn2")(conv(3, 1, 1, "conv2")(y))
        if self.stride > 1:
            x = norm("shortcut_1")(conv(1, self.stride, 0, "shortcut_0")(x))
        return fnn.relu(x + y)


class FlaxResNet(fnn.Module):
    @fnn.compact
    def __call__(self, x, train=True):
        x = fnn.Conv(8, (3, 3), padding=1, use_bias=False, name="stem")(x)
        x = fnn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, name="norm")(x)
        x = fnn.max_pool(fnn.relu(x), (3, 3), (2, 2), padding=((1, 1), (1, 1)))
        x = FlaxResidual(8, 1, name="layers_0")(x, train)
        x = FlaxResidual(16, 2, name="layers_1")(x, train)
        return fnn.Dense(5, name="head")(x.mean((1, 2)))


def resnet():
    torch.manual_seed(0)
    sgd = lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, nesterov=True)  # noqa: E731
    cosine = lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 200)  # noqa: E731
    loss = nn.functional.cross_entropy
    reference = TorchProgram(TorchResNet(), loss=loss, optimizer=sgd, scheduler=cosine)
    rate = optax.cosine_decay_schedule(0.05, 200)
    port = FlaxProgram(FlaxResNet(), loss=jax_cross_entropy,
                    optimizer=optax.sgd(rate, momentum=0.9, nesterov=True))  # fmt: skip
    return reference, port, batches(8, 3, 12, 12, classes=5)


class TorchLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(6, 10, batch_first=True), nn.Linear(10, 4)

    def forward(self, x):
        _, (hidden, _) = self.lstm(x)
        return self.head(hidden[-1])


def jax_lstm(params, x):
    p = params["lstm"]

    def cell(carry, row):
        h, c = carry
        gates = row @ p["weight_ih"].T + p["bias_ih"] + h @ p["weight_hh"].T + p["bias_hh"]
        i, f, g, o = jnp.split(gates, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), None

    zeros = jnp.zeros((x.shape[0], 10), x.dtype)
    (h, _), _ = jax.lax.scan(cell, (zeros, zeros), x.swapaxes(0, 1))
    return h @ params["head"]["kernel"] + params["head"]["bias"]


def lstm():
    torch.manual_seed(0)
    clip = lambda p: nn.utils.clip_grad_norm_(p, 0.1)  # noqa: E731
    reference = TorchProgram(TorchLSTM(), loss=nn.functional.cross_entropy, before_step=clip,
                          optimizer=lambda p: torch.optim.RMSprop(p, 1e-3))  # fmt: skip
    shapes = {"lstm": {"weight_ih": (40, 6), "weight_hh": (40, 10), "bias_ih": 40, "bias_hh": 40},
              "head": {"kernel": (10, 4), "bias": 4}}  # fmt: skip
    params = jax.tree.map(np.zeros, shapes, is_leaf=lambda s: isinstance(s, int | tuple))
    optimizer = optax.chain(
        optax.clip_by_global_norm(0.1), optax.rmsprop(1e-3, decay=0.99, eps_in_sqrt=False)
    )
    port = JaxProgram(jax_lstm, params, loss=jax_cross_entropy, optimizer=optimizer)
    return reference, port, batches(5, 7, 6, classes=4)


def torch_adagrad(eps=1e-10):
    """g / (√Σg² + ε); optax's own has ε inside of the root."""

    def update(grads, total, params=None):
        total = jax.tree.map(lambda t, g: t + g * g, total, grads)
        return jax.tree.map(lambda t, g: g / (jnp.sqrt(t) + eps), total, grads), total

    return optax.GradientTransformation(lambda p: jax.tree.map(jnp.zeros_like, p), update)


def plain():
    """A function of a list of (W, b), as in JAX's own examples; Adagrad."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(7, 12), nn.Tanh(), nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 3)
    )

    def apply(params, x):
        *hidden, (w, b) = params
        for w_i, b_i in hidden:
            x = jnp.tanh(x @ w_i + b_i)
        return x @ w + b

    sizes = [(7, 12), (12, 12), (12, 3)]
    params = [(np.zeros(s), np.zeros(s[1])) for s in sizes]
    reference = TorchProgram(model, loss=nn.functional.cross_entropy,
                          optimizer=lambda p: torch.optim.Adagrad(p, 0.02))  # fmt: skip
    optimizer = optax.chain(torch_adagrad(), optax.scale(-0.02))
    return (
        reference,
        JaxProgram(apply, params, loss=jax_cross_entropy, optimizer=optimizer),
        batches(16, 7, classes=3),
    )


MODELS = {"transformer block": transformer, "ResNet": resnet, "LSTM": lstm, "function": plain}
