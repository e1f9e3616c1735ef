"""Who may import what, seen in a fresh process; and that this check can fail."""

import subprocess
import sys

import pytest

RULES = [
    # imported, must not bring
    ("mnist_fn", ("torch", "torchvision", "jax", "numpy")),
    ("mnist_fn.shared.config", ("torch", "jax", "numpy", "scipy", "matplotlib")),
    ("mnist_fn.shared.trainer", ("torch", "torchvision", "jax", "flax", "optax", "matplotlib")),
    ("mnist_fn.backend", ("torch", "torchvision", "torch_ref", "cli", "figures", "matplotlib")),
    ("mnist_fn.model", ("torch", "torchvision", "torch_ref")),
    ("mnist_fn.bench", ("torch", "torchvision", "torch_ref", "cli", "figures", "matplotlib")),
    ("mnist_fn.capacity", ("torch", "torchvision", "torch_ref", "cli", "figures", "matplotlib")),
    ("mnist_fn.shared.sweep", ("torch", "jax", "scipy", "matplotlib")),
    ("mnist_fn.shared.comparison", ("torch", "jax", "scipy", "matplotlib")),
    ("mnist_fn.shared.timing", ("torch", "jax")),
    ("torch_ref.bench", ("jax", "flax", "optax")),
    ("mnist_fn.shared.parity", ("torch", "jax", "scipy", "matplotlib")),
    ("mnist_fn.shared.horizon", ("torch", "jax", "scipy", "matplotlib")),
    ("mnist_fn.shared.statistics", ("torch", "jax", "scipy", "matplotlib")),
    ("figures.horizon", ("jax", "torch", "cli", "torch_ref")),
    ("mnist_fn.shared.study", ("numpy", "scipy", "matplotlib", "jax", "torch")),
    ("mnist_fn.shared.study_report", ("torch", "jax", "scipy", "matplotlib")),
    ("mnist_fn.shared.evidence", ("torch", "jax", "scipy", "matplotlib")),
    ("figures.build", ("jax", "torch", "cli", "torch_ref")),
    ("figures.sweep", ("jax", "torch", "cli", "torch_ref")),
    ("figures.bench", ("jax", "torch", "cli", "torch_ref")),
    ("figures.report.build", ("jax", "torch", "cli", "torch_ref")),
    ("mnist_fn.shared.picture", ("jax", "torch", "PIL", "scipy")),
    ("torch_ref", ("jax", "flax", "optax")),
    ("figures", ("jax", "torch", "cli", "torch_ref")),
    (
        "cli.main",
        (
            "jax",
            "torch",
            "flax",
            "optax",
            "numpy",
            "matplotlib",
            "scipy",
            "sklearn",
            "PIL",
            "jinja2",
        ),
    ),
]


def brought_by(module: str, forbidden: tuple[str, ...]) -> list[str]:
    """Which of the forbidden modules a fresh process has after importing `module`."""
    code = f"import sys, {module}; print([m for m in {forbidden!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return eval(done.stdout)


@pytest.mark.parametrize(("module", "forbidden"), RULES)
def test_import_brings_nothing_forbidden(module, forbidden):
    assert brought_by(module, forbidden) == []


def test_the_check_can_fail():
    assert brought_by("mnist_fn.backend", ("jax", "torch")) == ["jax"]


def test_a_jax_run_with_its_files_there_imports_no_torch():
    code = (
        "import sys; from mnist_fn import Config, train;"
        "train(Config(dataset='digits', epochs=1, hidden=()));"
        "print([m for m in ('torch', 'torchvision') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
