"""The wheel, installed outside of the checkout, beside a user's own `cli.py` and `figures/`."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HATCH = [sys.executable, "-m", "hatchling", "build", "-t"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with the wheel's content."""
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run([*HATCH, "wheel", "-d", str(folder)], cwd=ROOT, capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        tops = {name.partition("/")[0] for name in file.namelist()}
        assert {top for top in tops if not top.endswith(".dist-info")} == {"mnist_fn", "torch_ref"}
        file.extractall(folder / "there")
    return folder / "there"


def run(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    code = "import sys; from mnist_fn.command import main; sys.argv[0] = 'mnist-fn'; main()"
    paths = [str(folder), str(installed)]
    return subprocess.run([sys.executable, "-c", code, *arguments], cwd=folder, text=True,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}, timeout=300,
                          capture_output=True, check=False)  # fmt: skip


@pytest.mark.long
def test_a_wheel_does_its_work_beside_a_users_own_cli_and_figures(installed, tmp_path):
    (tmp_path / "cli.py").write_text("raise SystemExit('the wrong cli')\n")
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "__init__.py").write_text("raise SystemExit('the wrong figures')\n")
    small = ("--dataset", "digits", "--hidden", "8", "--epochs", "1")
    for arguments in (
        ("train", *small),
        ("sweep", *small, "--l2", "0,1e-4"),
        ("report", "runs"),
        ("parity", "--dataset", "digits", "--model", "linear", "--precision", "float64"),
        ("study", "--quick", "--dataset", "digits", "--only", "chosen"),
    ):
        done = run(installed, tmp_path, *arguments)
        assert done.returncode == 0, done.stderr
    made = {path.name for path in tmp_path.iterdir()}
    assert made >= {"runs", "report.html", "runs-quick"}


def test_the_command_of_a_checkout_finds_its_rooms_too(tmp_path):
    (tmp_path / "cli.py").write_text("raise SystemExit('the wrong cli')\n")
    assert run(ROOT, tmp_path, "--help").returncode == 0
