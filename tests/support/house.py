"""The house as its imports draw it: files as modules, and who imports whom, read and not run."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOPS = ("mnist_fn", "torch_ref", "figures", "cli")
SHARED = "mnist_fn.shared"
# Each may import what stands in its row, and itself.
ABOVE = {
    "mnist_fn": {"mnist_fn.shared"},
    "torch_ref": {"mnist_fn.shared"},
    "figures": {"mnist_fn.shared"},
    "cli": {"figures", "torch_ref", "mnist_fn", "mnist_fn.shared"},
    "mnist_fn.shared": set(),
}
FLOOR = (
    *("wording", "errors", "state", "faults", "optimizers", "config", "evaluation", "storage"),
    *("streams", "statistics", "source"),
)
ROOMS = {
    "floor": set(),
    "data": {"floor"},
    "pictures": {"floor"},
    "backend": {"data", "floor"},
    "runs": {"backend", "data", "floor"},
    "sweeps": {"runs", "backend", "data", "floor"},
    "parity": {"sweeps", "runs", "backend", "data", "floor"},
    "study": {"sweeps", "runs", "backend", "data", "floor"},
    "bench": {"backend", "data", "floor"},
    "exchange": {"runs", "backend", "data", "floor"},
}

Edges = dict[str, set[str]]


def edges(root: Path = ROOT) -> Edges:
    """Each file's module and the modules of the house that it imports, at any depth of its code."""
    files = {
        ".".join(path.relative_to(root).with_suffix("").parts): path
        for top in TOPS
        for path in sorted((root / top).rglob("*.py"))
    }
    packages = {name.removesuffix(".__init__") for name in files if name.endswith(".__init__")}
    found: Edges = {}
    for name, path in files.items():
        named = set(_named(ast.parse(path.read_text())))
        found[name.removesuffix(".__init__")] = {
            one for one in named if one in files or one in packages
        } - {name}
    return found


def _named(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def top_of(module: str) -> str:
    """`cli`, `figures`, `torch_ref`, `mnist_fn` or `mnist_fn.shared`."""
    return SHARED if module.startswith(SHARED) else module.partition(".")[0]


def room_of(module: str) -> str | None:
    """The room of a module of `mnist_fn.shared`; the package itself is in none."""
    inside = module.removeprefix(SHARED).strip(".").partition(".")[0]
    if not inside or not module.startswith(SHARED):
        return None
    return "floor" if inside in FLOOR else inside


def upward(found: Edges) -> list[str]:
    """Imports that go where they must not, each `a imports b`."""
    wrong = []
    for module, imported in found.items():
        for one in imported:
            there = top_of(one)
            if there != top_of(module) and there not in ABOVE[top_of(module)]:
                wrong.append(f"{module} imports {one}")
            room, other = room_of(module), room_of(one)
            if room and other and other != room and other not in ROOMS[room]:
                wrong.append(f"{module} imports {one}")
    return sorted(wrong)


def trespasses(found: Edges, open_to_others: dict[str, list[str]]) -> list[str]:
    """Imports from outside of a room of a file that its `OPEN` does not name."""
    return sorted(
        f"{module} imports {one}"
        for module, imported in found.items()
        for one in imported
        if (room := room_of(one)) in open_to_others
        and room_of(module) != room
        and one.count(".") > 2
        and one.split(".")[3] not in open_to_others[room]
    )


def circle(found: Edges) -> list[str]:
    """Files that import each other in a circle, the first found; a package is no file of it."""
    packages = {module.rpartition(".")[0] for module in found}
    files = {
        module: {one for one in imported if one not in packages}
        for module, imported in found.items()
        if module not in packages
    }
    try:
        TopologicalSorter(files).prepare()
    except CycleError as error:
        return error.args[1]
    return []
