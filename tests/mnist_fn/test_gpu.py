"""On a GPU: skipped, saying so, where JAX sees none. Real measurements: mnist-fn bench."""

import json
import subprocess
import sys

import pytest

from mnist_fn import load_run

ON_GPU = {"JAX_PLATFORMS": None}  # the other tests keep to the CPU
RUN = ("--dataset", "digits", "--hidden", "32", "--epochs", "3", "--device", "gpu", "--json")


@pytest.fixture(scope="module")
def gpu():
    code = "import os; os.environ.pop('JAX_PLATFORMS', 0); import jax; print(jax.devices('gpu')[0])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("no GPU that JAX sees; there: python -m pytest tests/mnist_fn/test_gpu.py")


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_lower_precision_is_recorded_and_learns_as_well(gpu, command, tmp_path, precision):
    """Rounding the products' inputs is noise of 1e-3 (tf32) or 4e-3 (bf16) of each: 5 % of the
    loss is ten times that, and far from a model that has not learnt."""
    full = json.loads(command("train", *RUN, env=ON_GPU).stdout)
    low = json.loads(command("train", *RUN, "--precision", precision, env=ON_GPU).stdout)
    assert low["precision"] == precision
    assert load_run(tmp_path / low["run"]).config.precision == precision
    assert low["final"]["test_loss"] == pytest.approx(full["final"]["test_loss"], rel=0.05)


def test_a_vmapped_sweep_is_the_single_runs(gpu, command, tmp_path):
    """Batched products add up in another order: after 24 steps a few 1e-6 of the loss."""
    swept = json.loads(command("sweep", *RUN, "--seeds", "4", env=ON_GPU).stdout)
    for seed, path in enumerate(swept["runs"]):
        single = command("train", *RUN, "--seed", str(seed), "--out", f"s{seed}", env=ON_GPU)
        loss = load_run(tmp_path / path).final["test_loss"]
        assert loss == pytest.approx(json.loads(single.stdout)["final"]["test_loss"], rel=1e-4)


def test_the_bench_measures_it(gpu, command):
    done = command("bench", "--dataset", "digits", "--hidden", "8", "--device", "gpu",
                   "--rounds", "1", "--json", env=ON_GPU)  # fmt: skip
    document = json.loads(done.stdout)
    assert document["device"] != "cpu"
    assert {"jax/train", "jax/products"} <= set(document["epochs"])
    assert not any(name.startswith("jax/") for name in document["left_out"])


@pytest.mark.parametrize("devices", ["gpu", "gpu,cpu"])
def test_the_ladder_holds_there(gpu, command, devices):
    """JAX on the GPU against PyTorch on it, where it has one too, and on the CPU."""
    torch = pytest.importorskip("torch")
    if devices == "gpu" and not torch.cuda.is_available():
        pytest.skip("PyTorch finds no CUDA GPU; there: python -m pytest tests/mnist_fn/test_gpu.py")
    done = command("parity", "--dataset", "digits", "--device", devices, "--model",
                   "linear,shallow", "--json", env=ON_GPU)  # fmt: skip
    document = json.loads(done.stdout)
    assert document["passed"], done.stderr
    assert document["devices"][0] != "cpu"
