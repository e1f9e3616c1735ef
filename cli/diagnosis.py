"""What `mnist-fn doctor` finds: what is here, and whether it computes right."""

import importlib
import os
import platform
import shutil
import time
from collections.abc import Callable
from typing import Any

from mnist_fn.shared import backend as backends
from mnist_fn.shared import faults
from mnist_fn.shared.data.cache import cache_dir
from mnist_fn.shared.data.datasets import load
from mnist_fn.shared.data.files import TORCHVISION, find
from mnist_fn.shared.errors import InputError, MissingExtraError, in_shell
from mnist_fn.shared.parity.selfcheck import check_backend
from mnist_fn.shared.runs.environment import cores, machine, versions

SCHEMA = 1
FRAMEWORKS = {"jax": "mnist_fn.selfcheck", "torch": "torch_ref.selfcheck"}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
THREADS = ("OMP_NUM_THREADS", "PJRT_NPROC", "XLA_FLAGS", "JAX_PLATFORMS", "CUDA_VISIBLE_DEVICES")


def diagnose(full: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """What is installed here, as one document; `passed` is false if something is wrong.

    Args:
        full: compare each backend with NumPy too, which compiles its programs.
        say: called with the name of each of these comparisons before it begins.
    """
    known = faults.known()
    started = time.perf_counter()
    checks: list[dict[str, Any]] = []
    for name in backends.names() if full else ():
        checks += _checked(name, say)
    return {
        "schema": SCHEMA,
        "passed": not known and all(check["passed"] for check in checks),
        "system": {"platform": platform.platform(), "machine": machine()},
        "versions": versions(),
        "known_wrong": known,
        "devices": {name: _devices(module) for name, module in FRAMEWORKS.items()},
        "threads": {
            "cores": cores(),
            "environment": {name: os.environ[name] for name in THREADS if name in os.environ},
        },
        "caches": _caches(),
        "data": _data(),
        "tools": {
            "chromium": next(filter(None, map(shutil.which, BROWSERS)), None),
            "ray": faults.version_of("ray"),
        },
        "full": full,
        "checks": checks,  # none unless full
        "seconds": round(time.perf_counter() - started, 2),
        "cpu_seconds": round(time.process_time(), 2),  # of the whole process, imports included
    }


def _checked(name: str, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """A backend against NumPy."""
    say(f"self-check of {name}")
    checks: list[dict[str, Any]] = []
    try:
        for rung in check_backend(backends.find(name)):
            text = f"{rung.worst.what}: {rung.worst.difference.relative:.1e} relative"
            check = {"backend": name, "check": rung.name, "passed": rung.passed, "found": text}
            checks.append(check)
    except MissingExtraError:  # nothing is wrong with what is not here; the devices say so
        return []
    except InputError as error:
        return [{"backend": name, "check": "made", "passed": False, "found": in_shell(error)}]
    return checks


def _devices(module: str) -> list[str]:
    try:
        return importlib.import_module(module).devices()
    except MissingExtraError as error:
        return [f"not here ({error})"]
    except ImportError as error:
        return [f"can't be imported ({error})"]


def _caches() -> dict[str, Any]:
    """Bytes in each folder of the cache."""
    folder = cache_dir()
    sizes: dict[str, int] = {}
    for part in sorted(folder.glob("*")):
        if part.is_dir():
            sizes[part.name] = 0
            for path in part.rglob("*"):
                if path.is_file():
                    sizes[part.name] += path.stat().st_size
    return {"folder": str(folder), "switch": os.environ.get("MNIST_FN_CACHE"), "bytes": sizes}


def _data() -> dict[str, str | None]:
    """Each dataset's folder, None where its files are not, or what is wrong with what is there."""
    folders: dict[str, str | None] = dict.fromkeys(TORCHVISION)
    for name in TORCHVISION:
        try:
            if files := find(name):
                load(name, download=False)  # read: MNIST's kin has files of the same names
                folders[name] = str(files.paths[0].parent)
        except InputError as error:
            folders[name] = f"not here ({in_shell(error)})"
    return folders
