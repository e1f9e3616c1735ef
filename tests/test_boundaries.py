"""Who may import what, seen in a fresh process; and that this check can fail."""

import json
import shutil
import subprocess
import sys
from importlib import import_module

import pytest

from tests.support import house

FRAMEWORKS = ("torch", "torchvision", "jax", "flax", "optax")
LATER = ("ray", "torch", "jax", "scipy", "matplotlib")  # imported where they are needed, if at all
EXCHANGE = ("jax", "torch", "onnx", "tensorboard")
NO_TORCH = ("torch", "torchvision", "torch_ref", "cli", "figures", "matplotlib")
# Modules, in the order in which one process imports them, and what none of them may have brought
# by then: so what the first may bring stands last.
RULES = {
    "neither framework": [
        ("mnist_fn", ("torch", "torchvision", "jax", "numpy")),
        ("mnist_fn.shared.faults", ("torch", "jax", "numpy")),
        ("mnist_fn.shared.config", ("torch", "jax", "numpy", "scipy", "matplotlib")),
        ("mnist_fn.shared.study.experiments", ("numpy", "scipy", "matplotlib", "jax", "torch")),
        ("cli.main", (*FRAMEWORKS, "numpy", "matplotlib", "scipy", "sklearn", "PIL", "jinja2")),
        ("mnist_fn.shared.bench.timing", ("torch", "jax")),
        ("mnist_fn.shared.runs.trainer", (*FRAMEWORKS, "scipy", "matplotlib", "pandas", "rich")),
        ("mnist_fn.shared.sweeps.sweep", (*LATER, "pandas", "rich")),
        ("mnist_fn.shared.sweeps.workers", LATER),
        ("mnist_fn.shared.sweeps.comparison", LATER),
        ("mnist_fn.shared.parity.handed", LATER),
        ("mnist_fn.shared.parity.backends.climb", LATER),
        ("mnist_fn.shared.parity.causes.update", LATER),
        ("mnist_fn.shared.parity.causes.activation", LATER),
        ("mnist_fn.shared.parity.ladder", LATER),
        ("mnist_fn.shared.parity.recording", LATER),
        ("mnist_fn.shared.parity.horizon", LATER),
        ("mnist_fn.shared.parity.statistics", LATER),
        ("mnist_fn.shared.study.report", LATER),
        ("mnist_fn.shared.pictures.preparation", ("jax", "torch", "PIL", "scipy")),
        ("mnist_fn.shared.exchange.importing", (*EXCHANGE, "scipy")),
        ("mnist_fn.shared.exchange.to_onnx", EXCHANGE),
        ("mnist_fn.shared.exchange.to_tensorboard", EXCHANGE),
        ("cli.training", ("ray", "torch", "jax")),
    ],
    "figures": [
        ("figures", ("jax", "torch", "cli", "torch_ref")),
        ("figures.horizon", ("jax", "torch", "cli", "torch_ref")),
        ("figures.build", ("jax", "torch", "cli", "torch_ref")),
        ("figures.sweep", ("jax", "torch", "cli", "torch_ref")),
        ("figures.bench", ("jax", "torch", "cli", "torch_ref")),
        ("figures.report.build", ("jax", "torch", "cli", "torch_ref")),
    ],
    "JAX": [
        ("mnist_fn.model", ("torch", "torchvision", "torch_ref")),
        ("mnist_fn.backend", NO_TORCH),
        ("mnist_fn.selfcheck", NO_TORCH),
        ("mnist_fn.bench", NO_TORCH),
        ("mnist_fn.capacity", NO_TORCH),
        ("mnist_fn.parity", NO_TORCH),
    ],
    "PyTorch": [
        ("torch_ref", ("jax", "flax", "optax")),
        ("torch_ref.selfcheck", ("jax", "flax", "optax")),
        ("torch_ref.parity", ("jax", "flax", "optax", "cli", "figures", "matplotlib")),
        ("torch_ref.bench", ("jax", "flax", "optax")),
        ("torch_ref.exchange", ("jax", "flax", "optax", "onnx", "tensorboard")),
    ],
}
IMPORTS = """
import importlib, json, sys
for module, forbidden in json.loads(sys.argv[1]):
    importlib.import_module(module)
    print(json.dumps([module, [name for name in forbidden if name in sys.modules]]))
"""


def brought_by(*rules: tuple[str, tuple[str, ...]]) -> dict[str, list[str]]:
    """Which of its forbidden modules a fresh process has after importing each module."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, json.dumps(rules)],
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(line) for line in done.stdout.splitlines())


@pytest.mark.parametrize("kind", RULES)
def test_imports_bring_nothing_forbidden(kind):
    assert brought_by(*RULES[kind]) == {module: [] for module, _ in RULES[kind]}


def test_the_check_can_fail():
    rules = [("mnist_fn.shared.config", ("jax",)), ("mnist_fn.backend", ("jax", "torch"))]
    assert brought_by(*rules) == {"mnist_fn.shared.config": [], "mnist_fn.backend": ["jax"]}


def test_a_jax_run_with_its_files_there_imports_no_torch():
    code = (
        "import sys; from mnist_fn import Config, train;"
        "train(Config(dataset='digits', epochs=1, hidden=()));"
        "print([m for m in ('torch', 'torchvision') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


ROOMS = ("data", "pictures", "runs", "sweeps", "parity", "study", "bench", "exchange")
OPEN = {room: import_module(f"mnist_fn.shared.{room}").OPEN for room in ROOMS}


@pytest.fixture
def copy(tmp_path):
    """The house once more, to break something in."""
    for top in house.TOPS:
        shutil.copytree(house.ROOT / top, tmp_path / top)
    return tmp_path


def test_arrows_run_down():
    assert house.upward(house.edges()) == []


def test_no_files_import_each_other_in_a_circle():
    assert house.circle(house.edges()) == []


def test_rooms_are_entered_by_the_files_they_name():
    found = house.edges()
    assert house.trespasses(found, OPEN) == []
    for room, names in OPEN.items():
        for name in names:
            assert f"mnist_fn.shared.{room}.{name}" in found


def test_every_file_stands_in_a_known_room():
    rooms = {house.room_of(module) for module in house.edges()} - {None}
    assert rooms == set(house.ROOMS)


@pytest.mark.parametrize(
    ("file", "line", "imported"),
    [
        ("mnist_fn/shared/runs/loop.py", "from mnist_fn.shared.study import report", "study"),
        (
            "mnist_fn/shared/config.py",
            "from mnist_fn import backend",
            "backend",
        ),
        ("mnist_fn/shared/bench/timing.py", "from mnist_fn.shared.runs.run import Run", "runs"),
        (
            "mnist_fn/shared/data/arrays.py",
            "from mnist_fn.shared.backend import Backend",
            "backend",
        ),
        ("figures/l2.py", "from cli import output", "cli"),
        ("torch_ref/model.py", "from mnist_fn import model", "mnist_fn.model"),
    ],
)
def test_an_injected_upward_import_is_seen(copy, file, line, imported):
    with (copy / file).open("a") as opened:
        opened.write(f"\n\ndef later():\n    {line}\n")
    module = file.removesuffix(".py").replace("/", ".")
    assert any(
        one.startswith(f"{module} imports") and imported in one
        for one in house.upward(house.edges(copy))
    )


def test_an_injected_circle_is_seen(copy):
    with (copy / "mnist_fn/shared/data/arrays.py").open("a") as opened:
        opened.write("\n\ndef later():\n    from mnist_fn.shared.data.cache import entries\n")
    assert {"mnist_fn.shared.data.arrays", "mnist_fn.shared.data.cache"} <= set(
        house.circle(house.edges(copy))
    )


def test_an_injected_trespass_is_seen(copy):
    with (copy / "figures/l2.py").open("a") as opened:
        opened.write("\nfrom mnist_fn.shared.study.judging import judge\n")
    assert house.trespasses(house.edges(copy), OPEN) == [
        "figures.l2 imports mnist_fn.shared.study.judging"
    ]
