"""What computed a run: its bits depend on it as they do on versions."""

import os
from dataclasses import asdict, dataclass
from typing import Any

# The widest first; NumPy looks them up in the processor itself.
_VECTORS = ("AVX512F", "AVX2", "AVX", "SSE42", "SVE", "ASIMD", "VSX4", "VSX3", "VSX2")


@dataclass(frozen=True)
class Computed:
    """Cores that the process could use, threads of the backend's arithmetic, vector level.

    None, or no word, where a run did not record it.
    """

    cores: int | None = None
    threads: int | None = None
    vectors: str = ""

    def __str__(self) -> str:
        count = "threads unknown" if self.threads is None else f"{self.threads} thread"
        return count + "s" * ((self.threads or 1) > 1) + f", {self.vectors}" * bool(self.vectors)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: object) -> "Computed":
        """Read what `to_dict` wrote; KeyError if it is not that."""
        if not isinstance(values, dict) or set(values) != {"cores", "threads", "vectors"}:
            raise KeyError("computed")
        counts = (values["cores"], values["threads"])
        good = all(n is None or (type(n) is int and 0 < n < 2**20) for n in counts)
        if not good or type(values["vectors"]) is not str or len(values["vectors"]) > 40:
            raise KeyError("computed")
        return cls(**values)


UNKNOWN = Computed()


def here(threads: int | None) -> Computed:
    """What computes in this process, with so many threads of a backend's arithmetic."""
    return Computed(cores(), threads, vectors())


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
    return next((name for name in _VECTORS if features.get(name)), "")
