"""Digests of the project's own source files: which code computed a result.

The version of an editable installation stays the same while its code changes, so each run and each
file of evidence carries these digests next to the versions of the packages.
"""

import functools
import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

EVERYTHING, TRAINING = "mnist-fn source", "training source"  # as `versions` names them
PACKAGES = ("mnist_fn", "torch_ref")
# Files and folders that read, judge or compare runs: no run's numbers depend on them.
READERS = {
    *("parity", "port", "porting.py", "study", "statistics.py", "exchange", "pictures"),
    *("bench", "bench.py", "figures.py", "wording.py", "sweeps"),
}


@functools.cache
def digests() -> dict[str, str]:
    """Return the digest of all source files, and of those that a run's numbers may depend on.

    Files of `mnist_fn` and `torch_ref` count, `cli` and `figures` do not. It is empty where the
    packages are no files. Each digest is 16 hexadecimal digits of a SHA-256.
    """
    everything, training = hashlib.sha256(), hashlib.sha256()
    for name, file in _files():
        data = name.encode() + b"\0" + file.read_bytes()
        everything.update(data)
        if not READERS & set(Path(name).parts):
            training.update(data)
    if everything.digest() == hashlib.sha256().digest():
        return {}
    return {EVERYTHING: everything.hexdigest()[:16], TRAINING: training.hexdigest()[:16]}


def _files() -> Iterator[tuple[str, Path]]:
    """Yield each source file's name within its package, and where it is, in a fixed order."""
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.origin:
            continue
        folder = Path(spec.origin).parent
        for file in sorted(folder.rglob("*.py")):
            yield f"{package}/{file.relative_to(folder).as_posix()}", file
