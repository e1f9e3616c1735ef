"""Versions known to compute wrong are refused, or warned of; others are not."""

import warnings

import numpy as np
import pytest
from safetensors.numpy import save_file

from mnist_fn.shared import backend as backends
from mnist_fn.shared import faults
from mnist_fn.shared.errors import InputError


@pytest.fixture
def installed(monkeypatch):
    """Make a version of jaxlib seem to be the one that is here."""
    monkeypatch.setenv(faults.ALLOW, "0")

    def pretend(version):
        faults.check.cache_clear()
        monkeypatch.setattr(faults, "version_of", lambda package: {"jaxlib": version}.get(package))

    yield pretend
    faults.check.cache_clear()


@pytest.mark.parametrize("version", ["0.8.0", "0.8.1"])
def test_a_version_that_is_wrong_on_the_path_is_refused(installed, version):
    installed(version)
    with pytest.raises(InputError, match=f"jaxlib {version} is known.*pip install.*KNOWN_WRONG=1"):
        backends.find("jax")
    backends.find("torch")  # it does not compute with it


def test_who_allows_it_goes_on(installed, monkeypatch):
    installed("0.8.1")
    monkeypatch.setenv(faults.ALLOW, "1")
    backends.find("jax")


def test_a_fault_elsewhere_is_said_once(installed):
    installed("0.10.2")
    with pytest.warns(faults.KnownFault, match=r"39103.*to be rid of it: pip install"):
        backends.find("jax")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        backends.find("jax")


@pytest.mark.parametrize("version", ["0.8.2", "0.10.1", "0.12.0.1", None])
def test_nothing_is_said_of_other_versions(installed, version):
    installed(version)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        backends.find("jax")
    assert faults.known() == []


TRAIN = (*["train", "--dataset", "digits", "--hidden", "", "--epochs", "1", "--json"],)


def test_the_command_refuses_on_one_line_and_goes_on_if_told_to(in_process, installed):
    installed("0.8.1")
    done = in_process(*TRAIN, env={faults.ALLOW: "0"})
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "at the same address" in done.stderr
    for place in (0, len(TRAIN)):  # before the command or behind it
        words = [*TRAIN[:place], "--allow-known-wrong", *TRAIN[place:]]
        assert in_process(*words, env={faults.ALLOW: "0"}).returncode == 0


PORT = """
import jax.numpy as jnp
from mnist_fn.parity import JaxProgram
reference = port = JaxProgram(jnp.dot, jnp.ones((2, 2)))
batches = [(jnp.ones((1, 2)), jnp.ones((1, 2)))]
"""
SMALL = ("--dataset", "digits", "--hidden", "", "--out", "made")


@pytest.mark.parametrize(
    "words",
    [
        ("sweep", *SMALL, "--epochs", "1", "--seeds", "2"),
        ("sweep", *SMALL, "--epochs", "1", "--seeds", "2", "--workers", "2"),
        ("study", "--quick", "--dataset", "digits", "--out", "made"),
        ("parity", "--dataset", "digits"),
        ("bench", "--dataset", "digits", "--hidden", "4", "--rounds", "1", "--quick"),
        ("bench", "--dataset", "digits", "--hidden", "4", "--rounds", "1", "--what", "workers"),
        ("port", "port.py"),
        ("evaluate", "run"),
        ("import", "weights.safetensors", "--pixels", "0-1", "--dataset", "digits"),
    ],
    ids=lambda words: " ".join(words[:1] + words[-1:]),
)  # fmt: skip
def test_every_command_that_computes_refuses(in_process, installed, runs_28, tmp_path, words):
    """Before it computes, and leaves nothing."""
    (tmp_path / "port.py").write_text(PORT)
    (tmp_path / "run").symlink_to(runs_28["linear"])
    save_file({"a.weight": np.ones((10, 64), np.float32)}, tmp_path / "weights.safetensors")
    there = sorted(path.name for path in tmp_path.iterdir())
    installed("0.8.1")
    done = in_process(*words, env={faults.ALLOW: "0"})
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert "jaxlib 0.8.1 is known to compute wrong" in done.stderr
    assert "go on all the same with --allow-known-wrong" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "cache") == there


@pytest.mark.filterwarnings("default")
def test_the_command_says_a_fault_elsewhere_on_one_line(in_process, installed):
    installed("0.10.2")
    said = in_process(*TRAIN).stderr.splitlines()
    assert sum("jaxlib 0.10.2 is known" in line for line in said) == 1
