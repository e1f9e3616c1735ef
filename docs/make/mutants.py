"""Mutation testing: break one line at a time and see whether the room's tests notice.

    python docs/make/mutants.py [ROOM ...] [--sample 60] [--seed 0] [--noticed FILE]

A mutant changes one operator, constant, comparison or condition of a module. Its tests run in a
forked child that reads the mutated text; a mutant that no test notices survives and is printed.
Writes docs/evidence/mutants.json: counts, and each survivor. One process, no module is changed.
With --noticed the digests of noticed mutants are kept in a file and these are not tried again, so
the command may be stopped and repeated. Delete it after a test was taken away.
"""

import argparse
import ast
import hashlib
import importlib.abc
import importlib.util
import json
import os
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from pages import EVIDENCE, ROOT, write_evidence

FILE = EVIDENCE / "mutants.json"
SECONDS = 120  # a mutant that loops forever is noticed by this
# Modules, and the tests that are theirs.
ROOMS = {
    "statistics": (["mnist_fn/shared/statistics.py"],
                   ["tests/shared/test_statistics.py"]),
    "evaluation": (["mnist_fn/shared/evaluation.py"],
                   ["tests/shared/test_evaluation.py"]),
    "metrics": (["mnist_fn/shared/runs/metrics.py"],
                ["tests/runs/test_metrics.py"]),
    "comparison": (["mnist_fn/shared/sweeps/comparison.py"], ["tests/runs/test_comparison.py"]),
    "study": (["mnist_fn/shared/study/judging.py", "mnist_fn/shared/study/claims.py",
               "mnist_fn/shared/study/published.py", "mnist_fn/shared/study/protocol.py",
               "mnist_fn/shared/study/joint.py"],
              ["tests/study/test_published.py", "tests/study/test_study.py",  # the quickest first
               "tests/study/test_joint.py"]),
}  # fmt: skip
SLOW = (
    "numpy",
    "scipy.stats",
    "pytest",
    "typer.main",
    "rich.console",
    "PIL.ImageOps",
    "safetensors",
)
COMPARISONS = {ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt,
               ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
               ast.In: ast.NotIn, ast.NotIn: ast.In}  # fmt: skip
OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
             ast.Pow: ast.Mult, ast.FloorDiv: ast.Mult, ast.BitAnd: ast.BitOr,
             ast.BitOr: ast.BitAnd}  # fmt: skip
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}


def mutants(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield each mutant of a module: its line, what was changed, the whole changed text."""
    count = sum(1 for _ in _places(ast.parse(text)))
    for index in range(count):
        tree = ast.parse(text)
        for place, (node, change) in enumerate(_places(tree)):
            if place == index:
                line, before = node.lineno, ast.unparse(node)
                change()
                yield line, f"{before} -> {ast.unparse(node)}", ast.unparse(tree)
                break


def _places(tree: ast.Module) -> Iterator[tuple]:
    """Yield each place that can be changed, and what changes it. Annotations are left alone."""
    skipped = {id(inside) for node in ast.walk(tree) for outside in _annotations(node)
               for inside in ast.walk(outside)}  # fmt: skip
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
            yield node, lambda node=node: node.ops.__setitem__(0, COMPARISONS[type(node.ops[0])]())
        elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            yield node, lambda node=node: setattr(node, "op", OPERATORS[type(node.op)]())
        elif isinstance(node, ast.BoolOp):
            other = ast.Or if isinstance(node.op, ast.And) else ast.And
            yield node, lambda node=node, other=other: setattr(node, "op", other())
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield node, lambda node=node: setattr(node, "op", ast.UAdd())
        elif isinstance(node, ast.IfExp):
            yield node, lambda node=node: _swap(node)
        elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
            yield node, lambda node=node: setattr(node, "value", node.value + 1)
        elif isinstance(node, ast.Name) and node.id in NAMES and isinstance(node.ctx, ast.Load):
            yield node, lambda node=node: setattr(node, "id", NAMES[node.id])


def _annotations(node: ast.AST) -> Iterator[ast.AST]:
    for name in ("annotation", "returns"):
        annotation = getattr(node, name, None)
        if isinstance(annotation, ast.AST):
            yield annotation
    if (
        isinstance(node, ast.Assign)
        and any(isinstance(inside, ast.Subscript) for inside in ast.walk(node.value))
        and isinstance(node.value, ast.Subscript | ast.BinOp)
    ):
        yield node.value  # an alias of a type


def _swap(node: ast.IfExp) -> None:
    node.body, node.orelse = node.orelse, node.body


class Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Serves one module's mutated text in place of its file."""

    def __init__(self, file: Path, text: str) -> None:
        self.name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        self.file, self.text = file, text

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> object:
        if fullname != self.name:
            return None
        return importlib.util.spec_from_file_location(fullname, self.file, loader=self)

    def exec_module(self, module: object) -> None:
        exec(compile(self.text, str(self.file), "exec"), module.__dict__)


def survives(file: Path, text: str, tests: list[str]) -> bool:
    """Whether all tests pass with a module's text in place of its own."""
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        sys.meta_path.insert(0, Mutated(file, text))
        import pytest

        os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests])))
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 0


def warm() -> None:
    """Import what is slow and never mutated, once for all children."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for name in SLOW:
        importlib.import_module(name)


def main() -> None:
    """Run the rooms asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rooms", nargs="*", choices=[*ROOMS, []], help="default: all")
    parser.add_argument("--sample", type=int, help="of a room's mutants; default: all")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--noticed", type=Path, help="file of mutants that are not tried again")
    given = parser.parse_args()
    os.chdir(ROOT)
    warm()
    found = json.loads(FILE.read_text())["rooms"] if FILE.exists() else {}
    noticed = set()
    if given.noticed and given.noticed.exists():
        noticed = set(given.noticed.read_text().split())
    for room in given.rooms or ROOMS:
        files, tests = ROOMS[room]
        every = [(Path(ROOT / file), *mutant) for file in files
                 for mutant in mutants((ROOT / file).read_text())]  # fmt: skip
        if not survives(every[0][0], every[0][0].read_text(), tests):
            raise SystemExit(f"{room}: its tests fail without any mutant")
        chosen = every
        if given.sample and given.sample < len(every):
            chosen = random.Random(given.seed).sample(every, given.sample)
        survivors = []
        for file, line, change, text in chosen:
            where = f"{file.relative_to(ROOT)}:{line}"
            digest = hashlib.sha256(f"{file.name}\n{text}".encode()).hexdigest()
            if digest in noticed:
                continue
            if survives(file, text, tests):
                survivors.append({"where": where, "change": change})
                print(f"{where}: {change}", flush=True)
            elif given.noticed:
                with given.noticed.open("a") as kept:
                    print(digest, file=kept)
        command = f"python docs/make/mutants.py {room}"
        if given.sample:
            command += f" --sample {given.sample} --seed {given.seed}"
        found[room] = {"command": command, "mutants": len(every), "tried": len(chosen),
                       "survivors": survivors}  # fmt: skip
        print(f"{room}: {len(survivors)} of {len(chosen)} tried survive, of {len(every)}")
        write_evidence(FILE, "python docs/make/mutants.py", rooms=found)


if __name__ == "__main__":
    main()
