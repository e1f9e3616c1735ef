"""What a worker's machine must have in common with ours, so that it computes the same numbers."""

import hashlib
from collections.abc import Mapping

from mnist_fn.shared import source
from mnist_fn.shared.data.datasets import Dataset
from mnist_fn.shared.runs.environment import PACKAGES, versions

NONE = "none"


def facts() -> dict[str, str]:
    """Versions of Python and the packages, and digests of our own source files."""
    installed = {**dict.fromkeys(PACKAGES, NONE), **versions()}
    if source.EVERYTHING not in installed:
        installed["mnist-fn"] = NONE
    return installed


def content_digest(dataset: Dataset) -> str:
    """SHA-256 of a dataset's images and labels as they lie in memory, hexadecimal."""
    digest = hashlib.sha256(dataset.sha256.encode())
    for split in (dataset.train, dataset.test):
        digest.update(split.images.tobytes() + split.labels.tobytes())
    return digest.hexdigest()[:16]


def differences(ours: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """`jax 0.9.2 there, 0.10.2 here; …`, empty if a node has what this machine has."""
    names = [name for name in ours if theirs.get(name, NONE) != ours[name]]
    if "mnist-fn" in names:  # then the source says no more
        names = [name for name in names if name not in (source.EVERYTHING, source.TRAINING)]
    elif source.EVERYTHING in names and source.TRAINING in names:
        names.remove(source.TRAINING)
    return "; ".join(f"{name} {theirs.get(name, NONE)} there, {ours[name]} here" for name in names)
