"""The suite at an end of what pyproject.toml allows, on Python 3.12, in an environment by uv:

    make test-lowest     # the lowest versions of what is depended on
    make test-newest     # the newest

Each writes docs/evidence/bounds-END.json, or fails and writes nothing. A test is red where
pyproject.toml has other bounds than the evidence: then both are to be run again.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree  # of pytest's own report

from pages import EVIDENCE, ROOT

from mnist_fn.shared.runs.records import machine

ENDS = {"lowest": "lowest-direct", "newest": "highest"}
PYTHON = "3.12"


def bounds() -> list[str]:
    """What pyproject.toml asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project["dependencies"]


def digest() -> str:
    """SHA-256 of the bounds, hexadecimal: what the evidence is evidence of."""
    return hashlib.sha256("\n".join(sorted(bounds())).encode()).hexdigest()


def interpreter() -> str:
    """Pyenv's, whose shim on the path may refuse; else uv finds one, or fetches it."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    return next(map(str, pyenv.glob(f"versions/{PYTHON}.*/bin/python")), PYTHON)


def make_environment(folder: Path, end: str) -> Path:
    """Make it, and return its Python."""
    uv = [sys.executable, "-m", "uv"]
    python = folder / "bin" / "python"
    subprocess.run([*uv, "venv", "--quiet", "--python", interpreter(), folder], check=True)
    subprocess.run([*uv, "pip", "install", "--quiet", "--python", python, "--resolution",
                    ENDS[end], "-e", f"{ROOT}[test]"], check=True)  # fmt: skip
    return python


def versions(python: Path) -> dict[str, str]:
    """What is installed there, by name."""
    listed = subprocess.run(
        [sys.executable, "-m", "uv", "pip", "list", "--format", "json", "--python", python],
        check=True, capture_output=True, text=True)  # fmt: skip
    return {one["name"]: one["version"] for one in json.loads(listed.stdout)}


def run_suite(python: Path, report: Path) -> dict[str, int]:
    """Counts of the suite, the long tests left out; CalledProcessError if one fails."""
    tests = [python, "-m", "pytest", "-n", "auto", "--dist", "loadfile",
             "-m", "not long and not exhaustive and not cluster",
             "--deselect", "tests/docs/test_versions_docs.py", f"--junitxml={report}"]  # fmt: skip
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(tests, check=True, cwd=ROOT, env={**os.environ, "PATH": path})
    suite = ElementTree.parse(report).getroot()[0]
    return {name: int(suite.attrib[name]) for name in ("tests", "skipped", "failures", "errors")}


def main() -> None:
    (end,) = sys.argv[1:]
    began = time.time()
    with tempfile.TemporaryDirectory() as folder:
        python = make_environment(Path(folder) / "env", end)
        there = versions(python)
        counts = run_suite(python, Path(folder) / "report.xml")
    document: dict[str, Any] = {
        "command": f"make test-{end}",
        "bounds_sha256": digest(),
        "python": PYTHON,
        "versions": there,
        "result": counts,
        "minutes": round((time.time() - began) / 60, 1),
        "machine": machine(),
    }
    out = EVIDENCE / f"bounds-{end}.json"
    out.write_text(json.dumps(document, indent=2) + "\n")
    print(out.relative_to(ROOT), json.dumps(counts))


if __name__ == "__main__":
    main()
