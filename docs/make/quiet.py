"""Evidence of speed is written on a quiet machine only."""

import time
from collections.abc import Mapping
from pathlib import Path

from mnist_fn.shared.bench.quiet import Others
from mnist_fn.shared.errors import InputError

WINDOW = 5.0  # seconds


def check_before(out: Path) -> None:
    """Wait and see whether others leave the machine alone; InputError if they do not."""
    others = Others()
    time.sleep(WINDOW)
    refuse_if_busy(out, others.to_dict(), f"for {WINDOW:g} s before it began")


def refuse_if_busy(out: Path, load: Mapping[str, float], when: str) -> None:
    """InputError if others used too much of the machine for `out` to be evidence.

    `load` is what `Others.to_dict` gives.
    """
    if load["cores"] > load["limit"]:
        raise InputError(
            f"{out}: no evidence: {when} other processes used {load['cores']:.2f} of {load['of']} "
            f"cores (limit {load['limit']:.2f}); measure on a quiet machine"
        )
