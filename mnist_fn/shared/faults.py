"""Framework versions that are known to compute wrong: where one is installed, a line at start.

The packages' bounds exclude them; docs/versions.md has how each was found and how often it shows.
"""

import warnings
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version

CURE = "pip install 'jax>=0.10,!=0.10.2' 'flax>=0.12.7'"  # an older flax stops with JAX 0.11


@dataclass(frozen=True)
class VersionFault:
    """What some versions of a package compute wrong."""

    package: str
    versions: tuple[str, ...]
    what: str
    on_path: bool  # whether what a backend computes may come out wrong


FAULTS = (
    VersionFault(
        "jaxlib",
        ("0.8.0", "0.8.1"),
        "where XLA computes matrix products with XNNPACK, which depends on the processor, a "
        "product may use the weights that were at the same address before (workaround: "
        "XLA_FLAGS=--xla_cpu_use_xnnpack=false)",
        True,
    ),
    VersionFault(
        "jaxlib",
        ("0.10.2",),
        "on the CPU a vmapped small product followed by a sum has a wrong row, from 16,385 rows on "
        "in float64 and 32,769 in float32 (jax-ml/jax issue 39103); no backend here computes one",
        False,
    ),
)


class KnownFault(UserWarning):
    """A version of JAX that computes something wrong is installed."""


def version_of(package: str) -> str | None:
    """Return the installed version of a package without importing it; None if there is none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def known() -> list[str]:
    """Return a line for each known fault of the installed packages."""
    lines = []
    for fault in FAULTS:
        installed = version_of(fault.package)
        if installed in fault.versions:
            lines.append(
                f"{fault.package} {installed} is known to compute wrong: {fault.what}; to replace "
                f"it: {CURE}"
            )
    return lines


@cache  # once a process
def warn() -> None:
    """Warn of each known fault, before anything is computed with JAX."""
    for line in known():
        warnings.warn(line, KnownFault, stacklevel=3)
