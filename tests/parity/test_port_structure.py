"""What ports build in another way: residuals, heads, masks, means, order of norms, precision."""

import math
from types import SimpleNamespace

import flax.linen as fnn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from torch import nn
from torch.nn import functional as fn

from mnist_fn.parity import FlaxProgram, check_port
from mnist_fn.shared.parity.modules import Fault
from mnist_fn.shared.parity.shown_causes import explain_precision
from tests.support.port_models import jax_cross_entropy
from torch_ref.parity import TorchProgram

WIDTH, HEADS, LENGTH = 8, 2, 5
RNG = np.random.default_rng(0)
IDS = RNG.integers(1, 7, (6, LENGTH))
IDS[0, 3:] = IDS[2, 1:] = 0  # padding
TEXTS = [(IDS, RNG.integers(0, 3, 6))]


class Text(nn.Module):
    """Attention by hand, a residual, a norm by hand, a mean that leaves padding out."""

    def __init__(self, changed="", vocabulary=7):
        super().__init__()
        torch.manual_seed(0)
        padding = None if changed == "padding_idx" else 0
        self.tokens = nn.Embedding(vocabulary, WIDTH, padding_idx=padding)
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.out, self.up, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 8), nn.Linear(8, 3)
        self.changed = changed

    def split(self, x):
        shape = (*x.shape[:2], HEADS, -1)
        if self.changed in ("split", "heads"):
            return x.reshape(*x.shape[:2], -1, HEADS).permute(0, 3, 1, 2)
        return x.reshape(shape).transpose(1, 2)

    def join(self, x):
        batch, _, length, _ = x.shape
        if self.changed in ("join", "heads"):
            return x.permute(0, 2, 3, 1).reshape(batch, length, WIDTH)
        if self.changed == "not moved":
            return x.reshape(batch, length, WIDTH)
        return x.transpose(1, 2).reshape(batch, length, WIDTH)

    def attend(self, x, shown):
        q, k, v = (self.split(f(x)) for f in (self.query, self.key, self.value))
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        hidden = ~shown[:, None, None, :]
        hidden = ~hidden if self.changed == "inverted" else hidden
        value = {"masked with -1": -1.0, "masked with -7.5": -7.5}.get(self.changed, -math.inf)
        return self.out(self.join(scores.masked_fill(hidden, value).softmax(-1) @ v))

    def forward(self, ids):
        shown = ids != 0
        if self.changed in ("padding_idx", "with padding_idx"):
            shown = torch.ones_like(shown)
        x = self.tokens(ids)
        y = self.attend(x, shown)
        x = y if self.changed == "forgotten" else 2 * x + y if self.changed == "doubled" else x + y
        x = self.up(x)
        deviation = x.std(-1, keepdim=True, unbiased=self.changed != "deviation")
        x = (x - x.mean(-1, keepdim=True)) / (deviation + 1e-3)
        mask = shown[..., None].to(x.dtype)
        if self.changed == "mean":
            return self.head(x.mean(1))
        if self.changed == "count":
            return self.head((x * mask).mean(1))
        return self.head((x * mask).sum(1) / mask.sum(1))


# what is changed -> the cause
TEXT_CHANGES = {
    "forgotten": "a sum without its first term, as a residual that is forgotten",
    "doubled": "a sum with its first term twice, as a residual that is doubled",
    "split": "8 features split as [4, 2] in place of [2, 4]: another order of heads",
    "join": "heads of [2, 4] joined as [4, 2]: another order of heads",
    "heads": "head order (d, h) for (h, d), where heads are split and where they are joined",
    "not moved": "heads joined where they stand, not moved behind the positions first",
    "inverted": "the mask is inverted",
    "masked with -1": "masked with -1 in place of -inf",
    "masked with -7.5": "masked with -7.5 in place of -inf",
    "mean": "a mean over padding too",
    "count": "divided by 5 in place of a count of its own for each row",
    "deviation": "divided by n in place of n − 1 in the variance",
}


def text_program(changed, name):
    return TorchProgram(
        Text(changed),
        loss=fn.cross_entropy,
        optimizer=lambda p: torch.optim.SGD(p, 0.1),
        name=name,
    )


def caused(reference, port, given, words, rung="modules", code=None):
    verdict = check_port(reference, port, given, steps=2)
    assert verdict.failed is not None, verdict.text
    assert verdict.failed.name == rung, verdict.text
    assert verdict.cause.found, verdict.text
    assert len(verdict.cause.causes) == 1, verdict.text
    (cause,) = verdict.cause.causes
    assert words in cause.text, verdict.text
    assert cause.units <= 1
    assert code in (None, cause.code)
    return verdict


def test_a_right_port_of_a_masked_text_model_passes():
    check_port(text_program("", "reference"), text_program("", "port"), TEXTS).assert_passed()


@pytest.mark.long
@pytest.mark.parametrize("changed", TEXT_CHANGES)
def test_what_a_port_builds_in_another_way_is_named(changed):
    words = TEXT_CHANGES[changed]
    caused(text_program("", "reference"), text_program(changed, "port"), TEXTS, words)


@pytest.mark.parametrize(
    ("reference", "port", "words"),
    [
        (
            "with padding_idx",
            "padding_idx",
            "row 0, padding_idx in the reference, is trained in the port",
        ),
        ("padding_idx", "with padding_idx", "row 0 is not trained, as padding_idx=0 has it"),
    ],
)
def test_a_padding_row_that_trains_on_one_side_is_named(reference, port, words):
    """Without a mask, or the row would have no gradient anyway."""
    programs = text_program(reference, "reference"), text_program(port, "port")
    check_port(programs[0], text_program(reference, "port"), TEXTS, steps=2).assert_passed()
    caused(*programs, TEXTS, words, rung="gradients", code="padding_idx")


class Masked(nn.Module):
    """Attention whose mask is a number that is added to its scores."""

    def __init__(self, changed=""):
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.head = nn.Linear(4, WIDTH), nn.Linear(WIDTH, 3)
        self.changed = changed

    def forward(self, x, shown):
        x = self.inner(x)
        hidden = shown if self.changed == "sense" else 1 - shown
        scores = x @ x.mT + hidden[:, None, :] * (1e4 if self.changed == "sign" else -1e4)
        return self.head(scores.softmax(-1) @ x).mean(1)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ("sense", "the mask hides what it should show"),
        ("sign", "the mask hides what it should show"),
    ],
)
def test_an_added_mask_of_the_wrong_sign_is_named(changed, words):
    shown = np.ones((6, LENGTH))
    shown[:, 3:] = 0
    inputs = (RNG.normal(size=(6, LENGTH, 4)), shown)
    programs = [TorchProgram(Masked(c), loss=fn.cross_entropy, name=c or "right")
                for c in ("", "", changed)]  # fmt: skip
    given = [(inputs, RNG.integers(0, 3, 6))]
    check_port(programs[0], programs[1], given).assert_passed()
    caused(programs[0], programs[2], given, words)


# --- modules: their order, their precision; how they are trained ---------------------------------

ROWS = [(RNG.normal(size=(8, 4)), RNG.integers(0, 3, 8)) for _ in range(3)]


class TorchBlock(nn.Module):
    """Two residual branches, each with a norm before it or behind the sum."""

    def __init__(self, post=False):
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.norm1, self.norm2 = nn.Linear(4, 6), nn.LayerNorm(6), nn.LayerNorm(6)
        self.mix, self.up, self.down = nn.Linear(6, 6), nn.Linear(6, 9), nn.Linear(9, 6)
        self.head, self.post = nn.Linear(6, 3), post

    def forward(self, x):
        x = self.inner(x)
        if self.post:
            x = self.norm1(x + self.mix(x))
            return self.head(self.norm2(x + self.down(torch.relu(self.up(x)))))
        x = x + self.mix(self.norm1(x))
        return self.head(x + self.down(torch.relu(self.up(self.norm2(x)))))


class FlaxBlock(fnn.Module):
    post: bool = False
    precision: object = None
    stopped: bool = False

    @fnn.compact
    def __call__(self, x):
        norm1, norm2 = (fnn.LayerNorm(epsilon=1e-5, name=f"norm{i}") for i in (1, 2))
        mix = fnn.Dense(6, name="mix", dtype=self.precision)
        up, down = fnn.Dense(9, name="up"), fnn.Dense(6, name="down")
        head = fnn.Dense(3, name="head")
        x = fnn.Dense(6, name="inner")(x)
        x = jax.lax.stop_gradient(x) if self.stopped else x
        if self.post:
            x = norm1(x + mix(x))
            return head(norm2(x + down(fnn.relu(up(x)))))
        x = x + mix(norm1(x))
        return head(x + down(fnn.relu(up(norm2(x)))))


def torch_block(post=False, optimizer=lambda p: torch.optim.SGD(p, 0.1), frozen=()):
    model = TorchBlock(post)
    for name in frozen:
        model.get_parameter(name).requires_grad = False
    return TorchProgram(model, loss=fn.cross_entropy, optimizer=optimizer)


def flax_block(optimizer=None, **settings):
    optimizer = optax.sgd(0.1) if optimizer is None else optimizer
    return FlaxProgram(FlaxBlock(**settings), loss=jax_cross_entropy, optimizer=optimizer)


@pytest.mark.long
@pytest.mark.parametrize("post", [False, True])
def test_a_norm_before_the_branch_for_one_behind_the_sum_is_named(post):
    check_port(torch_block(post), flax_block(post=post), ROWS, steps=2).assert_passed()
    places = ("after", "before") if post else ("before", "after")
    kinds = "pre-norm for post-norm" if post else "post-norm for pre-norm"
    words = (
        f"norm1 is called {places[0]} mix in the reference, {places[1]} mix in the port: {kinds}"
    )
    caused(torch_block(post), flax_block(post=not post), ROWS, words, code="order of modules")


@pytest.mark.long
@pytest.mark.parametrize(
    ("precision", "words"),
    [
        (jnp.bfloat16, "computed in bfloat16: each of the port's numbers has 8 bits or fewer"),
        (jnp.float16, "computed in float16"),
        (np.float32, "computed in float32: each"),
    ],
)
def test_a_module_in_a_lower_precision_is_named(precision, words):
    verdict = caused(torch_block(), flax_block(precision=precision), ROWS, words, code="precision")
    assert verdict.cause.causes[0].at == "mix"
    assert verdict.failed.worst.what == "output of mix"


def test_numbers_that_saturate_are_no_lower_precision():
    """±1 has few bits in any precision."""
    declared = np.tanh(np.linspace(3, 6, 20))
    state = SimpleNamespace(left=None, dtype="float64")
    narrow = declared.astype(np.float16).astype(float)
    for port_value, is_narrow in ((np.sign(declared), False), (narrow, True)):
        fault = Fault("output of act", lambda _: declared, port_value, 0, 0)
        assert (explain_precision(state, fault) is not None) is is_narrow


@pytest.mark.long
@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_accumulated_gradients_are_named(rule):
    torch_rules = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
    rules = {"sgd": optax.sgd, "adam": optax.adam}
    reference = torch_block(optimizer=lambda p: torch_rules[rule](p, 1e-2))
    check_port(reference, flax_block(rules[rule](1e-2)), ROWS, steps=3).assert_passed()
    for dtype, words in ((np.float64, ""), (np.float32, ", in float32")):
        with jax.enable_x64(True):
            steps = optax.MultiSteps(rules[rule](1e-2), 2, accumulator_dtype=dtype)
        words = f"gradients accumulated over 2 steps, averaged, for one update{words}"
        verdict = caused(reference, flax_block(steps), ROWS, words, rung="step")
        assert ("float32" in verdict.cause.text) is (dtype is np.float32)


def labels(params):
    return {name: "frozen" if name == "inner" else "trained" for name in params}


@pytest.mark.long
def test_frozen_parameters_are_named_on_either_side():
    frozen = optax.multi_transform(
        {"trained": optax.sgd(0.1), "frozen": optax.set_to_zero()}, labels
    )
    parameters = ("inner.weight", "inner.bias")
    only = lambda p: torch.optim.SGD([q for q in p if q.requires_grad], 0.1)  # noqa: E731
    reference = torch_block(optimizer=only, frozen=parameters)
    check_port(reference, flax_block(frozen), ROWS, steps=2).assert_passed()
    caused(torch_block(), flax_block(frozen), ROWS, "no training on inner alone", rung="step")
    words = "the reference doesn't move inner.weight, inner.bias, the port does"
    caused(reference, flax_block(), ROWS, words, rung="step")
    stopped = flax_block(stopped=True)
    words = "no gradient on inner alone: none passes below norm1"
    caused(torch_block(), stopped, ROWS, words, rung="gradients")


# --- a reference in Linen, whose lines can't be changed from outside -----------------------------


class LinenBlock(fnn.Module):
    @fnn.compact
    def __call__(self, x):
        x = fnn.Dense(6, name="inner")(x)
        x = x + fnn.Dense(6, name="mix")(fnn.gelu(fnn.LayerNorm(name="norm")(x)))
        x = x + fnn.Dense(6, name="down")(fnn.silu(fnn.Dense(9, name="gate")(x))
                                          * fnn.Dense(9, name="up")(x))  # fmt: skip
        return fnn.Dense(3, name="head")(fnn.RMSNorm(name="last")(x))


class TorchOfLinen(nn.Module):
    def __init__(self, changed=""):
        super().__init__()
        self.inner, self.mix, self.head = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.gate, self.up, self.down = nn.Linear(6, 9), nn.Linear(6, 9), nn.Linear(9, 6)
        self.norm = nn.LayerNorm(6, eps=1e-5 if changed == "LayerNorm" else 1e-6)
        self.last = nn.RMSNorm(6, eps=3e-4 if changed == "RMSNorm" else 1e-6)
        self.changed = changed

    def forward(self, x):
        x = self.inner(x)
        form = "none" if self.changed == "gelu" else "tanh"
        y = self.mix(fn.gelu(self.norm(x), approximate=form))
        x = y if self.changed == "forgotten" else (2 * x if self.changed == "doubled" else x) + y
        gate = fn.gelu if self.changed == "gate" else fn.silu
        return self.head(self.last(x + self.down(gate(self.gate(x)) * self.up(x))))


LINEN_CHANGES = {
    "LayerNorm": "norm: ε = 1e-5 in place of 1e-6",
    "RMSNorm": "last: ε = 3e-4 in place of 1e-6",
    "gelu": "exact gelu in place of gelu by tanh",
    "gate": "exact gelu in place of silu",
    "forgotten": "a sum without its first term, as a residual that is forgotten",
    "doubled": "a sum with its first term twice, as a residual that is doubled",
}


def linen_programs(changed):
    reference = FlaxProgram(LinenBlock(), loss=jax_cross_entropy, optimizer=optax.sgd(0.1))
    port = TorchProgram(
        TorchOfLinen(changed),
        loss=fn.cross_entropy,
        optimizer=lambda p: torch.optim.SGD(p, 0.1),
    )
    return reference, port


def test_a_right_port_of_a_linen_model_passes():
    check_port(*linen_programs(""), ROWS, steps=2).assert_passed()


@pytest.mark.long
@pytest.mark.parametrize("changed", LINEN_CHANGES)
def test_a_port_of_a_linen_model_is_named(changed):
    caused(*linen_programs(changed), ROWS, LINEN_CHANGES[changed])


class LinenNorms(fnn.Module):
    @fnn.compact
    def __call__(self, x, train=True):
        x = fnn.Dense(8, name="inner")(x)
        x = fnn.BatchNorm(use_running_average=not train, momentum=0.9, name="batch")(x)
        return fnn.Dense(3, name="head")(fnn.GroupNorm(2, name="groups")(x))


class TorchNorms(nn.Module):
    def __init__(self, changed=""):
        super().__init__()
        self.inner = nn.Linear(4, 8)
        self.batch = nn.BatchNorm1d(8, eps=1e-3 if changed == "BatchNorm" else 1e-5)
        eps = 1e-5 if changed == "GroupNorm" else 1e-6
        self.groups = nn.GroupNorm(4 if changed == "groups" else 2, 8, eps=eps)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.groups(self.batch(self.inner(x))))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ("BatchNorm", "batch: ε = 0.001 in place of 1e-5"),
        ("GroupNorm", "groups: ε = 1e-5 in place of 1e-6"),
        ("groups", "groups: 4 groups in place of 2"),
    ],
)
def test_a_norm_of_a_linen_model_is_named(changed, words):
    caused(FlaxProgram(LinenNorms()), TorchProgram(TorchNorms(changed)), ROWS, words)
