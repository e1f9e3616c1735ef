"""The PyTorch reference: the same experiment in PyTorch's own idioms.

All of it computes with PyTorch, which the extra `torch` brings; without it this import says so.
"""

from mnist_fn.shared.errors import missing

try:
    import torch  # noqa: F401
except ModuleNotFoundError as error:
    raise missing("PyTorch's side", "torch", error) from error
