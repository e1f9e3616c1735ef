"""`mnist-fn doctor`, and that its self-check sees what is wrong; the version, each way."""

import json
import subprocess
import sys
from importlib.metadata import version

import known_faults
import numpy as np
import pytest

import mnist_fn
from mnist_fn.shared import backend as backends
from mnist_fn.shared import faults
from mnist_fn.shared.parity.selfcheck import check_backend


@pytest.mark.long
def test_doctor_says_what_is_here_and_whether_it_is_right(command, tmp_path):
    done = command("doctor", "--full", "--json", env={"MNIST_FN_DATA": str(tmp_path)})
    found = json.loads(done.stdout)
    assert done.returncode == (0 if found["passed"] else 1), done.stderr
    assert found["versions"]["jaxlib"] == version("jaxlib")
    assert found["data"] == {"mnist": None, "fashion-mnist": None, "kmnist": None}
    assert "JAX_PLATFORMS is cpu" in " ".join(found["devices"]["jax"])
    assert found["devices"]["torch"]
    assert all(check["passed"] for check in found["checks"])
    assert {check["backend"] for check in found["checks"]} >= {"jax", "torch"}


def test_doctor_compiles_nothing_unless_asked(in_process, monkeypatch):
    from cli import diagnosis

    def fail(*_):
        raise AssertionError("a backend was made")

    monkeypatch.setattr(diagnosis, "check_backend", fail)
    done = in_process("doctor", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["full"], found["checks"]) == (False, [])
    assert "doctor --full" in in_process("doctor").stdout


def test_a_known_wrong_version_is_named_with_the_way_out(in_process, monkeypatch):
    from cli import diagnosis

    fault = faults.FAULTS[0]
    monkeypatch.setattr(diagnosis.backends, "names", list)  # nothing is computed
    monkeypatch.setattr(faults, "version_of", {"jaxlib": "0.8.1"}.get)
    done = in_process("doctor")
    assert done.returncode == 1
    assert f"WRONG jaxlib 0.8.1 is known to compute wrong: {fault.what}" in done.stdout
    assert faults.CURE in done.stdout
    monkeypatch.setattr(faults, "version_of", {"jaxlib": "0.8.2"}.get)
    assert in_process("doctor").returncode == 0


def test_a_folder_of_data_that_is_not_there_is_said_beside_the_rest(in_process, monkeypatch):
    from cli import diagnosis

    monkeypatch.setattr(diagnosis.backends, "names", list)  # nothing is computed
    done = in_process("doctor", env={"MNIST_FN_DATA": "/nowhere"})
    assert "mnist: not here (MNIST_FN_DATA=/nowhere: no such folder; correct" in done.stdout
    assert "chromium: " in done.stdout


def test_a_dataset_is_there_if_its_content_is(in_process, monkeypatch, mnist_dir, tmp_path):
    """Fashion-MNIST's and KMNIST's files have MNIST's names."""
    from cli import diagnosis

    for file in mnist_dir.iterdir():
        (tmp_path / file.name).symlink_to(file)
    monkeypatch.setattr(diagnosis.backends, "names", list)
    done = in_process("doctor", env={"MNIST_FN_DATA": str(tmp_path)})
    assert f"\nmnist: {tmp_path}\n" in done.stdout
    assert f"\nfashion-mnist: not here ({tmp_path}" in done.stdout
    assert "not fashion-mnist's: SHA-256 should begin" in done.stdout


class Stale:
    """A backend whose third gradient is the one before, as of jaxlib 0.8.1."""

    def __init__(self, *arguments):
        self._backend = backends.find("torch")(*arguments)
        self._kept = []

    def __getattr__(self, name):
        return getattr(self._backend, name)

    def gradients(self, state, indices):
        self._kept.append(self._backend.gradients(state, indices))
        return self._kept[1 if len(self._kept) == 3 else -1]


def test_the_self_check_sees_a_stale_product():
    products, *steps = check_backend(Stale)
    assert not products.passed
    assert "call 3 of" in products.worst.what
    assert all(rung.passed for rung in steps)  # the fault lies elsewhere
    assert all(rung.passed for rung in check_backend(backends.find("torch")))


def test_the_known_faults_are_told_from_right_sums(monkeypatch):
    assert known_faults.stale_products() == 0 or version("jaxlib") in ("0.8.0", "0.8.1")
    expected = 2 if version("jaxlib") == "0.10.2" else 0  # one in each precision
    assert known_faults.wrong_rows() == expected
    monkeypatch.setattr(known_faults.jnp, "eye", lambda n, dtype: 2 * np.eye(n, dtype=dtype))
    assert known_faults.wrong_rows() > 40_000
    monkeypatch.setattr(known_faults.jnp, "matmul", lambda x, w: x @ w * 1.001)
    assert known_faults.stale_products() == known_faults.CALLS


@pytest.mark.parametrize("asked", [["-m", "cli.main"], ["-m", "mnist_fn"]])
def test_the_version(asked, tmp_path):
    done = subprocess.run(
        [sys.executable, *asked, "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"mnist-fn {mnist_fn.__version__}\n"
    assert mnist_fn.__version__ == version("mnist-fn")


def test_the_shell_completes_commands(in_process):
    named = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}  # the shell is not looked for
    script = in_process("--show-completion", "bash", env=named).stdout
    assert "_MNIST_FN_COMPLETE" in script
    assert script.endswith("mnist-fn\n")
    asked = {"_MNIST_FN_COMPLETE": "complete_bash", "COMP_WORDS": "mnist-fn doc", "COMP_CWORD": "1"}
    assert in_process(env=asked).stdout.split() == ["doctor"]
