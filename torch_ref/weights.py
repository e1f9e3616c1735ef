"""Weights between the shared form and a state_dict with the study's names.

Shared: `layer1/kernel` [in, out] and `layer1/bias`. PyTorch: `layer1.weight` [out, in] and
`layer1.bias`.
"""

from collections.abc import Mapping

import numpy as np
import torch

from mnist_fn.shared.state import ParamTree


def to_state_dict(params: ParamTree) -> dict[str, torch.Tensor]:
    """A state_dict of copies, for `model.load_state_dict`."""
    state = {}
    for layer, tensors in params.items():
        state[f"{layer}.weight"] = torch.from_numpy(np.array(tensors["kernel"].T, order="C"))
        state[f"{layer}.bias"] = torch.from_numpy(np.array(tensors["bias"]))
    return state


def from_state_dict(state: Mapping[str, torch.Tensor]) -> ParamTree:
    """The shared form, in NumPy arrays of its own, of what `model.state_dict()` gives."""
    params: ParamTree = {}
    for name, tensor in state.items():
        layer, _, kind = name.partition(".")
        array = tensor.detach().cpu().numpy()
        tensors = params.setdefault(layer, {})
        if kind == "weight":
            tensors["kernel"] = np.array(array.T, order="C")
        else:
            tensors["bias"] = np.array(array)
    return params
