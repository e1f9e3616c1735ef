"""JAX programs on the ladder: Flax and plain functions; see docs/porting.md."""

from typing import Any

from mnist_fn.parity.program import FlaxProgram, JaxProgram
from mnist_fn.shared.parity.ladder import check_port
from mnist_fn.shared.parity.recording import Recording, record

__all__ = ["FlaxProgram", "JaxProgram", "check_port", "record", "Recording"]


def __getattr__(name: str) -> Any:
    if name == "TorchProgram":
        raise ImportError("TorchProgram is in torch_ref: from torch_ref.parity import TorchProgram")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
