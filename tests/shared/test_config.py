"""The experiment's value: the study's defaults, its limits, its JSON."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_fn.shared.config import MODELS, Config
from mnist_fn.shared.errors import InputError


def test_defaults_are_the_studys_recipe():
    config = Config()
    assert (config.hidden, config.l2, config.optimizer) == ((512,), 0.0, "adam")
    assert (config.learning_rate, config.batch_size, config.epochs) == (5e-4, 200, 100)
    assert {name: Config(hidden=hidden).model for name, hidden in MODELS.items()} == {
        name: name for name in MODELS
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"l2": -1e-5},
        {"l2": math.nan},
        {"l2": 10**400},
        {"learning_rate": 0.0},
        {"learning_rate": math.inf},
        {"batch_size": 0},
        {"epochs": 0},
        {"epochs": True},
        {"hidden": (0,)},
        {"hidden": (512, -1)},
        {"hidden": "512"},
        {"hidden": (512, 2.5)},
        {"epochs": 2.5},
        {"epochs": "5"},
        {"hidden": (1,) * 99},
        {"seed": -1},
        {"seed": 2**32},
        {"validation": -1},
        {"dataset": "../cifar"},
        {"dataset": "CIFAR-10 "},
        {"orientation": "turned"},
        {"ink": "black"},
        {"optimizer": "adagard"},
        {"precision": "float16"},
        {"weight_decay": 0.1},
        {"optimizer": "adamw"},
    ],
)
def test_out_of_range_is_refused_by_the_options_name(changes):
    with pytest.raises(InputError, match="`" + next(iter(changes))):
        Config(**changes)


def test_json_round_trip():
    config = Config(hidden=(256, 128), l2=3e-5, seed=7, precision="float64")
    again = Config.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert hash(again) == hash(config)


ATOMS = st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.integers()
KEYS = st.sampled_from([*Config().to_dict(), "x"])


@given(
    st.recursive(
        ATOMS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=9)
    )
)
def test_from_dict_refuses_anything_else_cleanly(document):
    with pytest.raises(InputError):
        Config.from_dict(document)


@given(
    st.fixed_dictionaries(
        {
            name: st.just(value) | st.none() | st.floats() | st.integers() | st.text(max_size=4)
            for name, value in Config().to_dict().items()
        }
    )
)
def test_from_dict_gives_a_config_or_a_clean_error(document):
    try:
        config = Config.from_dict(document)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert Config.from_dict(config.to_dict()) == config


def test_a_config_may_name_its_model():
    assert Config(model="deep") == Config(hidden=(512, 256))
    assert Config(model="deep").model == "deep"
    assert Config(model="deep").replace(hidden=(8,)).model == "8"
    assert Config(l2=1.0).replace(model="linear") == Config(l2=1.0, hidden=())
    assert Config.from_dict(Config(model="linear").to_dict()) == Config(hidden=())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"model": "huge"}, "must be one of linear"),
        ({"model": 3}, "`model=3`: must be one of linear"),
        ({"model": "deep", "hidden": (4,)}, "give one of them"),
    ],
)
def test_a_model_that_is_none_or_two_is_refused(given, said):
    with pytest.raises(InputError, match=said):
        Config(**given)
    with pytest.raises(InputError, match=said):
        Config().replace(**given)


def test_bounds_and_whole_numbers_are_written_out():
    with pytest.raises(InputError, match=r"`hidden='8'`: must be layer widths, such as \(256, 1"):
        Config(hidden="8")
    with pytest.raises(InputError, match="`seed=4294967296`: must be between 0 and 4,294,967,295"):
        Config(seed=2**32)
    with pytest.raises(InputError, match=r"`l2=2e\+06`: must be between 0 and 1e\+06"):
        Config(l2=2e6)


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        ({"l2": np.float64(3e-5)}, {"l2": 3e-5}),
        ({"learning_rate": np.float32(0.5)}, {"learning_rate": 0.5}),
        ({"epochs": 5.0, "batch_size": np.int64(50)}, {"epochs": 5, "batch_size": 50}),
        ({"seed": np.uint8(3)}, {"seed": 3}),
        ({"hidden": [256, 128]}, {"hidden": (256, 128)}),
        ({"hidden": np.array([256, 128])}, {"hidden": (256, 128)}),
        ({"hidden": 256}, {"hidden": (256,)}),
        ({"hidden": [512, 256], "model": "deep"}, {"model": "deep"}),
    ],
)
def test_values_as_a_scientist_types_them(typed, plain):
    config = Config(**typed)
    assert config == Config(**plain)
    assert json.dumps(config.to_dict()) == json.dumps(Config(**plain).to_dict())
