"""A version known to compute wrong is said on one line at start; others are not."""

import warnings

import pytest

from mnist_fn import backend as jax_backend
from mnist_fn.shared import faults

TRAIN = ("train", "--dataset", "digits", "--hidden", "", "--epochs", "1", "--json")


@pytest.fixture
def installed(monkeypatch):
    """Make a version of jaxlib seem to be the one that is here."""

    def pretend(version):
        faults.warn.cache_clear()
        monkeypatch.setattr(faults, "version_of", lambda package: {"jaxlib": version}.get(package))

    yield pretend
    faults.warn.cache_clear()


@pytest.mark.parametrize("version", ["0.8.0", "0.8.1", "0.10.2"])
def test_a_known_fault_is_said_once(installed, version):
    installed(version)
    with pytest.warns(
        faults.KnownFault, match=f"jaxlib {version} is known.*to replace it: pip inst"
    ):
        jax_backend.find_devices("cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jax_backend.find_devices("cpu")


@pytest.mark.parametrize("version", ["0.8.2", "0.10.1", "0.12.0.1", None])
def test_nothing_is_said_of_other_versions(installed, version):
    installed(version)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jax_backend.find_devices("cpu")
    assert faults.known() == []


@pytest.mark.filterwarnings("default")
def test_the_command_says_it_on_one_line_and_trains(in_process, installed):
    installed("0.8.1")
    done = in_process(*TRAIN)
    assert done.returncode == 0, done.stderr
    assert sum("jaxlib 0.8.1 is known" in line for line in done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr
