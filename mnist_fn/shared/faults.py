"""Framework versions that are known to compute wrong, and what becomes of a backend on one.

docs/versions.md has how each was found and how often it shows.
"""

import os
import warnings
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from mnist_fn.shared.errors import InputError

ALLOW = "MNIST_FN_ALLOW_KNOWN_WRONG"  # the environment's word for --allow-known-wrong

CURE = "pip install 'jax>=0.10,!=0.10.2' 'flax>=0.12.7'"  # an older flax stops with JAX 0.11


@dataclass(frozen=True)
class Fault:
    """What some versions of a package compute wrong."""

    package: str
    versions: tuple[str, ...]
    what: str
    backends: tuple[str, ...]  # those that compute with the package
    on_path: bool  # whether what a backend computes may come out wrong
    cure: str  # what to do, as an imperative

    @property
    def installed(self) -> str | None:
        """The version that is here, if it is one of the wrong ones."""
        found = version_of(self.package)
        return found if found in self.versions else None

    def __str__(self) -> str:
        return f"{self.package} {self.installed} is known to compute wrong: {self.what}"


FAULTS = (
    Fault(
        "jaxlib",
        ("0.8.0", "0.8.1"),
        "where XLA gives matrix products to XNNPACK, which depends on the processor, one may take "
        "the weights that lay at the same address before (a way round: "
        "XLA_FLAGS=--xla_cpu_use_xnnpack=false)",
        ("jax", "jax-vmap"),
        True,
        CURE,
    ),
    Fault(
        "jaxlib",
        ("0.10.2",),
        "on the CPU a vmapped small product followed by a sum has a wrong row, from 16,385 rows on "
        "in float64 and 32,769 in float32 (jax-ml/jax issue 39103); no backend here computes one",
        ("jax", "jax-vmap"),
        False,
        CURE,
    ),
)


class KnownFault(UserWarning):
    """A version that computes something wrong, elsewhere than a backend here does."""


def version_of(package: str) -> str | None:
    """The installed version of a package, which is not imported; None if there is none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def known() -> list[Fault]:
    """The faults of what is installed here."""
    return [fault for fault in FAULTS if fault.installed]


def allow() -> None:
    """Let this process, and those that it starts, compute on versions known to be wrong."""
    os.environ[ALLOW] = "1"


@cache  # said once
def check(backend: str) -> None:
    """Refuse a backend, or what else computes with its framework, on a version that computes its
    results wrong; of a fault that lies elsewhere warn, once.

    Raises:
        InputError: such a version is installed, and nobody allowed it.
    """
    for fault in known():
        if backend not in fault.backends:
            continue
        if not fault.on_path:
            warnings.warn(f"{fault}; to be rid of it: {fault.cure}", KnownFault, stacklevel=3)
        elif os.environ.get(ALLOW) != "1":
            raise InputError(
                f"{fault}; {fault.cure}, or go on all the same with {ALLOW}=1 in the environment"
            )
