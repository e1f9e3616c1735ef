"""A run's folder is its own: what it is called, and a list of runs of which two would share one."""

import re

import pytest

from mnist_fn import Config, InputError
from mnist_fn.shared.runs.callbacks import Callbacks
from mnist_fn.shared.runs.folder import slug
from mnist_fn.shared.runs.store import MAX_NAME, RunStore
from mnist_fn.shared.sweeps.request import SweepRequest
from mnist_fn.shared.sweeps.sweep import compare

TWO = Config(dataset="digits", hidden=(64, 32), epochs=1)
LONGEST = Config(
    dataset=40 * "a",
    hidden=16 * (65_536,),
    l2=1 / 3e5,
    learning_rate=1 / 3e3,
    validation=10_000,
    batch_size=123_456,
    precision="float64",
    orientation="as-stored",
    ink="light",
)


def test_slugs_tell_runs_apart():
    configs = [
        Config(),
        Config(l2=3e-5),
        Config(l2=3e-4),
        Config(hidden=()),
        Config(hidden=(512, 256)),
        Config(hidden=(256, 128)),
        Config(seed=1),
        Config(epochs=20),
        Config(precision="float64"),
        Config(validation=10_000),
        Config(optimizer="adamw", weight_decay=0.01),
        Config(dataset="my-set"),
        Config(dataset="my_set"),
    ]
    names = {slug(config, backend) for config in configs for backend in ("jax", "torch", "my_one")}
    assert len(names) == 3 * len(configs)
    assert slug(Config(l2=3e-5), "jax") == "mnist-shallow-l2=3e-05-seed=0-jax"
    assert slug(Config(batch_size=8), "jax") == "mnist-shallow-batch-size=8-seed=0-jax"


def test_numbers_in_names_are_exact():
    """1.0000001e-4 and 1.0000002e-4 had one folder."""
    near = [Config(l2=1.0000001e-4), Config(l2=1.0000002e-4), Config(l2=1e-4)]
    names = [slug(config, "jax") for config in near]
    assert len(set(names)) == 3
    assert names[2] == "mnist-shallow-l2=0.0001-seed=0-jax"


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (TWO, "digits-64-32-epochs=1-seed=0-jax: this run is given twice"),
        (
            TWO.replace(dataset="digits-64", hidden=(32,)),
            "digits-64-32-epochs=1-seed=0-jax: two runs would share this folder "
            "(dataset digits and digits-64; hidden [64, 32] and [32])",
        ),
        (LONGEST, f"characters, at most {MAX_NAME} fit"),
    ],
)
def test_a_list_in_which_a_run_has_no_folder_of_its_own_is_refused_whole(tmp_path, other, said):
    """Before anything is trained or made; the first run of the list would do."""
    out = tmp_path / "runs"
    with pytest.raises(InputError, match=re.escape(said)):
        configs = (TWO.replace(hidden=()), TWO, other)
        compare(SweepRequest(configs, device="cpu", out=out), Callbacks())
    if other != TWO:  # the study's needs are a mapping
        with pytest.raises(InputError, match=re.escape(said)):
            RunStore(out).choose({TWO: True, other: False}, "jax")
    assert not out.exists()


def test_assigned_folders_are_where_each_run_lies(tmp_path):
    configs = [TWO, TWO.replace(seed=1)]
    found = RunStore(tmp_path).assign_folders(configs, "torch")
    assert found == {config: tmp_path / slug(config, "torch") for config in configs}


@pytest.mark.parametrize("given", [("train",), ("sweep", "--hidden", "8")])
def test_a_name_too_long_for_a_folder_is_one_line(command, tmp_path, given):
    more = ("--validation", "1000", "--batch-size", "123", "--precision", "float64")
    rates = ("--l2", str(1 / 3e5), "--learning-rate", str(1 / 3e3), "--epochs", "12345")
    wide = ("--hidden", ",".join(16 * ["11111"]))
    done = command(*given, "--dataset", "digits", *wide, *more, *rates, "--as-stored")
    assert (done.returncode, len(done.stderr.splitlines()), done.stdout) == (2, 1, "")
    assert f"characters, at most {MAX_NAME} fit; train it by itself, with --out" in done.stderr
    assert not (tmp_path / "runs").exists()
