"""What a run was computed with: hardware, threads, package versions, the machine.

A run's bits depend on these, so its header records them.
"""

import contextlib
import os
import platform
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mnist_fn.shared import source

PACKAGES = ("mnist-fn", "numpy", "jax", "jaxlib", "flax", "optax", "torch")
# The widest first; NumPy looks them up in the processor itself.
_VECTORS = ("AVX512F", "AVX2", "AVX", "SSE42", "SVE", "ASIMD", "VSX4", "VSX3", "VSX2")
_MAX_COUNT = 2**20  # of cores or threads in a header that is believed


@dataclass(frozen=True)
class Hardware:
    """Cores that the process could use, threads of the backend's arithmetic, vector level.

    None, or "", where a run did not record it.
    """

    cores: int | None = None
    threads: int | None = None
    vectors: str = ""

    def __str__(self) -> str:
        if self.threads is None:
            threads = "threads unknown"
        else:
            threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return ", ".join(filter(None, (threads, self.vectors)))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: object) -> "Hardware":
        """Read what `to_dict` wrote; KeyError if it is not that."""
        if not isinstance(values, dict) or set(values) != {"cores", "threads", "vectors"}:
            raise KeyError("hardware")
        for count in (values["cores"], values["threads"]):
            if count is not None and (type(count) is not int or not 0 < count < _MAX_COUNT):
                raise KeyError("hardware")
        if type(values["vectors"]) is not str or len(values["vectors"]) > 40:
            raise KeyError("hardware")
        return cls(**values)


UNKNOWN_HARDWARE = Hardware()


def cores() -> int:
    """Cores that this process may use: `taskset` and containers allow fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def vectors() -> str:
    """The processor's widest vector instructions, `AVX2`; "" if NumPy does not know them."""
    try:
        from numpy._core._multiarray_umath import (
            __cpu_features__ as features,  # pyright: ignore
        )
    except ImportError:
        return ""
    return next(filter(features.get, _VECTORS), "")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result may depend on, none imported, and the
    digests of our own source.
    """
    installed = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            installed[package] = version(package)
    return {**installed, **source.digests()}


def machine() -> str:
    """The processor, the cores of it that this process may use and its vector level, in words."""
    model = platform.processor() or platform.machine()
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a sandbox may hide it
            for line in Path("/proc/cpuinfo").read_text().splitlines():
                if line.startswith("model name"):
                    model = line.partition(":")[2].strip()
                    break
    installed, usable = os.cpu_count(), cores()
    count = f"{usable} cores" if usable == installed else f"{usable} of {installed} cores"
    return ", ".join(filter(None, (model, count, vectors())))
