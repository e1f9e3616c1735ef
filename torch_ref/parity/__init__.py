"""PyTorch programs on the ladder; see docs/porting.md."""

from mnist_fn.shared.parity.ladder import check_port
from mnist_fn.shared.parity.recording import Recording, record
from torch_ref.parity.program import TorchProgram

__all__ = ["TorchProgram", "check_port", "record", "Recording"]
