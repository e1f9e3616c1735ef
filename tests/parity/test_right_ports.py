"""Right ports that were once refused: each computes what its reference does, and passes."""

import copy
import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import flax
import flax.linen as fnn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from torch import nn

from mnist_fn.parity import FlaxProgram, JaxProgram, Recording, check_port, record
from mnist_fn.parity.widening import widened
from mnist_fn.shared.parity import ladder_state
from mnist_fn.shared.parity.program import Batch
from tests.support.port_models import jax_cross_entropy
from torch_ref.parity import TorchProgram

CE = nn.functional.cross_entropy


def batches(inputs=6, classes=5, rows=8, n=2, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    return [
        (scale * rng.normal(size=(rows, inputs)), rng.integers(0, classes, rows)) for _ in range(n)
    ]


def torch_program(model, **more):
    defaults = {"loss": CE, "optimizer": lambda p: torch.optim.SGD(p, 0.1)}
    return TorchProgram(model, **{**defaults, **more})


def flax_program(module, **more):
    return FlaxProgram(module, **{"loss": jax_cross_entropy, "optimizer": optax.sgd(0.1), **more})


class TorchMLP(nn.Module):
    def __init__(self, inputs=6, width=8, classes=5, dtype=None):
        super().__init__()
        self.body = nn.Linear(inputs, width, dtype=dtype)
        self.head = nn.Linear(width, classes, dtype=dtype)

    def forward(self, x):
        return self.head(torch.tanh(self.body(x)))


class FlaxMLP(fnn.Module):
    width: int = 8
    classes: int = 5

    @fnn.compact
    def __call__(self, x):
        x = jnp.tanh(fnn.Dense(self.width, name="body")(x))
        return fnn.Dense(self.classes, name="head")(x)


# --- rounding is measured ----------------------------------------------------------------------


class TorchDeep(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(6, 16), nn.Linear(16, 16), nn.Linear(16, 5)

    def forward(self, x):
        return self.fc3(torch.tanh(self.fc2(torch.tanh(self.fc1(x)))))


class FlaxDeep(fnn.Module):
    @fnn.compact
    def __call__(self, x):
        x = jnp.tanh(fnn.Dense(16, name="fc1")(x))
        return fnn.Dense(5, name="fc3")(jnp.tanh(fnn.Dense(16, name="fc2")(x)))


OPTIMIZERS = {
    "centered RMSprop": (
        lambda p: torch.optim.RMSprop(p, 1e-3, alpha=0.9, centered=True),
        optax.rmsprop(1e-3, decay=0.9, centered=True, eps_in_sqrt=False),
    ),
    "RMSprop with momentum": (
        lambda p: torch.optim.RMSprop(p, 1e-3, alpha=0.9, momentum=0.9),
        optax.rmsprop(1e-3, decay=0.9, momentum=0.9, eps_in_sqrt=False),
    ),
    "Adamax": (lambda p: torch.optim.Adamax(p, 2e-3), optax.adamax(2e-3)),
    "NAdam": (lambda p: torch.optim.NAdam(p, 2e-3), None),
}


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "NAdam"])
def test_an_optimizer_without_a_known_rule_has_the_measured_bound(name):
    torch_optimizer, optax_optimizer = OPTIMIZERS[name]
    torch.manual_seed(0)
    reference = torch_program(TorchDeep(), optimizer=torch_optimizer)
    port = flax_program(FlaxDeep(), optimizer=optax_optimizer)
    check_port(reference, port, batches(), steps=10).assert_passed()


def attention(params, x, heads=2):
    """Self-attention whose key bias has a gradient that is 0 in exact arithmetic."""
    split = lambda t: t.reshape(*t.shape[:-1], heads, -1).swapaxes(-3, -2)  # noqa: E731
    q, k, v = (split(x @ params[name]["kernel"] + params[name]["bias"]) for name in "qkv")
    weights = jax.nn.softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]), -1)
    joined = (weights @ v).swapaxes(-3, -2).reshape(x.shape)
    return joined.mean(-2) @ params["head"]["kernel"] + params["head"]["bias"]


class TorchAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(8, 8) for _ in range(3))
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        q, k, v = (f(x).unflatten(-1, (2, -1)).transpose(-3, -2) for f in (self.q, self.k, self.v))
        y = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.head(y.transpose(-3, -2).flatten(-2).mean(-2))


def attention_programs(scale=1.0):
    torch.manual_seed(0)
    model = TorchAttention()
    shapes = {n: {"kernel": np.zeros((8, 8)), "bias": np.zeros(8)} for n in "qkv"}
    shapes["head"] = {"kernel": np.zeros((8, 5)), "bias": np.zeros(5)}
    port = JaxProgram(
        lambda params, x: attention(params, x) * scale,
        shapes,
        loss=jax_cross_entropy,
        optimizer=optax.adam(1e-3),
    )
    return torch_program(model, optimizer=lambda p: torch.optim.Adam(p, 1e-3)), port


def tokens():
    rng = np.random.default_rng(0)
    return [(rng.normal(size=(6, 5, 8)), rng.integers(0, 5, 6)) for _ in range(2)]


def test_sums_that_cancel_are_held_to_what_float32_changes(monkeypatch):
    """A key's bias at weights × 10: no share of the largest entry tells its rounding."""
    check_port(*attention_programs(), tokens(), steps=10).assert_passed()
    saturated = batches(scale=30.0)
    torch.manual_seed(0)
    programs = torch_program(TorchDeep()), flax_program(FlaxDeep())
    check_port(*programs, saturated, steps=3).assert_passed()
    monkeypatch.setattr(ladder_state, "held_to_runs", lambda check, *_: check)
    assert not check_port(*programs, saturated, steps=3).passed


def test_a_wrong_factor_of_1e_9_is_no_rounding():
    verdict = check_port(*attention_programs(scale=1 + 1e-9), tokens(), steps=2)
    assert verdict.failed.name == "outputs"


# --- outputs that are not one tensor -----------------------------------------------------------


@dataclasses.dataclass
class TorchOutput:
    logits: Any
    hidden: Any


@flax.struct.dataclass
class FlaxOutput:
    logits: Any
    hidden: Any


class NamedOutput(NamedTuple):
    logits: Any
    hidden: Any


class TorchPacked(nn.Module):
    def __init__(self, pack):
        super().__init__()
        self.body, self.head, self.pack = nn.Linear(6, 8), nn.Linear(8, 5), pack

    def forward(self, x):
        hidden = torch.tanh(self.body(x))
        return self.pack(self.head(hidden), hidden)


class FlaxPacked(fnn.Module):
    pack: Any
    factor: float = 1.0

    @fnn.compact
    def __call__(self, x):
        hidden = jnp.tanh(fnn.Dense(8, name="body")(x))
        return self.pack(fnn.Dense(5, name="head")(hidden), self.factor * hidden)


def pair(logits, hidden):
    return logits, hidden


def keyed(logits, hidden):
    return {"logits": logits, "hidden": hidden}


FORMS = {
    "tuple": (pair, pair, lambda out: out[0]),
    "named tuple": (NamedOutput, NamedOutput, lambda out: out.logits),
    "dict": (keyed, keyed, lambda out: out["logits"]),
    "dataclass": (TorchOutput, FlaxOutput, lambda out: out.logits),
}


def packed_programs(form, factor=1.0):
    torch_pack, flax_pack, logits = FORMS[form]
    torch.manual_seed(0)
    return (
        torch_program(TorchPacked(torch_pack), loss=lambda out, y: CE(logits(out), y)),
        flax_program(
            FlaxPacked(flax_pack, factor), loss=lambda out, y: jax_cross_entropy(logits(out), y)
        ),
    )


@pytest.mark.parametrize("form", FORMS)
def test_outputs_of_any_structure_are_matched_by_name(form):
    check_port(*packed_programs(form), batches(), steps=3).assert_passed()


@pytest.mark.parametrize(("form", "name"), [("tuple", "outputs[1]"), ("dict", 'outputs["hidden"]')])
def test_the_output_that_differs_is_named_by_its_key(form, name):
    verdict = check_port(*packed_programs(form, factor=2.0), batches())
    assert verdict.failed.name == "outputs"
    assert name in verdict.text


# --- running averages of a plain function ------------------------------------------------------


class TorchNormed(nn.Module):
    def __init__(self, momentum=0.1):
        super().__init__()
        norm = nn.BatchNorm1d(6, momentum=momentum)
        self.inner, self.bn, self.head = nn.Linear(6, 6), norm, nn.Linear(6, 5)

    def forward(self, x):
        return self.head(torch.relu(self.bn(self.inner(x))))


def normed(kept):
    def apply(params, state, x, train):
        h = x @ params["inner"]["kernel"] + params["inner"]["bias"]
        mean, var = (h.mean(0), h.var(0)) if train else (state["bn"]["mean"], state["bn"]["var"])
        if train:
            old = state["bn"]
            state = {
                "bn": {
                    "mean": kept * old["mean"] + (1 - kept) * mean,
                    "var": kept * old["var"] + (1 - kept) * var,
                }
            }
        h = (h - mean) / jnp.sqrt(var + 1e-5) * params["bn"]["scale"] + params["bn"]["bias"]
        return jax.nn.relu(h) @ params["head"]["kernel"] + params["head"]["bias"], state

    return apply


def normed_program(kept=0.9):
    params = {
        "inner": {"kernel": jnp.zeros((6, 6)), "bias": jnp.zeros(6)},
        "bn": {"scale": jnp.ones(6), "bias": jnp.zeros(6)},
        "head": {"kernel": jnp.zeros((6, 5)), "bias": jnp.zeros(5)},
    }
    state = {"bn": {"mean": jnp.zeros(6), "var": jnp.ones(6)}}
    return JaxProgram(
        normed(kept), params, state=state, loss=jax_cross_entropy, optimizer=optax.sgd(0.1)
    )


def test_the_kept_variance_of_a_plain_function_is_taken_out_and_noted():
    torch.manual_seed(0)
    reference = torch_program(TorchNormed())
    verdict = check_port(reference, normed_program(), batches(), steps=3)
    verdict.assert_passed()
    assert any("unbiased variance" in note for note in verdict.notes)
    wrong = check_port(reference, normed_program(kept=0.99), batches(), steps=3)
    assert wrong.failed.name == "buffers"
    assert "keep 0.99 of what they were" in wrong.text


def test_averages_that_stand_still_need_no_share_to_be_compared():
    torch.manual_seed(0)
    reference = torch_program(TorchNormed(momentum=0.0))
    check_port(reference, normed_program(kept=1.0), batches(), steps=3).assert_passed()
    wrong = check_port(reference, normed_program(kept=0.99), batches(), steps=3)
    assert wrong.failed.name == "buffers"
    assert wrong.cause is None


# --- what goes into a module -------------------------------------------------------------------


class TorchPlaces(nn.Module):
    """Places looked up as [1, L] and broadcast."""

    def __init__(self):
        super().__init__()
        self.tokens, self.places, self.head = (
            nn.Embedding(11, 8),
            nn.Embedding(7, 8),
            nn.Linear(8, 5),
        )

    def forward(self, ids):
        places = self.places(torch.arange(ids.shape[1])[None])
        return self.head((self.tokens(ids) + places).mean(1))


class FlaxPlaces(fnn.Module):
    """The same, looked up as [B, L]."""

    @fnn.compact
    def __call__(self, ids):
        places = jnp.broadcast_to(jnp.arange(ids.shape[1])[None], ids.shape)
        x = fnn.Embed(11, 8, name="tokens")(ids) + fnn.Embed(7, 8, name="places")(places)
        return fnn.Dense(5, name="head")(x.mean(1))


def ids():
    rng = np.random.default_rng(0)
    return [(rng.integers(0, 11, (6, 7)), rng.integers(0, 5, 6)) for _ in range(2)]


def test_what_differs_by_broadcasting_is_equal():
    torch.manual_seed(0)
    verdict = check_port(torch_program(TorchPlaces()), flax_program(FlaxPlaces()), ids(), steps=2)
    verdict.assert_passed()


class TorchPlacesOfIds(nn.Module):
    """Whisper's places: the module has the ids and takes their length."""

    class Places(nn.Embedding):
        def forward(self, ids):
            return self.weight[: ids.shape[1]][None].expand(len(ids), -1, -1)

    def __init__(self):
        super().__init__()
        self.tokens, self.places = nn.Embedding(11, 8), self.Places(7, 8)
        self.head = nn.Linear(8, 5)

    def forward(self, ids):
        return self.head((self.tokens(ids) + self.places(ids)).mean(1))


def test_a_module_of_other_arguments_is_judged_by_what_it_gives():
    torch.manual_seed(0)
    programs = torch_program(TorchPlacesOfIds()), flax_program(FlaxPlaces())
    check_port(*programs, ids(), steps=2).assert_passed()


# --- float32 within a program ------------------------------------------------------------------


class TorchIsland(TorchMLP):
    def forward(self, x):
        x = torch.tanh(self.body(x)).to(torch.float32)
        x = torch.softmax(x, -1, dtype=torch.float32).float()
        return self.head(x)


class FlaxIsland(fnn.Module):
    @fnn.compact
    def __call__(self, x):
        x = jax.nn.softmax(jnp.tanh(fnn.Dense(8, name="body")(x)))
        return fnn.Dense(5, name="head")(x)


def test_a_cast_to_float32_within_a_model_is_float64_and_noted():
    torch.manual_seed(0)
    verdict = check_port(torch_program(TorchIsland()), flax_program(FlaxIsland()), batches())
    verdict.assert_passed()
    assert any("casts to float32" in note for note in verdict.notes)


class FlaxCasting(fnn.Module):
    """As Llama's RMSNorm: a reduction in float32, whatever the dtype."""

    @fnn.compact
    def __call__(self, x):
        x = jnp.tanh(fnn.Dense(8, name="body")(x)).astype(jnp.float32)
        x = jax.nn.softmax(jnp.asarray(x, dtype=jnp.float32))
        return fnn.Dense(5, name="head")(x)


def test_a_cast_to_float32_within_a_port_is_float64_and_noted():
    torch.manual_seed(0)
    single = jnp.float32
    verdict = check_port(torch_program(TorchIsland()), flax_program(FlaxCasting()), batches())
    verdict.assert_passed()
    assert any(note.startswith("Flax: casts to float32") for note in verdict.notes)
    assert jnp.float32 is single


class Embed(fnn.Embed):
    """A subclass that calls its parent's call: one call, as OPT's places."""

    def __call__(self, ids):
        return super().__call__(ids)


class FlaxSubclass(fnn.Module):
    @fnn.compact
    def __call__(self, ids):
        places = jnp.arange(ids.shape[1])[None]
        x = Embed(11, 8, name="tokens")(ids) + fnn.Embed(7, 8, name="places")(places)
        return fnn.Dense(5, name="head")(x.mean(1))


def test_a_call_of_a_parent_class_is_no_second_call():
    torch.manual_seed(0)
    programs = torch_program(TorchPlaces()), flax_program(FlaxSubclass())
    check_port(*programs, ids(), steps=2).assert_passed()


SCHEDULES = {
    "exponential": (
        lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9),
        optax.exponential_decay(0.1, 1, 0.9),
    ),
    "step": (
        lambda o: torch.optim.lr_scheduler.StepLR(o, 3, 0.5),
        optax.exponential_decay(0.1, 3, 0.5, staircase=True),
    ),
    "polynomial": (
        lambda o: torch.optim.lr_scheduler.PolynomialLR(o, 10, 2.0),
        optax.polynomial_schedule(0.1, 0.0, 2.0, 10),
    ),
    "linear": (
        lambda o: torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.25, 7),
        optax.linear_schedule(0.1, 0.025, 7),
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_of_optax_is_computed_in_float64(name):
    scheduler, schedule = SCHEDULES[name]
    torch.manual_seed(0)
    reference = torch_program(TorchMLP(), scheduler=scheduler)
    port = flax_program(FlaxMLP(), optimizer=optax.sgd(schedule))
    check_port(reference, port, batches(), steps=12).assert_passed()


def test_nadam_keeps_its_product_in_float64():
    """In float32 its mu_product is 1e-8 off, and so is a step."""
    torch.manual_seed(0)
    model = TorchMLP(dtype=torch.float64)
    program = torch_program(model, optimizer=OPTIMIZERS["NAdam"][0])
    start = program.start(None)
    from mnist_fn.shared.parity.batches import read_batches

    read = read_batches(batches(), "float64")
    *_, last = program.train(start, iter(read * 5))
    torch.set_default_dtype(torch.float64)
    try:
        again = copy.deepcopy(model)
        optimizer = torch.optim.NAdam(again.parameters(), 2e-3)
        for batch in read * 5:
            optimizer.zero_grad()
            CE(again(torch.tensor(batch.inputs[0])), torch.tensor(batch.targets)).backward()
            optimizer.step()
    finally:
        torch.set_default_dtype(torch.float32)
    for name, p in again.named_parameters():
        np.testing.assert_array_equal(last.params[name], p.detach().numpy())


# --- draws that change nothing, and names that change ------------------------------------------


class LayerDrop(TorchMLP):
    """BART's, at a rate of 0."""

    def forward(self, x):
        if torch.rand([]) < 0.0:
            return self.head(x)
        return super().forward(x)


def test_a_draw_that_changes_nothing_is_deterministic():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    program = torch_program(LayerDrop())
    torch.set_rng_state(state)
    check_port(program, flax_program(FlaxMLP()), batches(), steps=2).assert_passed()
    assert torch.equal(torch.get_rng_state(), state)


class Renaming(nn.Module):
    """As Keras 3's: a copy gives its parameters new names."""

    def __init__(self, prefix="original"):
        super().__init__()
        setattr(self, f"{prefix}_body", nn.Linear(6, 8))
        setattr(self, f"{prefix}_head", nn.Linear(8, 5))

    def __deepcopy__(self, memo):
        other = Renaming("copy")
        for one, two in zip(other.parameters(), self.parameters(), strict=True):
            one.data.copy_(two.data)
        return other

    def forward(self, x):
        body, head = self.children()
        return head(torch.tanh(body(x)))


def test_a_copy_that_renames_its_parameters_is_recorded(tmp_path):
    torch.manual_seed(0)
    record(torch_program(Renaming()), batches(), tmp_path / "r", steps=2)
    kept = Recording(tmp_path / "r")
    check_port(kept, flax_program(FlaxMLP()), kept.batches, steps=2).assert_passed()


class TorchScaled(nn.Module):
    """CLIP: the first parameter is a scalar. A mask is filled with float64's smallest number."""

    def __init__(self):
        super().__init__()
        self.logit_scale = nn.Parameter(torch.tensor(1.5))
        self.body, self.head = nn.Linear(6, 8), nn.Linear(8, 5)

    def forward(self, x):
        floor = torch.full((8, 5), torch.finfo(x.dtype).min)
        z = self.head(torch.tanh(self.body(x))) * self.logit_scale
        return torch.maximum(z, floor)


class FlaxScaled(fnn.Module):
    @fnn.compact
    def __call__(self, x):
        scale = self.param("logit_scale", lambda key: jnp.asarray(1.5))
        x = jnp.tanh(fnn.Dense(8, name="body")(x))
        return fnn.Dense(5, name="head")(x) * scale


def test_a_scalar_parameter_and_a_mask_of_the_smallest_float64():
    torch.manual_seed(0)
    programs = torch_program(TorchScaled()), flax_program(FlaxScaled())
    check_port(*programs, batches(), steps=3).assert_passed()


# --- dropout of the same rate ------------------------------------------------------------------


class TorchDropped(TorchMLP):
    def forward(self, x):
        return self.head(nn.functional.dropout(torch.tanh(self.body(x)), 0.25, self.training))


class FlaxDropped(fnn.Module):
    rate: float

    @fnn.compact
    def __call__(self, x, train):
        x = jnp.tanh(fnn.Dense(8, name="body")(x))
        return fnn.Dense(5, name="head")(fnn.Dropout(self.rate, deterministic=not train)(x))


def test_dropout_of_the_same_rate_is_compared():
    torch.manual_seed(0)
    verdict = check_port(
        torch_program(TorchDropped()), flax_program(FlaxDropped(0.25)), batches(), steps=2
    )
    verdict.assert_passed()
    assert "dropout not compared" not in verdict.summary
    (rung,) = (rung for rung in verdict.rungs if rung.name == "randomness")
    assert rung.passed


# --- tables of float32 -------------------------------------------------------------------------


def torch_table(table):
    angles = torch.arange(8, dtype=torch.float32) / 7
    table.register_buffer("table", torch.sin(angles).float(), persistent=False)
    table.scale = torch.sqrt(torch.tensor(7.0, dtype=torch.float32))  # GPT-J's, no buffer


class TorchTable(TorchMLP):
    """Llama's and GPT-J's: the constructor computes a table in float32."""

    def __init__(self):
        super().__init__()
        torch_table(self)

    def forward(self, x):
        return self.head(torch.tanh(self.body(x)) * self.table / self.scale)


class FlaxTable(fnn.Module):
    """The same in NumPy."""

    single: Any = np.float32

    @fnn.compact
    def __call__(self, x):
        angles = np.einsum("i,j->ij", np.arange(8), np.ones(1)).astype("float32")[:, 0] / 7
        table = np.concatenate([np.zeros(0), np.sin(angles)]).astype(self.single)
        x = jnp.tanh(fnn.Dense(8, name="body")(x)) * jnp.asarray(table) / np.sqrt(7.0)
        return fnn.Dense(5, name="head")(x)


def test_tables_of_float32_are_float64_where_the_model_is_made_here():
    torch.manual_seed(0)
    creators = np.arange, np.zeros
    check_port(torch_program(TorchTable), flax_program(FlaxTable()), batches()).assert_passed()
    assert (np.arange, np.zeros) == creators
    assert type(np.arange(2)) is np.ndarray


def test_the_verdict_names_a_table_of_float32_that_was_made_before():
    torch.manual_seed(0)
    verdict = check_port(torch_program(TorchTable()), flax_program(FlaxTable()), batches())
    assert verdict.failed.name == "modules"
    assert "float32's rounding" in verdict.text
    assert "table was computed in float32; give a function" in verdict.text
    assert "no single change" not in verdict.text


class TorchOnes(TorchMLP):
    """A table of float32 that no rounding changes, and what is made of the outputs."""

    def __init__(self, change=lambda y: y):
        super().__init__()
        self.table, self.change = torch.ones(8), change

    def forward(self, x):
        return self.change(self.head(torch.tanh(self.body(x)) * self.table))


@pytest.mark.parametrize("change", [torch.log, lambda y: y[:4]], ids=["log", "rows"])
def test_what_cannot_be_compared_is_no_rounding(change):
    verdict = check_port(TorchProgram(TorchOnes()), TorchProgram(TorchOnes(change)), batches())
    assert verdict.failed.name == "outputs"
    assert "float32's rounding" not in verdict.text
    assert not verdict.cause.found


class FlaxRounding(fnn.Module):
    """Casts by a name that no guard sees."""

    @fnn.compact
    def __call__(self, x):
        x = fnn.Dense(8, name="body")(x)
        x = jnp.tanh(jax.lax.convert_element_type(x, "float32"))
        return fnn.Dense(5, name="head")(x.astype("float64"))


def test_the_verdict_names_a_program_that_casts_to_float32_by_itself():
    torch.manual_seed(0)
    verdict = check_port(torch_program(TorchMLP()), flax_program(FlaxRounding()), batches())
    assert "float32's rounding" in verdict.text
    assert "casts to float32; let it cast to its dtype" in verdict.text


class FlaxBranch(fnn.Module):
    """Rounds to float32 in a branch of `lax.cond`."""

    @fnn.compact
    def __call__(self, x):
        x = jnp.tanh(fnn.Dense(8, name="body")(x))
        single = lambda y: jax.lax.convert_element_type(y, "float32").astype("float64")  # noqa: E731
        x = jax.lax.cond(x.sum() > -1e9, single, lambda y: y, x)
        return fnn.Dense(5, name="head")(x)


def test_the_verdict_names_a_cast_to_float32_within_a_branch():
    torch.manual_seed(0)
    verdict = check_port(torch_program(TorchMLP()), flax_program(FlaxBranch()), batches())
    assert "casts to float32; let it cast to its dtype" in verdict.text


def test_a_bound_method_that_makes_the_model_is_called():
    class Factory:
        def build(self):
            torch.manual_seed(0)
            return TorchTable()

        @classmethod
        def build_by_class(cls):
            return cls().build()

    for build in (Factory().build, Factory.build_by_class):
        check_port(torch_program(build), flax_program(FlaxTable()), batches()).assert_passed()


class TorchPlainTable(nn.Module):
    """A table that is a plain attribute: `to` moves parameters and buffers, and not it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.head, self.table = nn.Linear(6, 5), torch.sin(torch.arange(6.0))

    def forward(self, x):
        return self.head(x * self.table)


def test_a_table_that_is_a_plain_attribute_is_taken_to_the_precision_asked_for():
    programs = [TorchProgram(TorchPlainTable, name=name) for name in ("one", "two")]
    inputs = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    for precision in ("float32", "float64"):
        check_port(*programs, [(inputs, None)], precision=precision).assert_passed()
    weights = programs[0].start(Batch((inputs.astype(np.float64),))).cast("float32")
    (outputs,) = programs[0].run(weights, Batch((inputs,)), False).outputs
    assert outputs.dtype == np.float32


def sines(dtype):
    return torch.sin(torch.arange(8, dtype=dtype) / 7)


class TorchTableAndNorm(nn.Module):
    """A norm under the name that is given, and a table that is computed before or in each call."""

    def __init__(self, norm, table=None):
        super().__init__()
        self.body, self.head, self.norm_name = nn.Linear(6, 8), nn.Linear(8, 5), norm
        self.add_module(norm, nn.BatchNorm1d(8))
        self.table = table

    def forward(self, x):
        x = self.get_submodule(self.norm_name)(torch.tanh(self.body(x)))
        return self.head(x * (sines(x.dtype) if self.table is None else self.table))


def test_averages_that_both_programs_are_given_are_no_tables_of_the_ports():
    torch.manual_seed(0)
    port = TorchTableAndNorm("bn1", sines(torch.float32))
    programs = torch_program(lambda: TorchTableAndNorm("norm")), torch_program(port, name="port")
    verdict = check_port(*programs, batches())
    assert "port: table was computed in float32" in verdict.text
    assert "running_mean" not in verdict.text


def test_checks_in_several_threads_wait_for_each_other():
    torch.manual_seed(0)
    programs = [(torch_program(TorchTable), flax_program(FlaxTable())) for _ in range(3)]
    given, originals = batches(), (jnp.float32, np.array, np.arange)
    with ThreadPoolExecutor() as pool:
        checks = [pool.submit(check_port, *pair, given, steps=2) for pair in programs]
    for check in checks:
        check.result().assert_passed()
    assert (jnp.float32, np.array, np.arange) == originals
    assert torch.get_default_dtype() == torch.float32


def test_tables_that_another_thread_makes_meanwhile_are_its_own():
    with widened(), ThreadPoolExecutor() as pool:
        made = pool.submit(lambda: np.zeros(2, np.float32)).result()
        assert np.zeros(2, np.float32).dtype == np.float64
    assert made.dtype == np.float32


# --- a parameter whose partner is a buffer -----------------------------------------------------


class TorchBiased(TorchMLP):
    """BART's final_logits_bias."""

    def __init__(self):
        super().__init__()
        self.register_buffer("last_bias", torch.linspace(0, 1, 5)[None])

    def forward(self, x):
        return super().forward(x) + self.last_bias


class FlaxBiased(fnn.Module):
    @fnn.compact
    def __call__(self, x):
        x = jnp.tanh(fnn.Dense(8, name="body")(x))
        bias = self.param("last_bias", fnn.initializers.zeros, (1, 5))
        return fnn.Dense(5, name="head")(x) + bias


def test_a_parameter_whose_partner_is_a_buffer_is_named_where_it_moves():
    torch.manual_seed(0)
    reference, still = torch_program(TorchBiased()), optax.set_to_zero()
    labels = {"body": "sgd", "head": "sgd", "last_bias": "still"}
    frozen = optax.multi_transform({"sgd": optax.sgd(0.1), "still": still}, labels)
    check_port(reference, flax_program(FlaxBiased(), optimizer=frozen), batches()).assert_passed()
    verdict = check_port(reference, flax_program(FlaxBiased()), batches())
    assert verdict.failed.name == "step"
    assert "the reference doesn't move last_bias, the port does" in verdict.text


class TorchPadded(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.head = nn.Embedding(11, 8, padding_idx=0), nn.Linear(8, 5)

    def forward(self, ids):
        return self.head(self.tokens(ids).mean(1))


class FlaxPadded(fnn.Module):
    @fnn.compact
    def __call__(self, ids):
        return fnn.Dense(5, name="head")(fnn.Embed(11, 8, name="tokens")(ids).mean(1))


def test_a_padding_row_that_the_port_trains_is_named():
    torch.manual_seed(0)
    verdict = check_port(torch_program(TorchPadded()), flax_program(FlaxPadded()), ids())
    assert verdict.failed.name == "gradients"
    assert "tokens.weight: row 0, padding_idx in the reference, is trained" in verdict.text


# --- a module of one program whose parameters are in two of the other's -------------------------


class TorchGraphLayer(nn.Module):
    def __init__(self, inputs, width):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, width))
        self.bias = nn.Parameter(torch.randn(width))

    def forward(self, x, adjacency):
        return adjacency @ (x @ self.weight) + self.bias


class TorchGraph(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.head = TorchGraphLayer(6, 8), TorchGraphLayer(8, 5)

    def forward(self, x, adjacency):
        return self.head(torch.relu(self.inner(x, adjacency)), adjacency)


class FlaxGraphLayer(fnn.Module):
    """The product is a module of its own; the bias is added behind the neighbours' sum."""

    width: int

    @fnn.compact
    def __call__(self, x, adjacency):
        x = fnn.Dense(self.width, use_bias=False)(x)
        return adjacency @ x + self.param("bias", fnn.initializers.zeros, (self.width,))


class FlaxGraph(fnn.Module):
    @fnn.compact
    def __call__(self, x, adjacency):
        x = jax.nn.relu(FlaxGraphLayer(8, name="inner")(x, adjacency))
        return FlaxGraphLayer(5, name="head")(x, adjacency)


def test_a_graph_convolution_whose_product_is_a_module_of_its_own_in_flax():
    rng = np.random.default_rng(0)
    nodes, adjacency = rng.normal(size=(8, 6)), rng.uniform(size=(8, 8))
    given = [((nodes, adjacency), rng.integers(0, 5, 8)) for _ in range(2)]
    torch.manual_seed(0)
    programs = torch_program(TorchGraph()), flax_program(FlaxGraph())
    for reference, port in (programs, programs[::-1]):
        check_port(reference, port, given, steps=2).assert_passed()
