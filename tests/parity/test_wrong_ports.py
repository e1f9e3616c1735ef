"""Ports that once passed though they are wrong, and programs that can't be compared at all."""

import copy
import itertools
import random
import re

import flax.linen as fnn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from torch import nn

from mnist_fn import InputError
from mnist_fn.parity import JaxProgram, check_port, record
from tests.parity.test_right_ports import (
    CE,
    FlaxDropped,
    FlaxMLP,
    TorchDropped,
    TorchMLP,
    batches,
    flax_program,
    torch_program,
)
from tests.support.port_models import jax_cross_entropy
from torch_ref.parity import TorchProgram

# --- not deterministic -------------------------------------------------------------------------

COUNTER = itertools.count()
SOURCES = {
    "random": random.random,
    "np.random": lambda: float(np.random.default_rng().random()),
    "a counter": lambda: float(next(COUNTER)),
}


class TorchNoisy(TorchMLP):
    source = "random"

    def forward(self, x):
        return self.head(torch.tanh(self.body(x)) + SOURCES[self.source]())


@pytest.mark.parametrize("source", SOURCES)
def test_a_reference_that_is_not_deterministic_is_refused(source):
    model = TorchNoisy()
    model.source = source
    with pytest.raises(InputError, match=r"PyTorch: is not deterministic: .*output 0 of head"):
        check_port(torch_program(model), flax_program(FlaxMLP()), batches())


@pytest.mark.parametrize("source", SOURCES)
def test_a_traced_port_that_is_not_deterministic_is_refused(source):
    """Within one trace the number is a constant: a second trace shows it."""

    def apply(params, x):
        return x @ params["kernel"] + params["bias"] + 0 * SOURCES[source]()

    params = {"kernel": jnp.zeros((6, 5)), "bias": jnp.zeros(5)}
    port = JaxProgram(apply, params, loss=jax_cross_entropy, optimizer=optax.sgd(0.1))
    check_port(torch_program(nn.Linear(6, 5)), port, batches(), steps=1).assert_passed()

    def noisy(params, x):
        return x @ params["kernel"] + params["bias"] + 1e-3 * SOURCES[source]()

    port = JaxProgram(noisy, params, loss=jax_cross_entropy, optimizer=optax.sgd(0.1))
    with pytest.raises(InputError, match=r"JAX: is not deterministic: .*second trace"):
        check_port(torch_program(nn.Linear(6, 5)), port, batches())


class TorchRouter(nn.Module):
    """Each row goes to one of two experts; the router's weights start at 0."""

    def __init__(self):
        super().__init__()
        self.router = nn.Linear(6, 2, bias=False)
        self.first, self.second = nn.Linear(6, 5), nn.Linear(6, 5)
        nn.init.zeros_(self.router.weight)

    def forward(self, x):
        chosen = self.router(x).argmax(-1, keepdim=True)
        return torch.where(chosen == 0, self.first(x), self.second(x))


class FlaxRouter(fnn.Module):
    factor: float = 1.0

    @fnn.compact
    def __call__(self, x):
        scores = fnn.Dense(2, use_bias=False, name="router")(x)
        first, second = fnn.Dense(5, name="first")(x), fnn.Dense(5, name="second")(x)
        return self.factor * jnp.where(scores.argmax(-1, keepdims=True) == 0, first, second)


def test_no_control_run_lifts_a_bound_above_a_share_of_the_figure():
    """A control run moves the router's zeros, which sends rows elsewhere; × 0.5 is no rounding."""
    torch.manual_seed(0)
    reference = torch_program(TorchRouter())
    check_port(reference, flax_program(FlaxRouter()), batches(), steps=2).assert_passed()
    verdict = check_port(reference, flax_program(FlaxRouter(0.5)), batches(), steps=2)
    assert verdict.failed.name == "outputs"


# --- dropout -----------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.0, 0.1])
def test_another_rate_of_dropout_fails_its_rung(rate):
    torch.manual_seed(0)
    programs = torch_program(TorchDropped()), flax_program(FlaxDropped(rate))
    verdict = check_port(*programs, batches(), steps=2)
    assert verdict.failed.name == "randomness"
    theirs = f"{rate:g}" if rate else "none"
    assert f"rates of dropout: 0.25 in the reference, {theirs} in the port" in verdict.text
    assert f"why: the modules: rates of dropout: {theirs} in place of 0.25" in verdict.text
    assert verdict.cause.to_dict()["causes"][0]["code"] == "dropout"


def test_dropout_that_cannot_be_read_is_not_called_compared():
    def apply(params, x):
        x = jnp.tanh(x @ params["body"]["kernel"] + params["body"]["bias"])
        return x @ params["head"]["kernel"] + params["head"]["bias"]

    params = {
        "body": {"kernel": jnp.zeros((6, 8)), "bias": jnp.zeros(8)},
        "head": {"kernel": jnp.zeros((8, 5)), "bias": jnp.zeros(5)},
    }
    port = JaxProgram(apply, params, loss=jax_cross_entropy, optimizer=optax.sgd(0.1))
    verdict = check_port(torch_program(TorchDropped()), port, batches(), steps=2)
    assert verdict.passed
    assert verdict.summary.endswith("; dropout not compared")
    assert "not checked, because JAX shows no modules, whose dropout" in verdict.text


# --- what can't be compared is one line, exit code 2 -------------------------------------------


def fails(*_):
    raise KeyError("nothing\nof the kind")


class Runs:
    """A class of a user's own with a method of a program."""

    def run(self):
        """Nothing."""


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: (nn.Linear(6, 5), flax_program(FlaxMLP())),
            "reference is a Linear, not a program",
        ),
        (lambda: (torch_program(TorchMLP()), fnn.Dense(5)), "port is a Dense, not a program"),
        (lambda: (torch_program(TorchMLP()), Runs()), "port is a Runs, not a program"),
        (
            lambda: (
                torch_program(TorchMLP(), optimizer=torch.optim.SGD(TorchMLP().parameters(), 0.1)),
                flax_program(FlaxMLP()),
            ),
            "PyTorch: optimizer is a SGD, not a function",
        ),
        (
            lambda: (torch_program(TorchMLP(), before_step=fails), flax_program(FlaxMLP())),
            "PyTorch: before_step raises KeyError: 'nothing",
        ),
        (
            lambda: (torch_program(TorchMLP(), scheduler=fails), flax_program(FlaxMLP())),
            "PyTorch: scheduler raises KeyError: 'nothing",
        ),
        (
            lambda: (
                torch_program(TorchMLP(), optimizer=lambda p: torch.optim.LBFGS(p)),
                flax_program(FlaxMLP()),
            ),
            "PyTorch: a step of LBFGS calls the loss several times by a closure",
        ),
    ],
)
def test_what_cannot_be_compared_is_one_line(make, words):
    with pytest.raises(InputError, match=re.escape(words)) as error:
        check_port(*make(), batches())
    assert "\n" not in str(error.value)


def test_what_is_recorded_is_a_program(tmp_path):
    with pytest.raises(InputError, match="reference is a Linear, not a program"):
        record(nn.Linear(6, 5), batches(), tmp_path / "r")  # pyright: ignore


def test_no_warning_of_arithmetic_reaches_a_user():
    """Stress states overflow; pytest makes an error of every warning."""

    class TorchExponential(TorchMLP):
        def forward(self, x):
            return self.head(torch.exp(self.body(x)))

    class FlaxExponential(fnn.Module):
        @fnn.compact
        def __call__(self, x):
            x = jnp.exp(fnn.Dense(8, name="body")(x))
            return 2 * fnn.Dense(5, name="head")(x)

    torch.manual_seed(0)
    programs = torch_program(TorchExponential()), flax_program(FlaxExponential())
    verdict = check_port(*programs, batches(scale=60.0), steps=2)
    assert not verdict.passed


def test_dropout_drawn_by_hand_is_refused_with_what_to_do():
    class Dropped(fnn.Module):
        @fnn.compact
        def __call__(self, x):
            x = jnp.tanh(fnn.Dense(8, name="body")(x))
            kept = jax.random.bernoulli(self.make_rng("dropout"), 0.9, x.shape)
            return fnn.Dense(5, name="head")(x * kept / 0.9)

    with pytest.raises(InputError, match="set its rate to 0"):
        check_port(torch_program(TorchMLP()), flax_program(Dropped()), batches())


# --- what is named -----------------------------------------------------------------------------


def named(reference, port, given, words, steps=8, rung=None):
    verdict = check_port(reference, port, given, steps=steps)
    assert not verdict.passed
    assert verdict.cause is not None, verdict.text
    assert verdict.cause.found, verdict.text
    assert words in verdict.cause.text, verdict.text
    assert rung in (None, verdict.failed.name)
    return verdict


class TorchPooled(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, padding=1)
        self.pool = nn.AvgPool2d(3, 1, padding=1, count_include_pad=False)
        self.head = nn.Linear(3 * 6 * 6, 4)

    def forward(self, x):
        return self.head(self.pool(torch.relu(self.conv(x))).flatten(1))


class FlaxPooled(fnn.Module):
    @fnn.compact
    def __call__(self, x):
        x = fnn.relu(fnn.Conv(3, (3, 3), padding=1, name="conv")(x))
        x = fnn.avg_pool(x, (3, 3), (1, 1), padding=((1, 1), (1, 1)))
        return fnn.Dense(4, name="head")(x.transpose(0, 3, 1, 2).reshape(len(x), -1))


def test_padding_that_is_not_counted_is_named_and_no_other_padding():
    rng = np.random.default_rng(0)
    images = [(rng.normal(size=(3, 2, 6, 6)), rng.integers(0, 4, 3))]
    torch.manual_seed(0)
    verdict = named(
        torch_program(TorchPooled()), flax_program(FlaxPooled()), images, "count_include_pad=True"
    )
    assert len(verdict.cause.causes) == 1


WEIGHTS = np.array([0.55, 1.0, 2.0, 0.7, 1.3])


def weighted(z, y, weights, smoothing, by_count):
    """PyTorch's cross-entropy with weights of classes and label smoothing."""
    weights = jnp.asarray(weights)
    logs = jax.nn.log_softmax(z)
    hot = jax.nn.one_hot(y, z.shape[1], dtype=z.dtype)
    hard = -(logs * hot).sum(1) * weights[y]
    spread = -(logs * weights).sum(1)
    total = (1 - smoothing) * hard.sum() + smoothing / z.shape[1] * spread.sum()
    return total / (len(y) if by_count else weights[y].sum())


LOSSES = {
    "label smoothing 0 in place of 0.1": {"smoothing": 0.0},
    "no weights of classes": {"weights": np.ones(5)},
    "weights of classes averaged by count": {"by_count": True},
}


def torch_weighted(z, y):
    weights = torch.tensor(WEIGHTS, dtype=z.dtype)
    return nn.functional.cross_entropy(z, y, weights, label_smoothing=0.1)


@pytest.mark.parametrize("words", LOSSES)
def test_a_forgotten_argument_of_the_loss_is_named_and_the_others_are_kept(words):
    right = {"weights": WEIGHTS, "smoothing": 0.1, "by_count": False}
    wrong = {**right, **LOSSES[words]}
    torch.manual_seed(0)
    reference = torch_program(TorchMLP(), loss=torch_weighted)
    port = flax_program(FlaxMLP(), loss=lambda z, y: weighted(z, y, **right))
    check_port(reference, port, batches(), steps=2).assert_passed()
    port = flax_program(FlaxMLP(), loss=lambda z, y: weighted(z, y, **wrong))
    named(reference, port, batches(), words, rung="loss")


def exponential(optimizer):
    return torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)


RULES = {
    "gradients not clipped, the reference's to 0.05": (
        {"before_step": lambda p: nn.utils.clip_grad_norm_(p, 0.05)},
        optax.sgd(0.1),
    ),
    "no schedule: the rate stays 0.1, the reference's is × 1, 0.9, 0.81, 0.729": (
        {"scheduler": exponential},
        optax.sgd(0.1),
    ),
    "the schedule is a step ahead of the reference's": (
        {"scheduler": exponential},
        optax.sgd(lambda count: 0.1 * 0.9 ** (count + 1)),
    ),
    "learning rate 0.2 in place of 0.1": (
        {"scheduler": exponential},
        optax.sgd(lambda count: 0.2 * 0.9**count),
    ),
    "no AMSGrad": (
        {"optimizer": lambda p: torch.optim.Adam(p, 1e-2, amsgrad=True)},
        optax.adam(1e-2),
    ),
    "AMSGrad, its maximum of the corrected v": (
        {"optimizer": lambda p: torch.optim.Adam(p, 1e-2, amsgrad=True)},
        optax.amsgrad(1e-2),
    ),
    "optax.rmsprop's defaults: decay 0.9 and ε inside the root": (
        {"optimizer": lambda p: torch.optim.RMSprop(p, 1e-3)},
        optax.rmsprop(1e-3),
    ),
    "optax.adagrad's defaults": (
        {"optimizer": lambda p: torch.optim.Adagrad(p, 1e-2)},
        optax.adagrad(1e-2),
    ),
    "no dampening": (
        {"optimizer": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, dampening=0.5)},
        optax.sgd(0.1, momentum=0.9),
    ),
    "β₂ = 0.9 in place of 0.999": (
        {"optimizer": lambda p: torch.optim.Adamax(p, 1e-3)},
        optax.adamax(1e-3, b2=0.9),
    ),
    "decay = 0.8 in place of 0.9": (
        {"optimizer": lambda p: torch.optim.Adadelta(p, 0.1, rho=0.9)},
        optax.adadelta(0.1, rho=0.8, eps=1e-6),
    ),
    "not centered": (
        {"optimizer": lambda p: torch.optim.RMSprop(p, 1e-3, alpha=0.9, centered=True)},
        optax.rmsprop(1e-3, decay=0.9, eps_in_sqrt=False),
    ),
    "no momentum": (
        {"optimizer": lambda p: torch.optim.RMSprop(p, 1e-3, alpha=0.9, momentum=0.9)},
        optax.rmsprop(1e-3, decay=0.9, eps_in_sqrt=False),
    ),
    "momentum = 0.5 in place of 0.9": (
        {"optimizer": lambda p: torch.optim.RMSprop(p, 1e-3, alpha=0.9, momentum=0.9)},
        optax.rmsprop(1e-3, decay=0.9, momentum=0.5, eps_in_sqrt=False),
    ),
    "decay = 0.9 in place of 0.99": (
        {"optimizer": lambda p: torch.optim.RMSprop(p, 1e-3)},
        optax.rmsprop(1e-3, decay=0.9, eps_in_sqrt=False),
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("words", RULES)
def test_what_was_forgotten_of_an_update_is_named(words):
    more, optimizer = RULES[words]
    torch.manual_seed(0)
    reference, port = (
        torch_program(TorchMLP(), **more),
        flax_program(FlaxMLP(), optimizer=optimizer),
    )
    named(reference, port, batches(n=6), words)


def test_what_clipping_adds_hides_no_tensor_that_differs():
    """Its 1e-6 moves every tensor; with that taken out only the wrong ones are left."""
    torch.manual_seed(0)
    reference = torch_program(TorchMLP(), before_step=lambda p: nn.utils.clip_grad_norm_(p, 0.05))
    rates = {"body": optax.sgd(0.1), "head": optax.sgd(0.1001)}
    labels = {name: dict.fromkeys(("kernel", "bias"), name) for name in rates}
    optimizer = optax.chain(optax.clip_by_global_norm(0.05), optax.multi_transform(rates, labels))
    verdict = check_port(reference, flax_program(FlaxMLP(), optimizer=optimizer), batches())
    assert verdict.failed.name == "step"
    assert {check.what for check in verdict.failed.failed} == {
        "step 1: head.weight", "step 1: head.bias",
    }  # fmt: skip


def test_a_port_in_float32_is_told_at_once():
    class Single(FlaxMLP):
        @fnn.compact
        def __call__(self, x):
            x = jnp.tanh(fnn.Dense(8, name="body", dtype=np.float32)(x))
            return fnn.Dense(5, name="head", dtype=np.float32)(x)

    with pytest.raises(InputError, match="Flax: gives float32 where float64 is compared"):
        check_port(torch_program(TorchMLP()), flax_program(Single()), batches())


class TorchNorm(TorchMLP):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(8)

    def forward(self, x):
        return self.head(self.norm(self.body(x)))


class FlaxNorm(fnn.Module):
    @fnn.compact
    def __call__(self, x):
        x = fnn.LayerNorm(name="norm")(fnn.Dense(8, name="body")(x))
        return fnn.Dense(5, name="head")(x)


def test_a_search_ends_with_its_budget():
    torch.manual_seed(0)
    programs = torch_program(TorchNorm()), flax_program(FlaxNorm())
    verdict = check_port(*programs, batches(), budget=0.0)
    assert "the search ended after 0 s of CPU, its budget" in verdict.text
    assert "ε = 1e-6 in place of 1e-5" in check_port(*programs, batches()).text


class TorchPooler(TorchMLP):
    def __init__(self):
        super().__init__()
        self.pooler = nn.Linear(8, 8)


class FlaxPooler(fnn.Module):
    @fnn.compact
    def __call__(self, x):
        x = jnp.tanh(fnn.Dense(8, name="body")(x))
        fnn.Dense(8, name="pooler")(x)
        return fnn.Dense(5, name="head")(x)


def test_a_parameter_without_a_gradient_is_skipped_by_torch_and_decayed_by_optax():
    torch.manual_seed(0)
    reference = torch_program(TorchPooler(), optimizer=lambda p: torch.optim.AdamW(p, 1e-3))
    port = flax_program(FlaxPooler(), optimizer=optax.adamw(1e-3, weight_decay=0.01))
    words = "the reference doesn't move pooler.weight, pooler.bias, the port does"
    named(reference, port, batches(), words, rung="step")


class Doubled(fnn.Module):
    @fnn.compact
    def __call__(self, x):
        x = jnp.tanh(fnn.Dense(8, name="body")(x))
        x = fnn.Dense(5, name="head")(x)
        return jnp.concatenate([x, x])


def test_an_output_of_another_shape_is_no_nan_against_nan():
    torch.manual_seed(0)
    loss = lambda z, y: jax_cross_entropy(z[:8], y)  # noqa: E731
    verdict = check_port(torch_program(TorchMLP()), flax_program(Doubled(), loss=loss), batches())
    assert verdict.failed.name == "outputs"
    assert "nan" not in verdict.text


# --- programs that fail while the cause is looked for ------------------------------------------


class TorchFragile(TorchMLP):
    """Wrong at small weights, in a way that has no name; fails at large ones."""

    def forward(self, x):
        size = float(self.body.weight.detach().abs().max())
        if size > 2:
            raise RuntimeError("these weights are too large")
        y = super().forward(x)
        return y + torch.sin(7 * y) if size < 0.1 else y


def test_a_port_that_fails_in_a_state_to_come_has_its_verdict():
    model = TorchFragile()
    verdict = check_port(torch_program(TorchMLP()), torch_program(model), batches())
    assert verdict.failed.name == "stress states"
    assert verdict.failed.worst.what.startswith("weights × 0.1")
    assert not verdict.cause.found


def test_a_port_that_fails_at_scaled_weights_has_its_loss_explained():
    """A traced reference's loss is told from others by the losses at scaled weights."""
    port = torch_program(TorchFragile(), loss=lambda y, t: nn.functional.cross_entropy(y, t) / 2)
    verdict = check_port(flax_program(FlaxMLP()), port, batches())
    assert verdict.failed.name == "loss"
    assert verdict.cause is not None


class Late(TorchProgram):
    """Makes no pass any more after the third step of a training."""

    late = False

    def train(self, *arguments, **named):
        for number, step in enumerate(super().train(*arguments, **named), start=1):
            self.late = self.late or number == 3
            yield step

    def run(self, *arguments, **named):
        if self.late:
            raise RuntimeError("it is too late")
        return super().run(*arguments, **named)


class TorchMarked(TorchMLP):
    """Wrong where the inputs begin with a mark."""

    def forward(self, x):
        y = super().forward(x)
        return y + torch.sin(7 * y) if float(x[0, 0]) == 0.125 else y


def test_a_port_that_fails_before_the_step_that_differs_has_its_verdict():
    turns = batches(n=4)
    turns[2][0][0, 0] = 0.125
    more = {"loss": CE, "optimizer": lambda p: torch.optim.SGD(p, 0.1)}
    verdict = check_port(torch_program(TorchMLP()), Late(TorchMarked(), **more), turns)
    assert verdict.failed.name == "trajectory"
    assert verdict.cause.holds
    assert "the reference's rule makes the port's weights of the port's own gradients" in (
        verdict.text
    )


class Unrounded(TorchProgram):
    """Has an operation that can't be rounded at random, as those of higher order."""

    refused = 0

    def run(self, weights, batch, train=True, variant=None):
        if variant is not None and variant.draw is not None:
            self.refused += 1
            raise NotImplementedError("no rule for this operation in this mode")
        return super().run(weights, batch, train, variant)


def test_an_operation_that_can_not_be_rounded_at_random_fails_no_rung():
    model = TorchMLP()
    reference = Unrounded(model, loss=CE, optimizer=lambda p: torch.optim.SGD(p, 0.1))
    port = torch_program(copy.deepcopy(model), loss=lambda y, t: (1 + 1e-9) * CE(y, t))
    verdict = check_port(reference, port, batches())
    assert reference.refused
    assert verdict.failed.name == "loss"
    assert "NotImplementedError" not in verdict.text


def test_the_declared_number_is_the_one_that_was_computed_with_in_float64():
    """A norm without ε takes that of the dtype; a pass in float32 has another."""
    reference = torch_program(nn.Sequential(nn.Linear(6, 8), nn.RMSNorm(8), nn.Linear(8, 5)))
    port = torch_program(nn.Sequential(nn.Linear(6, 8), nn.RMSNorm(8, eps=1e-6), nn.Linear(8, 5)))
    verdict = check_port(reference, port, batches())
    assert "ε = 1e-6 in place of 2.220446e-16" in verdict.text
