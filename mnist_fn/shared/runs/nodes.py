"""What a node has to have in common with the driver, so that its workers make the same numbers.

Ray carries these functions to the node as they stand here, since the node may have no package of
ours, or another: apart from `records.PACKAGES`, a tuple, they use the standard library alone.
"""

import hashlib
import importlib.metadata
import importlib.util
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnist_fn.shared.runs.records import PACKAGES

NONE = "none"


def facts() -> dict[str, str]:
    """Versions of Python and the packages, and a digest of our own source files."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = NONE
    digest = hashlib.sha256()
    for package in ("mnist_fn", "torch_ref"):
        try:
            spec = importlib.util.find_spec(package)
        except (ImportError, ValueError):
            spec = None
        if spec is None or not spec.origin:
            return {**found, "mnist-fn": NONE}
        folder = Path(spec.origin).parent
        for file in sorted(folder.rglob("*.py")):
            digest.update(str(file.relative_to(folder)).encode() + file.read_bytes())
    return {**found, "mnist-fn source": digest.hexdigest()[:16]}


def content_digest(dataset: Any) -> str:
    """SHA-256 of a dataset's images and labels as they lie in memory, hexadecimal."""
    digest = hashlib.sha256(dataset.sha256.encode())
    for split in (dataset.train, dataset.test):
        digest.update(split.images.tobytes() + split.labels.tobytes())
    return digest.hexdigest()[:16]


def differences(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    """`jax 0.9.2 there, 0.10.2 here; …`, empty if a node has what this machine has."""
    names = [name for name in here if there.get(name, NONE) != here[name]]
    if "mnist-fn" in names:  # then its source says no more
        names = [name for name in names if name != "mnist-fn source"]
    return "; ".join(f"{name} {there.get(name, NONE)} there, {here[name]} here" for name in names)
