"""JAX programs on the ladder: Flax and plain functions; see docs/porting.md."""

from mnist_fn.parity.program import FlaxProgram, JaxProgram
from mnist_fn.shared.parity.ladder import check_port
from mnist_fn.shared.parity.recording import Recording, record

__all__ = ["FlaxProgram", "JaxProgram", "check_port", "record", "Recording"]
