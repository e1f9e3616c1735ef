"""The public port disputes, where they lie: beside the checkout, or where MNIST_FN_CASES says."""

import importlib.util
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

import mnist_fn.parity
import torch_ref.parity

AT = os.environ.get("MNIST_FN_CASES") or Path(__file__).parents[3] / "shared" / "cases"
REQUIRED = os.environ.get("MNIST_FN_REQUIRE_CASES") == "1"
# The cases are written against the names that these had before.
OLD_NAMES = {
    "mnist_fn.porting": {
        "FlaxSide": mnist_fn.parity.FlaxProgram,
        "JaxSide": mnist_fn.parity.JaxProgram,
        "check_port": mnist_fn.parity.check_port,
    },
    "torch_ref.porting": {"TorchSide": torch_ref.parity.TorchProgram},
}


@contextmanager
def old_names():
    """Modules by the names that the cases import, while the block runs."""
    modules = {name: ModuleType(name) for name in OLD_NAMES}
    for name, module in modules.items():
        vars(module).update(OLD_NAMES[name])
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]


def load_cases():
    """`ports.CASES` by name; skips where they are not found, fails where CI has them."""
    return {case.name: case for case in load_module("ports.py").CASES}


def load_module(file):
    """A file of the cases as a module, such as `more_ports/outputs.py`; else as `load_cases`."""
    path = Path(AT) / file
    if not path.is_file():
        reason = "the port disputes were not found: set MNIST_FN_CASES to the folder of ports.py"
        if REQUIRED:
            pytest.fail(reason)
        pytest.skip(reason)
    spec = importlib.util.spec_from_file_location(f"port_case_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    try:
        with old_names():
            spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module
