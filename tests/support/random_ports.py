"""Ports of five models with five optimizers, right ones and wrong ones of one changed line.

docs/make/evidence_ports.py draws models, seeds and changes; a port is a text, so that a line of it
can be changed. Every change says in which words its cause may be named.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from mnist_fn.parity import FlaxProgram
from tests.support.port_models import TorchResNet
from torch_ref.parity import TorchProgram

fn = nn.functional
WIDTH, HEADS = 16, 4


class MLP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(12, 24), nn.LayerNorm(24)
        self.second, self.head = nn.Linear(24, 16), nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = fn.gelu(self.norm(self.first(x)))
        return self.head(fn.dropout(torch.tanh(self.second(x)), 0.1, self.training))


class CNN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, 2, 1)
        self.inner, self.head = nn.Linear(8 * 3 * 3, 16), nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = fn.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = fn.leaky_relu(self.conv2(x), 0.1).flatten(1)
        return self.head(fn.elu(self.inner(x)))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, x: torch.Tensor, causal: bool = False) -> torch.Tensor:
        q, k, v = (
            f(x).unflatten(-1, (HEADS, -1)).transpose(1, 2) for f in (self.q, self.k, self.v)
        )
        scores = q @ k.transpose(-1, -2) / math.sqrt(WIDTH // HEADS)
        if causal:
            hidden = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
            scores = scores.masked_fill(hidden, float("-inf"))
        return self.out((torch.softmax(scores, -1) @ v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2, self.attn = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH), Attention()
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: torch.Tensor, causal: bool = False) -> torch.Tensor:
        x = x + self.drop(self.attn(self.norm1(x), causal))
        return x + self.drop(self.down(fn.gelu(self.up(self.norm2(x)))))


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(11, WIDTH), nn.Embedding(9, WIDTH)
        self.block, self.last = Block(), nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, 5)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1]))
        return self.head(self.last(self.block(x, causal=True)).mean(1))


class AttentionCNN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, stride=2, padding=1, bias=False)
        self.conv2 = nn.Conv2d(8, WIDTH, 3, stride=2, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(8), nn.BatchNorm2d(WIDTH)
        self.pos = nn.Parameter(torch.randn(1, 9, WIDTH) * 0.02)
        self.block, self.norm, self.head = Block(), nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)))
        x = x.flatten(2).transpose(1, 2)
        return self.head(self.norm(self.block(x + self.pos)).mean(1))


HEAD = """import math
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
"""
LOSS = """
def loss(z, y):
    return optax.softmax_cross_entropy_with_integer_labels(z, y).mean()
"""
BLOCK = """
class Attention(nn.Module):
    @nn.compact
    def __call__(self, x, causal=False):
        n, t, d = x.shape
        split = lambda y: y.reshape(n, t, 4, d // 4).transpose(0, 2, 1, 3)
        q, k, v = (split(nn.Dense(d, name=name)(x)) for name in "qkv")
        scores = q @ k.swapaxes(-1, -2) / math.sqrt(d // 4)
        if causal:
            scores = jnp.where(jnp.tril(jnp.ones((t, t), bool)), scores, -jnp.inf)
        a = jax.nn.softmax(scores, -1)
        return nn.Dense(d, name="out")((a @ v).transpose(0, 2, 1, 3).reshape(n, t, d))

class Block(nn.Module):
    @nn.compact
    def __call__(self, x, train, causal=False):
        drop = nn.Dropout(0.1, deterministic=not train)
        y = nn.LayerNorm(epsilon=1e-5, name="norm1")(x)
        y = Attention(name="attn")(y, causal)
        x = x + drop(y)
        y = nn.LayerNorm(epsilon=1e-5, name="norm2")(x)
        y = nn.Dense(64, name="up")(y)
        y = nn.gelu(y, approximate=False)
        y = nn.Dense(16, name="down")(y)
        return x + drop(y)
"""
TEXTS = {
    "MLP": """
class Port(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        x = nn.Dense(24, name="first")(x)
        x = nn.LayerNorm(epsilon=1e-5, name="norm")(x)
        x = nn.gelu(x, approximate=False)
        x = nn.Dense(16, name="second")(x)
        x = jnp.tanh(x)
        x = nn.Dropout(0.1, deterministic=not train)(x)
        return nn.Dense(5, name="head")(x)
""",
    "CNN": """
class Port(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        x = nn.Conv(8, (3, 3), padding=1, name="conv1")(x)
        x = nn.relu(x)
        x = nn.max_pool(x, (2, 2), strides=(2, 2))
        x = nn.Conv(8, (3, 3), strides=2, padding=1, name="conv2")(x)
        x = nn.leaky_relu(x, 0.1)
        x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
        x = nn.Dense(16, name="inner")(x)
        x = nn.elu(x)
        return nn.Dense(5, name="head")(x)
""",
    "ResNet": """
class Residual(nn.Module):
    width: int
    stride: int

    @nn.compact
    def __call__(self, x, train):
        norm = lambda name: nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, name=name)
        conv = lambda k, s, p, name: nn.Conv(
            self.width, (k, k), s, padding=p, use_bias=False, name=name)
        y = conv(3, self.stride, 1, "conv1")(x)
        y = norm("bn1")(y)
        y = nn.relu(y)
        y = norm("bn2")(conv(3, 1, 1, "conv2")(y))
        if self.stride > 1:
            x = norm("shortcut_1")(conv(1, self.stride, 0, "shortcut_0")(x))
        return nn.relu(x + y)

class Port(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        x = nn.Conv(8, (3, 3), padding=1, use_bias=False, name="stem")(x)
        x = nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, name="norm")(x)
        x = nn.relu(x)
        x = nn.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))
        x = Residual(8, 1, name="layers_0")(x, train)
        x = Residual(16, 2, name="layers_1")(x, train)
        x = x.mean((1, 2))
        return nn.Dense(5, name="head")(x)
""",
    "transformer": BLOCK + """
class Port(nn.Module):
    @nn.compact
    def __call__(self, ids, train):
        x = nn.Embed(11, 16, name="tokens")(ids)
        x = x + nn.Embed(9, 16, name="places")(jnp.arange(ids.shape[1]))
        x = Block(name="block")(x, train, causal=True)
        x = nn.LayerNorm(epsilon=1e-5, name="last")(x)
        x = x.mean(1)
        return nn.Dense(5, name="head")(x)
""",
    "CNN with attention": BLOCK + """
class Port(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        norm = lambda name: nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, name=name)
        x = nn.Conv(8, (3, 3), strides=2, padding=1, use_bias=False, name="conv1")(x)
        x = norm("bn1")(x)
        x = nn.relu(x)
        x = nn.Conv(16, (3, 3), strides=2, padding=1, use_bias=False, name="conv2")(x)
        x = norm("bn2")(x)
        x = nn.relu(x)
        x = x.reshape(len(x), -1, 16)
        pos = self.param("pos", nn.initializers.normal(0.02), (1, 9, 16))
        x = Block(name="block")(x + pos, train)
        x = nn.LayerNorm(epsilon=1e-5, name="norm")(x)
        x = x.mean(1)
        return nn.Dense(5, name="head")(x)
""",
}  # fmt: skip
REFERENCES = {"MLP": MLP, "CNN": CNN, "ResNet": TorchResNet, "transformer": Transformer,
              "CNN with attention": AttentionCNN}  # fmt: skip
INPUTS = {"MLP": (8, 12), "CNN": (8, 1, 12, 12), "ResNet": (8, 3, 12, 12),
          "CNN with attention": (8, 1, 12, 12)}  # fmt: skip
OPTIMIZERS: dict[str, tuple[Callable[..., Any], str]] = {
    "SGD": (lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, nesterov=True),
            "optax.sgd(0.05, momentum=0.9, nesterov=True)"),
    "Adam": (lambda p: torch.optim.Adam(p, 1e-3, weight_decay=1e-3),
             "optax.chain(optax.add_decayed_weights(1e-3), optax.adam(1e-3))"),
    "AdamW": (lambda p: torch.optim.AdamW(p, 1e-3, weight_decay=0.05),
              "optax.adamw(1e-3, weight_decay=0.05)"),
    "RMSprop": (lambda p: torch.optim.RMSprop(p, 1e-3),
                "optax.rmsprop(1e-3, decay=0.99, eps_in_sqrt=False)"),
    "Adamax": (lambda p: torch.optim.Adamax(p, 1e-3), "optax.adamax(1e-3)"),
}  # fmt: skip


def text_of(model: str, optimizer: str) -> str:
    """A right port."""
    return f"{HEAD}{TEXTS[model]}{LOSS}\noptimizer = {OPTIMIZERS[optimizer][1]}\n"


def reference(model: str, optimizer: str, seed: int) -> TorchProgram:
    """What it is a port of."""
    torch.manual_seed(seed)
    module = REFERENCES[model]()
    return TorchProgram(module, loss=fn.cross_entropy, optimizer=OPTIMIZERS[optimizer][0])


def port(text: str) -> FlaxProgram:
    """The program of a text."""
    names: dict[str, Any] = {"__name__": "port"}
    exec(text, names)
    return FlaxProgram(names["Port"](), loss=names["loss"], optimizer=names["optimizer"])


def batches(model: str, seed: int) -> list[Any]:
    """Four batches."""
    rng = np.random.default_rng(seed)

    def inputs() -> np.ndarray:
        shape = INPUTS.get(model)
        return rng.integers(0, 11, (6, 9)) if shape is None else rng.normal(size=shape)

    made = [inputs() for _ in range(4)]
    return [(x, rng.integers(0, 5, len(x))) for x in made]


@dataclass(frozen=True)
class Change:
    """What a hurried hand does to a line."""

    name: str
    pattern: str  # of what is replaced
    put: tuple[str, ...]  # what may stand there
    words: str  # a pattern of what the verdict may call it


# what a verdict calls each of Flax's
ACTIVATIONS = {
    "relu": "relu", "gelu": "gelu by tanh", "silu": "silu", "tanh": "tanh", "sigmoid": "sigmoid",
    "softplus": "softplus", "relu6": "relu capped at 6", "elu": "elu with α = 1",
}  # fmt: skip
CHANGES = [
    Change("another ε", r"epsilon=1e-5", ("epsilon=1e-6", "epsilon=1e-3", "epsilon=1e-4"), r"ε"),
    Change("the default ε", r"epsilon=1e-5, ", ("",), r"ε"),
    Change("another activation", r"nn\.(?:relu|elu)\(", tuple(f"nn.{a}(" for a in ACTIVATIONS),
           r"\b{} in place of"),
    Change("another activation for tanh", r"jnp\.tanh\(", ("nn.relu(", "nn.gelu(", "nn.sigmoid("),
           r"\b{} in place of"),
    Change("the activation left out", r"nn\.(?:relu|elu)\(x\)", ("x",),
           r"no activation|identity|nothing in place"),
    Change("GELU by tanh", r", approximate=False", ("",), r"gelu by tanh"),
    Change("another slope", r"leaky_relu\(x, 0\.1\)",
           ("leaky_relu(x)", "leaky_relu(x, 0.2)", "leaky_relu(x, 0.3)"), r"slope"),
    Change("padding SAME or none", r"padding=1", ('padding="SAME"', 'padding="VALID"'),
           r"padding|the port's \S+ is \["),
    Change("another stride", r"strides=2", ("strides=1", "strides=3"),
           r"stride|the port's \S+ is \["),
    Change("average for maximum", r"nn\.max_pool", ("nn.avg_pool",),
           r"average in place of maximum"),
    Change("no padding of the pool", r", padding=\(\(1, 1\), \(1, 1\)\)",
           ("", ', padding="SAME"'), r"padding|the port's \S+ is \["),
    Change("momentum of the averages", r"momentum=0\.9, epsilon",
           ("momentum=0.99, epsilon", "momentum=0.1, epsilon", "momentum=0.8, epsilon"),
           r"running averages keep"),
    Change("the residual forgotten", r"x \+ drop\(y\)", ("drop(y)",), r"residual"),
    Change("the residual doubled", r"x \+ drop\(y\)", ("2 * x + drop(y)",), r"residual|times 2"),
    Change("the shortcut forgotten", r"nn\.relu\(x \+ y\)", ("nn.relu(y)",), r"residual"),
    Change("a sum for the mean", r"x\.mean\(", ("x.sum(",), r"sum in place of mean"),
    Change("a maximum for the mean", r"x\.mean\(", ("x.max(",), r"maximum in place of mean"),
    Change("one place for the mean", r"x\.mean\(1\)", ("x[:, 0]", "x[:, -1]"), r"first|last"),
    Change("scores not scaled", r" / math\.sqrt\(d // 4\)", ("",), r"divided"),
    Change("scores scaled otherwise", r"math\.sqrt\(d // 4\)", ("math.sqrt(d)", "(d // 4)"),
           r"divided"),
    Change("another axis of the softmax", r"softmax\(scores, -1\)",
           ("softmax(scores, -2)", "softmax(scores, 1)"), r"axis"),
    Change("the mask forgotten", r"causal=True", ("causal=False",), r"mask|causal|hidden"),
    Change("the mask turned", r"jnp\.tril", ("jnp.triu",), r"mask|hidden"),
    Change("flattened channels last", r"x\.transpose\(0, 3, 1, 2\)\.reshape", ("x.reshape",),
           r"flattened channels last"),
    Change("heads last", r"reshape\(n, t, 4, d // 4\)\.transpose\(0, 2, 1, 3\)",
           ("reshape(n, t, d // 4, 4).transpose(0, 3, 1, 2)",), r"head|split"),
    Change("places in the reverse order", r"jnp\.arange\(ids\.shape\[1\]\)",
           ("jnp.arange(ids.shape[1])[::-1]",), r"reverse|order"),
    Change("the tokens forgotten", r"x \+ nn\.Embed\(9", ("0 * x + nn.Embed(9",),
           r"residual|left out"),
    Change("dropout's rate", r"nn\.Dropout\(0\.1", ("nn.Dropout(0.2", "nn.Dropout(0.5"),
           r"rates of dropout"),
    Change("a bias", r", use_bias=False", ("",), r"of the port has no partner"),
    Change("the loss summed", r"\(z, y\)\.mean\(\)", ("(z, y).sum()",), r"sum for mean|summed"),
    Change("the loss halved", r"\(z, y\)\.mean\(\)", ("(z, y).mean() / 2",), r"half|0\.5"),
    Change("another learning rate", r"(?<=optax\.)(?:(adam|adamw|rmsprop|adamax)\(1e-3|sgd\(0\.05)",
           ("<rate>",), r"learning rate|times as large"),
    Change("another decay", r"weight_decay=0\.05|add_decayed_weights\(1e-3\)", ("<decay>",),
           r"decay"),
    Change("no decay said", r", weight_decay=0\.05", ("",), r"decay"),
    Change("decoupled decay",
           r"optax\.chain\(optax\.add_decayed_weights\(1e-3\), optax\.adam\(1e-3\)\)",
           ("optax.adamw(1e-3, weight_decay=1e-3)",), r"decoupled decay"),
    Change("no Nesterov", r", nesterov=True", ("",), r"momentum in place of nesterov|[Nn]esterov"),
    Change("another momentum", r"momentum=0\.9, nesterov",
           ("momentum=0.5, nesterov", "momentum=0.99, nesterov"), r"momentum ="),
    Change("β₂", r"optax\.(adamw?)\(1e-3", ("<b2>",), r"β₂"),
    Change("ε of the optimizer", r"optax\.(adamw?|rmsprop)\(1e-3", ("<eps>",), r"ε"),
    Change("RMSprop's ε inside", r", eps_in_sqrt=False", ("",), r"ε inside"),
    Change("RMSprop's decay", r"decay=0\.99", ("decay=0.9", "decay=0.999"),
           r"decay ="),
]  # fmt: skip


def wrong_ports(model: str, optimizer: str) -> Iterator[tuple[Change, int, str, str]]:
    """Yield every change at every place: what it is, the line's number, the line, the text."""
    text = text_of(model, optimizer)
    for change in CHANGES:
        for place in re.finditer(change.pattern, text):
            for put in change.put:
                new = _filled(put, place[0])
                if new == place[0]:
                    continue
                changed = text[: place.start()] + new + text[place.end() :]
                number = text[: place.start()].count("\n")
                function = re.search(r"\w+\.(\w+)\($", new)
                called = ACTIVATIONS[function[1]] if "{}" in change.words else ""
                words = change.words.replace("{}", called)
                yield (
                    replace(change, words=words),
                    number + 1,
                    changed.splitlines()[number].strip(),
                    changed,
                )


def _filled(put: str, before: str) -> str:
    """A replacement that keeps what stood there."""
    return {
        "<rate>": before.replace("1e-3", "2e-3").replace("0.05", "0.1"),
        "<decay>": before.replace("0.05", "0.1").replace("1e-3", "2e-3"),
        "<b2>": f"{before}, b2=0.99",
        "<eps>": f"{before}, eps=1e-5",
    }.get(put, put)
