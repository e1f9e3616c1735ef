"""A port's ladder: partners and layouts, any two sides, what it leaves alone, what it refuses."""

import re

import flax.linen as fnn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from flax import nnx
from torch import nn

from mnist_fn import InputError
from mnist_fn.parity import FlaxProgram, JaxProgram, Recording, check_port, record
from mnist_fn.shared.parity.layouts import aligned, layouts
from mnist_fn.shared.parity.packing import Unpacked
from tests.support.port_models import jax_cross_entropy
from torch_ref.parity import TorchProgram

CE = nn.functional.cross_entropy
RNG = np.random.default_rng(0)
BATCHES = [(RNG.normal(size=(16, 8)), RNG.integers(0, 3, 16)) for _ in range(2)]


def torch_sgd(parameters):
    return torch.optim.SGD(parameters, 0.1)


def mlp(width=8):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 3))


def torch_side(model=None, **more):
    return TorchProgram(model or mlp(), **{"loss": CE, "optimizer": torch_sgd, **more})


class FlaxMLP(fnn.Module):
    width: int = 8
    bias: bool = True

    @fnn.compact
    def __call__(self, x):
        x = fnn.relu(fnn.Dense(self.width, use_bias=self.bias)(x))
        return fnn.Dense(3)(x)


def flax_side(module=None, **more):
    defaults = {"loss": jax_cross_entropy, "optimizer": optax.sgd(0.1)}
    return FlaxProgram(module or FlaxMLP(), **{**defaults, **more})


def rungs(verdict):
    return {rung.name: rung for rung in verdict.rungs}


# --- partners and layouts ----------------------------------------------------------------------


def test_names_that_only_count_up_find_their_partners():
    verdict = check_port(torch_side(), flax_side(), BATCHES, steps=2)
    verdict.assert_passed()
    assert {p.name: p.other for p in verdict.param_map.params} == {
        "0.weight": "Dense_0/kernel", "0.bias": "Dense_0/bias",
        "2.weight": "Dense_1/kernel", "2.bias": "Dense_1/bias",
    }  # fmt: skip


def test_an_optimizer_may_keep_one_array_of_the_users_twice():
    count = jnp.zeros(())

    def update(grads, state, params=None):
        return jax.tree.map(lambda grad: -0.1 * grad, grads), state

    optimizer = optax.GradientTransformation(lambda params: (count, count), update)
    port = flax_side(optimizer=optimizer)
    check_port(torch_side(), port, BATCHES, steps=2).assert_passed()
    assert count == 0  # not deleted


def test_a_group_that_rests_has_no_rule_that_could_be_read():
    def optimizer(parameters):
        first, *rest = parameters
        return torch.optim.SGD([{"params": [first], "lr": 0.0}, {"params": rest}], 0.1)

    side = torch_side(optimizer=optimizer)
    assert side.rule is None


def function_side(apply, params, **more):
    return JaxProgram(apply, params, loss=jax_cross_entropy, optimizer=optax.sgd(0.1), **more)


def untransposed(params, x):
    return (
        jax.nn.relu(x @ params["0"]["kernel"].T + params["0"]["bias"]) @ params["2"]["kernel"]
        + params["2"]["bias"]
    )


SHAPES = {"0": {"kernel": np.zeros((8, 8)), "bias": np.zeros(8)},
          "2": {"kernel": np.zeros((8, 3)), "bias": np.zeros(3)}}  # fmt: skip


def test_a_square_kernel_that_fits_only_untransposed_is_told():
    verdict = check_port(torch_side(), function_side(untransposed, SHAPES), BATCHES, steps=2)
    verdict.assert_passed()
    (note,) = verdict.notes
    assert "0.weight [8, 8] is 0/kernel, axes (0, 1): only so the outputs agree" in note


def deep():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))


def named(first, second, wrong=False):
    def apply(params, x):
        x = jnp.tanh(x @ params[first]["w"] + params[first]["b"])
        x = jnp.tanh(x @ params[second]["w"] + params[second]["b"]) * (2 if wrong else 1)
        return x @ params["head"]["w"] + params["head"]["b"]

    sizes = {"up": (8, 8), "down": (8, 8), "head": (8, 3)}
    return apply, {k: {"w": np.zeros(s), "b": np.zeros(s[1])} for k, s in sizes.items()}


def test_where_two_fit_it_is_the_one_with_which_the_outputs_agree():
    for order in (("up", "down"), ("down", "up")):
        verdict = check_port(torch_side(deep()), function_side(*named(*order)), BATCHES, steps=2)
        verdict.assert_passed()
        partner = {p.name: p.other for p in verdict.param_map.params}
        assert partner["0.weight"] == f"{order[0]}/w"
        assert partner["2.bias"] == f"{order[1]}/b"


def test_what_cannot_be_decided_is_asked_for_with_the_table_so_far():
    wrong = function_side(*named("up", "down", wrong=True))
    with pytest.raises(InputError, match="can't be told") as error:
        check_port(torch_side(deep()), wrong, BATCHES)
    for words in ("param_map={name: name}", "4.weight head/w", "0.weight"):
        assert words in str(error.value)
    told = {"0.weight": "up/w", "0.bias": "up/b", "2.weight": "down/w", "2.bias": "down/b"}
    verdict = check_port(torch_side(deep()), wrong, BATCHES, param_map=told)
    assert verdict.failed.name == "outputs"


@pytest.mark.parametrize(
    ("param_map", "words"),
    [
        ({"nix": "Dense_0/kernel"}, "param_map: the reference has no 'nix'; it has 0.weight"),
        ({"0.weight": "nix"}, "param_map: the port has no 'nix'; it has Dense_0/kernel"),
        ({"0.weight": "Dense_1/bias"}, "0.weight [8, 8] does not fit Dense_1/bias [3]"),
    ],
)
def test_translate_names_what_is_there(param_map, words):
    with pytest.raises(InputError, match=re.escape(words)):
        check_port(torch_side(), flax_side(), BATCHES, param_map=param_map)


def test_a_missing_bias_fails_the_first_rung():
    verdict = check_port(torch_side(), flax_side(FlaxMLP(bias=False)), BATCHES)
    assert verdict.failed.name == "parameters"
    assert "0.bias [8] has no partner in the port" in verdict.text


def test_another_width_is_said_in_one_line():
    """Of a tensor and its likely partner: six without a partner said less."""
    verdict = check_port(torch_side(), flax_side(FlaxMLP(width=9)), BATCHES)
    (first,) = (line for line in verdict.text.splitlines() if line.startswith("first: "))
    assert first == ("first: 0.weight is [8, 8], the port's Dense_0/kernel is [8, 9]; and 2 more")


class TorchFlat(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.dense = nn.Conv2d(1, 4, 3), nn.Linear(4 * 36, 3)

    def forward(self, x):
        return self.dense(self.conv(x).relu().flatten(1))


class FlaxFlat(fnn.Module):
    @fnn.compact
    def __call__(self, x):
        x = fnn.relu(fnn.Conv(4, (3, 3), padding="VALID", name="conv")(x))
        return fnn.Dense(3, name="dense")(x.reshape(len(x), -1))


def test_rows_behind_a_flattening_are_reordered_when_that_is_said():
    torch.manual_seed(0)
    images = [(RNG.normal(size=(4, 1, 8, 8)), RNG.integers(0, 3, 4))]
    reference = torch_side(TorchFlat())
    failed = check_port(reference, flax_side(FlaxFlat()), images)
    assert "flattened channels last" in failed.cause.text
    told = {"dense.weight": ("dense/kernel", "channels last", (4, 6, 6))}
    check_port(reference, flax_side(FlaxFlat()), images, param_map=told, steps=2).assert_passed()


def test_split_heads_are_joined_in_their_order():
    """Flax's [in, heads, width] and [heads, width, out] as PyTorch's [out, in], and back."""
    weight = RNG.normal(size=(8, 8))
    for shape in ((8, 2, 4), (2, 4, 8)):
        there = layouts((8, 8), shape, 1)[0]
        back = layouts(shape, (8, 8), -1)[0]
        np.testing.assert_array_equal(back.to_port(there.to_port(weight)), weight)


def test_layouts_are_their_own_inverse():
    for kept, shape in (((2, 3), (3, 2)), ((8, 4, 3, 5), (3, 5, 4, 8)), ((6, 4), (4, 2, 3))):
        tensor = RNG.normal(size=kept)
        found = layouts(kept, shape, 1)
        assert found
        for layout in found:
            assert layout.to_port(tensor).shape == shape
            np.testing.assert_array_equal(layout.to_reference(layout.to_port(tensor)), tensor)


def test_activations_are_compared_in_one_layout():
    image = RNG.normal(size=(2, 5, 5, 5))  # every layout fits: the nearest is taken
    np.testing.assert_array_equal(aligned(np.moveaxis(image, 1, -1), image), image)
    assert aligned(np.zeros((2, 3)), np.zeros((2, 4))).shape == (2, 3)


# --- any two sides -----------------------------------------------------------------------------


class Shared(nn.Module):
    """One layer, called twice."""

    def __init__(self, twice=True):
        super().__init__()
        self.inner, self.head, self.twice = nn.Linear(8, 8), nn.Linear(8, 3), twice

    def forward(self, x):
        x = torch.tanh(self.inner(x))
        return self.head(torch.tanh(self.inner(x)) if self.twice else x)


class InParts(Shared):
    """The same, which calls its layer on each half of the batch."""

    def forward(self, x):
        x = torch.cat([torch.tanh(self.inner(part)) for part in x.chunk(2)])
        return self.head(torch.tanh(self.inner(x)))


def test_a_module_may_be_called_on_parts():
    torch.manual_seed(0)
    model = Shared()
    check_port(torch_side(model), torch_side(InParts(), name="new"), BATCHES).assert_passed()
    check_port(torch_side(InParts()), torch_side(model, name="new"), BATCHES).assert_passed()


class Normed(nn.Module):
    """A norm, called once or twice on the same input: its averages move twice."""

    def __init__(self, calls):
        super().__init__()
        self.inner, self.norm, self.head = nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)
        self.calls = calls

    def forward(self, x):
        x = self.inner(x)
        for _ in range(self.calls):
            normed = self.norm(x)
        return self.head(normed)


def test_a_norm_that_keeps_averages_may_not_be_called_more_often():
    torch.manual_seed(0)
    once, twice = Normed(1), Normed(2)
    verdict = check_port(TorchProgram(once), TorchProgram(twice, name="new"), BATCHES)
    assert verdict.failed.name == "modules"
    assert "calls of norm: 1 in the reference, 2 in the port" in verdict.text


def test_a_refactoring_against_what_it_was():
    torch.manual_seed(0)
    model, again = Shared(), Shared()
    check_port(torch_side(model), torch_side(again, name="new"), BATCHES).assert_passed()
    verdict = check_port(torch_side(model), torch_side(Shared(twice=False), name="new"), BATCHES)
    assert verdict.failed.name == "modules"
    assert "calls of inner: 2 in the reference, 1 in the port" in verdict.text
    named = {f"module.{k}" for k in model.state_dict()}
    wrapped = nn.DataParallel(model)
    assert set(wrapped.state_dict()) == named
    check_port(torch_side(wrapped), torch_side(again, name="new"), BATCHES, steps=2).assert_passed()


def test_linen_against_nnx():
    class Model(nnx.Module):
        def __init__(self, rngs):
            self.inner, self.head = nnx.Linear(8, 8, rngs=rngs), nnx.Linear(8, 3, rngs=rngs)

        def __call__(self, x):
            return self.head(nnx.relu(self.inner(x)))

    graph, state = nnx.split(Model(nnx.Rngs(0)))
    port = JaxProgram(lambda params, x: nnx.merge(graph, params)(x), state,
                   loss=jax_cross_entropy, optimizer=optax.adam(1e-3), name="NNX")  # fmt: skip
    linen = flax_side(optimizer=optax.adam(1e-3))
    told = {f"Dense_{i}/{kind}": f"{name}/{kind}"
            for i, name in enumerate(("inner", "head")) for kind in ("kernel", "bias")}  # fmt: skip
    check_port(linen, port, BATCHES, param_map=told).assert_passed()
    off = JaxProgram(lambda params, x: nnx.merge(graph, params)(x), state,
                  loss=jax_cross_entropy, optimizer=optax.adam(2e-3), name="NNX")  # fmt: skip
    assert check_port(linen, off, BATCHES, param_map=told).failed.name == "step"


class FlaxNormed(fnn.Module):
    epsilon: float = 1e-6
    activation: object = fnn.gelu

    @fnn.compact
    def __call__(self, x):
        x = fnn.LayerNorm(epsilon=self.epsilon, name="norm")(fnn.Dense(8, name="inner")(x))
        return fnn.Dense(3, name="head")(self.activation(x))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"activation": fnn.silu}, "reproduced to"),
        ({"activation": fnn.silu}, "silu in place of gelu by tanh"),
        ({"activation": lambda x: 0.3 * fnn.gelu(x)}, "scaled by 0.3"),
        ({"epsilon": 1e-5}, "norm: ε = 1e-5 in place of 1e-6"),
    ],
)
def test_two_programs_in_jax_are_told_apart_by_the_tables_of_the_own_ladder(changed, words):
    verdict = check_port(flax_side(FlaxNormed()), flax_side(FlaxNormed(**changed)), BATCHES)
    assert verdict.failed.name == "modules"
    assert words in verdict.text


def test_the_rule_of_a_reference_in_jax_names_the_step():
    rule = {"kind": "sgd", "learning_rate": 0.1}
    wrong = flax_side(optimizer=optax.sgd(0.1, momentum=0.9))
    verdict = check_port(flax_side(rule=rule), wrong, BATCHES)
    assert verdict.cause.text == "momentum in place of sgd", verdict.text
    with pytest.raises(InputError, match=r"rule: .*'rate'.*its fields are those of Rule"):
        flax_side(rule={"kind": "sgd", "rate": 0.1})
    with pytest.raises(InputError, match="kind 'lamb': must be one of sgd"):
        flax_side(rule={"kind": "lamb"})


def test_a_rule_that_the_reference_does_not_follow_names_nothing():
    """Its clipping was left out: a wrong rate was called a clipping as well."""
    clipped = lambda rate: optax.chain(optax.clip_by_global_norm(0.3), optax.sgd(rate))  # noqa: E731
    reference = flax_side(optimizer=clipped(0.1), rule={"kind": "sgd", "learning_rate": 0.1})
    verdict = check_port(reference, flax_side(optimizer=clipped(0.2)), BATCHES)
    assert verdict.failed.name == "step"
    assert verdict.cause is None
    assert "its steps are not what the rule= that was given makes" in verdict.text


def test_a_jax_reference_and_a_port_in_pytorch():
    torch.manual_seed(0)
    check_port(flax_side(), torch_side(), BATCHES, steps=2).assert_passed()


def test_a_recording_is_a_side_on_either_hand(tmp_path):
    reference, port = torch_side(), flax_side()
    record(reference, BATCHES, tmp_path / "r", steps=3)
    kept = Recording(tmp_path / "r")
    first = check_port(kept, port, kept.batches)
    first.assert_passed()
    live = check_port(reference, port, BATCHES, steps=3)
    assert [r.name for r in first.rungs] == [r.name for r in live.rungs]
    check_port(port, kept, BATCHES).assert_passed()  # as the port: its weights are the start
    with pytest.raises(InputError, match="recorded with other weights or batches"):
        check_port(kept, port, [(x + 1, y) for x, y in BATCHES])


def test_a_recording_made_when_causes_were_sentences_names_them_in_its_words():
    opened = Unpacked({"start": [[], [], []]}, {})
    words = "norm: ε = 1e-6 in place of 1e-5"
    facts = {"code": "epsilon", "at": "norm", "declared": 1e-5, "actual": 1e-6}
    opened._last = {"variants": [{"text": words, "site": 0, "key": 1, **facts}]}
    assert [variant.text for variant in opened.variants(0, 0)] == [words]


def test_what_is_added_to_a_norm_is_taken_out_of_a_recording(tmp_path):
    """PyTorch's clipping divides by norm + 1e-6: a note. Another norm is none."""
    clip = lambda p: nn.utils.clip_grad_norm_(p, 0.1)  # noqa: E731
    reference = torch_side(before_step=clip)
    sizes = []
    size = record(reference, BATCHES[:1], tmp_path / "r", steps=3, on_size=sizes.append)
    assert sizes == [size]
    kept = Recording(tmp_path / "r")
    port = flax_side(optimizer=optax.chain(optax.clip_by_global_norm(0.1), optax.sgd(0.1)))
    verdict = check_port(kept, port, kept.batches, steps=3)
    verdict.assert_passed()
    assert any("clip_grad_norm_ divides by the norm + 1e-06" in note for note in verdict.notes)
    off = flax_side(optimizer=optax.chain(optax.clip_by_global_norm(0.11), optax.sgd(0.1)))
    assert check_port(kept, off, kept.batches, steps=3).failed.name == "step"


def test_the_size_is_stated_before_anything_is_written(tmp_path):
    there = []
    path = tmp_path / "r"
    size = record(torch_side(), BATCHES[:1], path, steps=1,
                  on_size=lambda n: there.append((n, path.exists())))  # fmt: skip
    assert there == [(size, False)]
    assert path.stat().st_size == size


def test_a_damaged_recording_is_refused(tmp_path):
    path = tmp_path / "r"
    record(torch_side(), BATCHES, path, steps=1)
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        Recording(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="not a recording"):
        Recording(path)
    with pytest.raises(InputError, match="no such file"):
        Recording(tmp_path / "nix")


def test_what_a_side_does_not_serve_is_not_called_ok():
    verdict = check_port(TorchProgram(mlp()), FlaxProgram(FlaxMLP()), BATCHES)
    verdict.assert_passed()
    unchecked = {name for name, rung in rungs(verdict).items() if hasattr(rung, "why")}
    assert unchecked == {"loss", "gradients", "step", "trajectory", "buffers", "randomness"}
    assert "not checked, because PyTorch was given no loss" in verdict.text
    assert rungs(verdict)["step"].to_dict()["passed"] is None


# --- what is left alone ------------------------------------------------------------------------


def test_nothing_of_the_callers_changes():
    model = mlp()
    model[0].weight.grad = torch.ones(8, 8)
    before = {name: t.clone() for name, t in model.state_dict().items()}
    state, default, wide = (
        torch.get_rng_state(),
        torch.get_default_dtype(),
        jax.config.jax_enable_x64,
    )
    model.eval()
    check_port(torch_side(model), flax_side(), BATCHES, steps=2).assert_passed()
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert all(t.dtype == torch.float32 for t in model.state_dict().values())
    assert torch.equal(model[0].weight.grad, torch.ones(8, 8))
    assert not model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_default_dtype() == default
    assert jax.config.jax_enable_x64 == wide
    assert jnp.ones(1).dtype == jnp.float32


def test_dropout_is_off_and_other_draws_are_refused():
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))
    verdict = check_port(torch_side(model), flax_side(), BATCHES, steps=2)
    assert verdict.failed.name == "randomness"  # all that is computed agrees, the rates don't

    class Noisy(Shared):
        def forward(self, x):
            return super().forward(x + torch.randn_like(x))

    with pytest.raises(InputError, match=r"draws at random \(randn_like\).*hand it in as an input"):
        check_port(torch_side(Noisy()), flax_side(), BATCHES)

    class FlaxNoisy(fnn.Module):
        @fnn.compact
        def __call__(self, x):
            return FlaxMLP()(x + jax.random.normal(self.make_rng("noise"), x.shape))

    with pytest.raises(InputError, match=r"Flax: draws at random .*hand it in as an input"):
        check_port(torch_side(), flax_side(FlaxNoisy()), BATCHES)


# --- what is refused ---------------------------------------------------------------------------

NAN = mlp()
NAN[0].weight.data[0, 0] = float("nan")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: (torch_side(loss=lambda z, y: CE(z, y, reduction="none")), flax_side(), BATCHES),
         "PyTorch: loss gives [16], not a scalar; take its mean or sum"),
        (lambda: (torch_side(), flax_side(loss=lambda z, y: z.sum(1)), BATCHES),
         "Flax: loss gives [16], not a scalar; take its mean or sum"),
        (lambda: (torch_side(nn.ReLU()), flax_side(), BATCHES), "the model has no parameters"),
        (lambda: (JaxProgram(lambda p, x: x, {}), flax_side(), BATCHES),
         "the model has no parameters"),
        (lambda: (torch_side(mlp().half()), flax_side(), BATCHES), "0.weight is float16"),
        (lambda: (torch_side(), JaxProgram(untransposed, jax.tree.map(np.float16, SHAPES)),
                  BATCHES),
         "0/bias is float16"),
        (lambda: (torch_side(), flax_side(), []), "batches: there are none"),
        (lambda: (torch_side(), flax_side(), BATCHES[0][0]), "batches[0]: expected a list of"),
        (lambda: (torch_side(), flax_side(), [BATCHES[0], (BATCHES[0][0][:, :4], BATCHES[0][1])]),
         "batches[1]: inputs (float64[n, 4]), targets int64[n], but batches[0]"),
        (lambda: (torch_side(), flax_side(), [(np.full((2, 8), np.nan), np.zeros(2, int))]),
         "batches[0]: has a NaN"),
        (lambda: (torch_side(NAN), flax_side(), BATCHES), "gives a NaN or an infinity"),
        (lambda: (torch_side(), flax_side(), [(np.zeros((2, 5)), np.zeros(2, int))]),
         "PyTorch: can't be called with batches[0]"),
        (lambda: (torch_side(optimizer=lambda p: torch_sgd(mlp().parameters())), flax_side(),
                  BATCHES), "the optimizer is made of other parameters than it was given"),
        (lambda: (torch_side(), flax_side(optimizer=torch_sgd), BATCHES), "give an optax one"),
        (lambda: (TorchProgram(FlaxMLP()), flax_side(), BATCHES), "not an nn.Module"),
        (lambda: (torch_side(), FlaxProgram(mlp()), BATCHES), "not a flax.linen.Module"),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_line(make, words):
    with pytest.raises(InputError, match=re.escape(words)) as error:
        check_port(*make())
    assert "\n" not in str(error.value)


FILE = """
import numpy as np, torch, optax, flax.linen as nn
from mnist_fn.parity import FlaxProgram
from torch_ref.parity import TorchProgram
torch.manual_seed(0)
reference = TorchProgram(torch.nn.Linear(4, 3))
{port}
batches = [(np.ones((2, 4)), np.zeros(2, int))]
"""


@pytest.mark.parametrize(
    ("port", "code", "words"),
    [
        ("port = FlaxProgram(nn.Dense(3))", 0, "Flax computes what PyTorch does"),
        ("port = FlaxProgram(nn.Dense(3, use_bias=False))", 1, "Flax differs from PyTorch"),
        ("", 2, "has no port; it must define reference, port and batches"),
        ("port = 3", 2, "port is a int, not a program"),
        ("port = nix", 2, "line 7: NameError: name 'nix' is not defined"),
    ],
)
def test_the_command_judges_a_file(in_process, tmp_path, port, code, words):
    (tmp_path / "my_port.py").write_text(FILE.format(port=port))
    done = in_process("port", "my_port.py")
    assert done.returncode == code, done.stderr
    assert words in (done.stderr if code == 2 else done.stdout)
    if code == 2:
        assert len(done.stderr.splitlines()) == 1
        assert done.stdout == ""


def test_the_command_records_and_speaks_json(in_process, tmp_path):
    import json

    (tmp_path / "my_port.py").write_text(FILE.format(port="port = FlaxProgram(nn.Dense(3))"))
    done = in_process("port", "my_port.py", "--record", "r.safetensors")
    assert done.returncode == 0, done.stderr
    assert "MB to be written" in done.stderr
    kept = FILE.replace("reference = TorchProgram(torch.nn.Linear(4, 3))",
                        "from mnist_fn.parity import Recording\n"
                        "reference = Recording('r.safetensors')")  # fmt: skip
    (tmp_path / "other.py").write_text(kept.format(port="port = FlaxProgram(nn.Dense(3))"))
    done = in_process("port", "other.py", "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["passed"]) == (0, True)
    assert document["reference"] == "PyTorch (recorded)"
    assert in_process("port", "nix.py").returncode == 2


def test_the_command_says_what_a_large_model_costs(in_process, tmp_path, monkeypatch):
    (tmp_path / "my_port.py").write_text(FILE.format(port="port = FlaxProgram(nn.Dense(3))"))
    assert "GB of memory" not in in_process("port", "my_port.py").stderr
    monkeypatch.setattr("cli.commands.port.LARGE", 10)
    assert "0.0 M parameters: up to 1.0 GB of memory" in in_process("port", "my_port.py").stderr


def test_a_program_that_is_looked_for_in_the_wrong_place_is_found():
    with pytest.raises(ImportError, match=r"from torch_ref\.parity import TorchProgram"):
        from mnist_fn.parity import TorchProgram  # noqa: F401
