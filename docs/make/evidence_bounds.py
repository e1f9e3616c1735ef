"""The suite at an end of what pyproject.toml allows, on Python 3.12, in an environment by uv:

    make test-lowest     # the lowest versions of what is depended on
    make test-newest     # the newest

Each writes docs/evidence/bounds-END.json, or fails and writes nothing. A test is red where
pyproject.toml has other bounds or constraints.txt other pins of them than the evidence: then both
are to be run again. `python docs/make/evidence_bounds.py stale` names those, one a line.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from xml.etree import ElementTree  # of pytest's own report

from pages import EVIDENCE, ROOT, write_evidence

ENDS = {"lowest": "lowest-direct", "newest": "highest"}
PYTHON = "3.12"
TOOLS = ("test", "docs", "zoo")  # extras of those who work on the project
ITSELF = "tests/docs/test_versions_docs.py::test_the_ends_are_of_the_bounds_that_we_have"


def bounds(pyproject: str, constraints: str) -> list[str]:
    """What is asked for at run time, in whichever extra, and its pins; sorted."""
    project = tomllib.loads(pyproject)["project"]
    extras = project["optional-dependencies"]
    lists = [project["dependencies"], *(extras[name] for name in extras if name not in TOOLS)]
    asked = {one for some in lists for one in some if _name(one) != project["name"]}
    names = {_name(one) for one in asked}
    lines = [line.partition("#")[0].strip() for line in constraints.splitlines()]
    return sorted(asked | {line for line in lines if line and _name(line) in names})


def _name(requirement: str) -> str:
    """The package's name as registries compare it."""
    found = re.match(r"[\w.-]+", requirement)
    return re.sub(r"[-_.]+", "-", found[0] if found else "").lower()


def here() -> list[str]:
    """The bounds as they are."""
    return bounds(*((ROOT / name).read_text() for name in ("pyproject.toml", "constraints.txt")))


def digest() -> str:
    """SHA-256 of the bounds, hexadecimal: what the evidence is evidence of."""
    return hashlib.sha256("\n".join(here()).encode()).hexdigest()


def evidence(end: str) -> Path:
    """Where an end's result is kept."""
    return EVIDENCE / f"bounds-{end}.json"


def stale() -> list[str]:
    """The ends whose result is of other bounds than these; where none is kept, none is claimed."""
    kept = {end: json.loads(evidence(end).read_text()) for end in ENDS if evidence(end).exists()}
    return [end for end, result in kept.items() if result["bounds_sha256"] != digest()]


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
                    ENDS[end], "-e", f"{ROOT}[all,test]"], check=True)  # fmt: skip
    return python


def versions(python: Path) -> dict[str, str]:
    """What is installed there, by name."""
    listed = subprocess.run(
        [sys.executable, "-m", "uv", "pip", "list", "--format", "json", "--python", python],
        check=True, capture_output=True, text=True)  # fmt: skip
    return {one["name"]: one["version"] for one in json.loads(listed.stdout)}


def run_suite(python: Path, report: Path) -> dict[str, int]:
    """Counts of the suite, the long tests left out; CalledProcessError if one fails."""
    suite = [python, "-m", "pytest", "-n", "auto", "--dist", "loadfile",
             "-m", "not long and not exhaustive and not cluster",
             "--deselect", ITSELF, f"--junitxml={report}"]  # fmt: skip
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(suite, check=True, cwd=ROOT, env={**os.environ, "PATH": path})
    counts = ElementTree.parse(report).getroot()[0].attrib
    tests, skipped = int(counts["tests"]), int(counts["skipped"])
    return {"passed": tests - skipped, "skipped": skipped}


def main() -> None:
    (end,) = sys.argv[1:]
    if end == "stale":
        print(*stale(), sep="\n")
        return
    began = time.time()
    with tempfile.TemporaryDirectory() as folder:
        python = make_environment(Path(folder) / "env", end)
        there = versions(python)
        counts = run_suite(python, Path(folder) / "report.xml")
    out = evidence(end)
    write_evidence(
        out,
        f"make test-{end}",
        bounds_sha256=digest(),
        python=PYTHON,
        versions=there,
        result=counts,
        minutes=round((time.time() - began) / 60, 1),
    )
    print(out.relative_to(ROOT), json.dumps(counts))


if __name__ == "__main__":
    main()
