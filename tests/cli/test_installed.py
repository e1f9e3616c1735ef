"""The wheel, installed outside of the checkout, beside a user's own `cli.py` and `figures/`."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
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


@pytest.mark.long
def test_a_source_distribution_has_all_that_is_kept_and_makes_the_same_wheel(installed, tmp_path):
    def build(kind, source):
        done = subprocess.run([*HATCH, kind, "-d", str(tmp_path)], cwd=source, text=True,
                              capture_output=True, check=False)  # fmt: skip
        assert done.returncode == 0, done.stderr

    build("sdist", ROOT)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(tmp_path, filter="data")
    source = tmp_path / archive.name.removesuffix(".tar.gz")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, text=True, capture_output=True,
                            check=False)  # fmt: skip
    if listed.returncode == 0:
        kept = {
            name for name in listed.stdout.splitlines() if not name.startswith((".ci/", ".git"))
        }
        assert sorted(name for name in kept if not (source / name).is_file()) == []
    build("wheel", source)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        for name in file.namelist():
            if not name.endswith("RECORD"):
                assert file.read(name) == (installed / name).read_bytes(), name
    tests = [sys.executable, "-m", "pytest", "-q", "tests/shared", "tests/cli/test_help.py"]
    done = subprocess.run(tests, cwd=source, text=True, capture_output=True, check=False,
                          env={**os.environ, "PYTHONPATH": str(source)})  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]


def test_the_version_stands_in_one_place():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {project['version']}\n" in citation
    assert f"\nlicense: {project['license']}\n" in citation
    released = re.findall(r"^## \[([\d.]+)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert released[0][0] == project["version"]
    assert f"\ndate-released: {released[0][1]}\n" in citation


def test_the_command_of_a_checkout_finds_its_rooms_too(tmp_path):
    (tmp_path / "cli.py").write_text("raise SystemExit('the wrong cli')\n")
    assert run(ROOT, tmp_path, "--help").returncode == 0
