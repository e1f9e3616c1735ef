"""The public port disputes, where they lie: beside the checkout, or where MNIST_FN_CASES says."""

import importlib.util
import os
from pathlib import Path

import pytest

AT = os.environ.get("MNIST_FN_CASES") or Path(__file__).parents[3] / "shared" / "cases"
REQUIRED = os.environ.get("MNIST_FN_REQUIRE_CASES") == "1"


def load_cases():
    """`ports.CASES` by name; skips where they are not found, fails where CI has them."""
    path = Path(AT) / "ports.py"
    if not path.is_file():
        reason = "the port disputes were not found: set MNIST_FN_CASES to the folder of ports.py"
        if REQUIRED:
            pytest.fail(reason)
        pytest.skip(reason)
    spec = importlib.util.spec_from_file_location("port_disputes", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {case.name: case for case in module.CASES}
