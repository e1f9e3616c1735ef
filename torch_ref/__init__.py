"""The PyTorch reference: the same experiment in PyTorch's own idioms."""
