"""Which parameter is which where names do not say it: right ports, named as people name them."""

from typing import Any

import flax.linen as fnn
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from torch import nn

from mnist_fn.parity import FlaxProgram, check_port
from mnist_fn.shared.parity.param_map import map_params
from mnist_fn.shared.parity.program import Weights
from tests.support.port_models import jax_cross_entropy
from torch_ref.parity import TorchProgram

NORM = {"weight": "scale", "bias": "bias"}
DENSE = {"weight": "kernel", "bias": "bias"}


def shapes(kind, width, program):
    """Of a module's weight and bias; all widths are one, so that shapes tell nothing."""
    if kind == "norm":
        return (width,), (width,)
    kernel = (width, width, 3, 3) if program == "torch" else (3, 3, width, width)
    return (kernel if kind == "conv" else (width, width)), (width,)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("fc1 fc2 fc3", "Dense_0 Dense_1 Dense_2"),
        ("fc1 fc2 fc3 out", "Dense_0 Dense_1 Dense_2 Dense_3"),
        ("hidden1 hidden2 hidden3 out", "Dense_0 Dense_1 Dense_2 Dense_3"),
        ("0 2 4 6", "Dense_0 Dense_1 Dense_2 Dense_3"),
        ("0 2 4", "layers_0 layers_2 layers_4"),
        ("conv1 bn1 conv2 bn2 fc", "Conv_0 BatchNorm_0 Conv_1 BatchNorm_1 Dense_0"),
        ("net.0 net.1 net.4 net.8", "Conv_0 BatchNorm_0 Conv_1 Dense_0"),
        ("blocks.0.fc blocks.1.fc head", "block_0/fc block_1/fc head"),
        (
            "layer1.0.conv1 layer1.0.conv2 layer2.0.conv1",
            "Block_0/Conv_0 Block_0/Conv_1 Block_1/Conv_0",
        ),
        ("second first", "first second"),
        ("h_to_4h 4h_to_h", "4h_to_h h_to_4h"),  # BLOOM's
    ],
)  # fmt: skip
def test_modules_of_one_width_are_paired_by_name_then_by_place(ours, theirs):
    def kind_of(name):
        conv = "conv" in name.lower() or name in ("net.0", "net.4")
        norm = "bn" in name or "Norm" in name or name == "net.1"
        return "conv" if conv else "norm" if norm else "dense"

    torch_weights, flax_weights = {}, {}
    for name in ours.split():
        pair = zip(("weight", "bias"), shapes(kind_of(name), 6, "torch"), strict=True)
        torch_weights |= {f"{name}.{key}": np.zeros(shape) for key, shape in pair}
    for name in theirs.split():
        words = NORM if kind_of(name) == "norm" else DENSE
        pair = zip(words.values(), shapes(kind_of(name), 6, "flax"), strict=True)
        flax_weights |= {f"{name}/{key}": np.zeros(shape) for key, shape in pair}
    partners = map_params(Weights(torch_weights), Weights(flax_weights), 1)
    modules = partners.modules()
    names, order = ours.split(), theirs.split()
    assert modules == dict(zip(names, names if set(names) == set(order) else order, strict=True))
    assert not partners.missing
    assert not partners.extra


def test_parameters_without_a_module_that_could_be_either_are_not_sure():
    tensors = [np.zeros((6, 6)), np.zeros((6, 6))]
    ours, theirs = (dict(zip(names, tensors, strict=True)) for names in ("ab", "xy"))
    partners = map_params(Weights(ours), Weights(theirs), 0)
    assert [(p.name, p.other, p.sure) for p in partners.params] == [
        ("a", "x", False), ("b", "y", False),
    ]  # fmt: skip


class Compact(fnn.Module):
    """A convolution and its norm, and the head as the first line: Dense_0 is the last module."""

    @fnn.compact
    def __call__(self, x, train):
        head = fnn.Dense(10)
        x = fnn.Conv(6, (3, 3), padding=1)(x)
        x = fnn.relu(fnn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
        return head(x.mean(axis=(1, 2)))


def test_a_sequential_model_against_a_compact_one_without_names():
    """The convolution's bias was taken for the norm's, which has its shape."""
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(),
                        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 10))  # fmt: skip
    rng = np.random.default_rng(1)
    batches = [(rng.normal(size=(8, 1, 6, 6)), rng.integers(0, 10, 8)) for _ in range(2)]
    reference = TorchProgram(
        net, loss=nn.functional.cross_entropy, optimizer=lambda p: torch.optim.SGD(p, 0.05)
    )
    port = FlaxProgram(Compact(), loss=jax_cross_entropy, optimizer=optax.sgd(0.05))
    check_port(reference, port, batches, steps=3).assert_passed()


class Turned(fnn.Module):
    """Two layers of one shape, the one that is called last made first, and another activation."""

    activation: Any = jnp.tanh

    @fnn.compact
    def __call__(self, x):
        first, second = fnn.Dense(6), fnn.Dense(6)
        return first(self.activation(second(x)))


class TurnedReference(nn.Module):
    """The layer that is called last is made first."""

    def __init__(self):
        super().__init__()
        self.fc2, self.fc1, self.tanh = nn.Linear(6, 6), nn.Linear(6, 6), nn.Tanh()

    def forward(self, x):
        return self.fc2(self.tanh(self.fc1(x)))


def test_what_was_guessed_is_shown():
    """A pair by the order of calls alone, which the outputs don't confirm."""
    torch.manual_seed(0)
    net = TurnedReference()
    rng = np.random.default_rng(0)
    batches = [(rng.normal(size=(4, 6)), rng.integers(0, 6, 4))]
    program = {"loss": jax_cross_entropy, "optimizer": optax.sgd(0.1)}
    reference = TorchProgram(
        net, loss=nn.functional.cross_entropy, optimizer=lambda p: torch.optim.SGD(p, 0.1)
    )
    right = check_port(reference, FlaxProgram(Turned(), **program), batches, steps=2)
    right.assert_passed()
    assert not right.param_map.guessed
    wrong = check_port(reference, FlaxProgram(Turned(fnn.relu), **program), batches, steps=2)
    assert wrong.failed.name == "modules"
    assert "tanh: relu in place of tanh" in wrong.cause.text
    lines = wrong.text.splitlines()
    place = lines.index("the pairs below were guessed; give param_map=… if one is wrong")
    assert lines[place + 1].split()[:2] == ["fc2.weight", "Dense_0/kernel"]
    assert [pair["guessed"] for pair in wrong.to_dict()["param_map"]] == [True] * 4
    told = {"fc1.weight": "Dense_1/kernel", "fc1.bias": "Dense_1/bias"}
    named = check_port(reference, FlaxProgram(Turned(fnn.relu), **program), batches, param_map=told)
    assert "tanh: relu in place of tanh" in named.cause.text
    assert "guessed" not in named.text


class Stack(fnn.Module):
    """Twelve layers; JAX sorts their names as text where they are recomputed."""

    @fnn.compact
    def __call__(self, x):
        for _ in range(12):
            x = fnn.Dense(6)(jnp.tanh(x))
        return x


def test_layers_within_a_lifted_module_are_counted_up():
    torch.manual_seed(0)
    layers = []
    for _ in range(12):
        layers += [nn.Tanh(), nn.Linear(6, 6)]
    batches = [(np.random.default_rng(0).normal(size=(4, 6)), None)]
    port = FlaxProgram(fnn.remat(Stack)())
    check_port(TorchProgram(nn.Sequential(*layers)), port, batches).assert_passed()


class Pooled(fnn.Module):
    """Attention behind a strided convolution, with Flax's own names: no one is like PyTorch's."""

    @fnn.compact
    def __call__(self, x):
        x = fnn.Conv(8, (3, 3), strides=2)(x).reshape(len(x), -1, 8)
        x = x + fnn.MultiHeadDotProductAttention(num_heads=2)(fnn.LayerNorm()(x))
        return fnn.Dense(8)(fnn.LayerNorm()(x).mean(1))


class PooledTorch(nn.Module):
    """The same; what Flax pads within its convolution is padded before it."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 3, stride=2)
        self.n1, self.n2 = nn.LayerNorm(8, eps=1e-6), nn.LayerNorm(8, eps=1e-6)
        self.q, self.k, self.v, self.o, self.h = (nn.Linear(8, 8) for _ in range(5))

    def forward(self, x):
        x = self.patch(nn.functional.pad(x, (0, 1, 0, 1))).flatten(2).mT
        y = self.n1(x)
        q, k, v = (
            part(y).unflatten(-1, (2, 4)).transpose(1, 2) for part in (self.q, self.k, self.v)
        )
        heads = nn.functional.scaled_dot_product_attention(q, k, v)
        x = x + self.o(heads.transpose(1, 2).flatten(2))
        return self.h(self.n2(x).mean(1))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_a_reference_in_linen_is_matched_in_its_order_of_computation(seed):
    """JAX sorts names: LayerNorm_0 would come behind Dense_0, biases of one length anywhere."""
    rng = np.random.default_rng(seed)
    batches = [(rng.normal(size=(4, 4, 4, 3)), rng.normal(size=(4, 8))) for _ in range(3)]
    verdict = check_port(
        FlaxProgram(Pooled(), loss=lambda z, y: jnp.mean((z - y) ** 2), optimizer=optax.adam(1e-2)),
        TorchProgram(
            PooledTorch(),
            loss=nn.functional.mse_loss,
            optimizer=lambda p: torch.optim.Adam(p, 1e-2),
        ),
        batches,
    )
    verdict.assert_passed()
    pairs = {pair.name: pair for pair in verdict.param_map.params}
    for name, other in (("query", "q"), ("key", "k"), ("value", "v"), ("out", "o")):
        assert pairs[f"MultiHeadDotProductAttention_0/{name}/bias"].other == f"{other}.bias"
    assert not pairs["MultiHeadDotProductAttention_0/query/bias"].layout.moves


class Encoder(fnn.Module):
    """A pre-norm encoder of Google's ViT: a class token, places, attention, an MLP."""

    @fnn.compact
    def __call__(self, x):
        token = self.param("cls", fnn.initializers.zeros, (1, 1, 8))
        x = jnp.concatenate([jnp.tile(token, (len(x), 1, 1)), fnn.Dense(8, name="embedding")(x)], 1)
        x = x + self.param("pos_embedding", fnn.initializers.normal(0.02), (1, 4, 8))
        for i in range(2):
            x = EncoderBlock(name=f"encoderblock_{i}")(x)
        return fnn.Dense(8, name="head")(fnn.LayerNorm(name="encoder_norm")(x)[:, 0])


class EncoderBlock(fnn.Module):
    @fnn.compact
    def __call__(self, x):
        x = x + fnn.MultiHeadDotProductAttention(num_heads=2)(fnn.LayerNorm()(x))
        y = fnn.Dense(8)(fnn.LayerNorm()(x))
        return x + fnn.Dense(8)(fnn.gelu(y))


class TorchAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.key, self.value, self.dense = (nn.Linear(8, 8) for _ in range(4))

    def forward(self, x):
        q, k, v = (
            f(x).unflatten(-1, (2, 4)).transpose(1, 2) for f in (self.query, self.key, self.value)
        )
        y = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.dense(y.transpose(1, 2).flatten(2))


class TorchEncoderBlock(nn.Module):
    """Modules made in another order than they are called, as Hugging Face's ViT makes them."""

    def __init__(self, attention, approximate):
        super().__init__()
        self.attention = attention()
        self.intermediate, self.output = nn.Linear(8, 8), nn.Linear(8, 8)
        self.layernorm_before = nn.LayerNorm(8, eps=1e-6)
        self.layernorm_after = nn.LayerNorm(8, eps=1e-6)
        self.gelu = nn.GELU(approximate)

    def forward(self, x):
        x = x + self.attention(self.layernorm_before(x))
        return x + self.output(self.gelu(self.intermediate(self.layernorm_after(x))))


class TorchEncoder(nn.Module):
    def __init__(self, attention=TorchAttention, approximate="tanh"):
        super().__init__()
        self.patch, self.token = nn.Linear(3, 8), nn.Parameter(torch.zeros(1, 1, 8))
        self.places = nn.Parameter(torch.randn(1, 4, 8))
        blocks = [TorchEncoderBlock(attention, approximate) for _ in range(2)]
        self.encoder = nn.ModuleList(blocks)
        self.norm, self.classifier = nn.LayerNorm(8, eps=1e-6), nn.Linear(8, 8)

    def forward(self, x):
        x = torch.cat([self.token.expand(len(x), -1, -1), self.patch(x)], 1) + self.places
        for block in self.encoder:
            x = block(x)
        return self.classifier(self.norm(x)[:, 0])


ENCODED = [(np.random.default_rng(0).normal(size=(2, 3, 3)), None)]


def test_modules_of_other_names_are_paired_in_the_order_of_their_calls():
    """Words in common mislead (encoder_norm, encoder.0.norm; Dense_1, attention.dense), and what
    begins at 0 tells no bias from another.
    """
    torch.manual_seed(0)
    programs = FlaxProgram(Encoder()), TorchProgram(TorchEncoder())
    for reference, port in (programs, programs[::-1]):
        verdict = check_port(reference, port, ENCODED)
        verdict.assert_passed()
        pairs = {pair.name: pair.other for pair in verdict.param_map.params}
        pairs |= {other: name for name, other in pairs.items()}
        assert pairs["encoder_norm/bias"] == "norm.bias"
        block = "encoderblock_1/MultiHeadDotProductAttention_0/out/bias"
        assert pairs[block] == "encoder.1.attention.dense.bias"
        assert pairs["encoderblock_1/Dense_1/bias"] == "encoder.1.output.bias"


def test_modules_of_other_names_are_paired_where_the_port_is_wrong():
    torch.manual_seed(0)
    port = TorchProgram(TorchEncoder(approximate="none"))
    verdict = check_port(FlaxProgram(Encoder()), port, ENCODED)
    assert verdict.failed.name == "modules"
    assert verdict.failed.worst.what == "input of encoderblock_0/Dense_1"
    assert "exact gelu in place of gelu by tanh" in verdict.text


class OneMatrix(nn.Module):
    """Query, key and value in one matrix."""

    def __init__(self):
        super().__init__()
        self.qkv, self.proj = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x):
        q, k, v = (part.unflatten(-1, (2, 4)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        y = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.proj(y.transpose(1, 2).flatten(2))


class TorchsOwn(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        return self.heads(x, x, x, need_weights=False)[0]


@pytest.mark.long
@pytest.mark.parametrize(
    ("attention", "part"),
    [(OneMatrix, "attention.qkv[1].weight"), (TorchsOwn, "attention.heads.in_proj[1].weight")],
)
def test_parameters_that_are_joined_in_pytorch_are_compared_in_parts(attention, part):
    torch.manual_seed(0)
    batches = [(inputs, np.zeros((2, 8))) for inputs, _ in ENCODED]
    programs = [
        FlaxProgram(
            Encoder(), loss=lambda z, y: jnp.mean((z - y) ** 2), optimizer=optax.adam(1e-2)
        ),
        TorchProgram(
            TorchEncoder(attention),
            loss=nn.functional.mse_loss,
            optimizer=lambda p: torch.optim.Adam(p, 1e-2),
        ),
    ]
    for reference, port in (programs, programs[::-1]):
        verdict = check_port(reference, port, batches, steps=2)
        verdict.assert_passed()
        pairs = {pair.name: pair.other for pair in verdict.param_map.params}
        pairs |= {other: name for name, other in pairs.items()}
        key = "encoderblock_1/MultiHeadDotProductAttention_0/key/kernel"
        assert pairs[f"encoder.1.{part}"] == key


def test_only_what_the_other_program_has_in_parts_is_divided():
    both = {"a.weight": np.zeros((6, 2)), "b.weight": np.zeros((2, 2))}
    parts = {f"{name}.weight": np.zeros((2, 2)) for name in "bcde"}
    assert map_params(Weights(both), Weights(both), 0).joined == ((), ())
    joined, _ = map_params(Weights(both), Weights(parts), 0).joined
    assert [division.parts[0] for division in joined] == ["a[0].weight"]
    named = map_params(Weights(both), Weights(parts), 0, {"b.weight": "b.weight"})
    assert [pair.other for pair in named.params] == [f"{name}.weight" for name in "cdeb"]
    fewer = {name: parts[name] for name in list(parts)[:3]}
    assert map_params(Weights(both), Weights(fewer), 0).joined == ((), ())
