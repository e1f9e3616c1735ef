"""Weights between the shared form and a state_dict with the study's names.

Shared: `layer1/kernel` [in, out] and `layer1/bias`. PyTorch: `layer1.weight` [out, in] and
`layer1.bias`.
"""

from collections.abc import Mapping

import numpy as np
import torch

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.state import ParamTree

_KINDS = ("weight", "bias")


def to_state_dict(params: ParamTree) -> dict[str, torch.Tensor]:
    """A state_dict of copies, for `model.load_state_dict`."""
    state = {}
    for layer, tensors in params.items():
        state[f"{layer}.weight"] = torch.from_numpy(np.array(tensors["kernel"].T, order="C"))
        state[f"{layer}.bias"] = torch.from_numpy(np.array(tensors["bias"]))
    return state


def from_state_dict(state: Mapping[str, torch.Tensor]) -> ParamTree:
    """The shared form, in NumPy arrays of its own, of what `model.state_dict()` gives.

    Raises:
        InputError: names other than layer1.weight, layer1.bias, layer2.weight, ...
    """
    layers = [f"layer{i}" for i in range(1, len(state) // 2 + 1)]
    if not layers or set(state) != {f"{name}.{kind}" for name in layers for kind in _KINDS}:
        raise InputError(
            f"state_dict: expected layer1.weight, layer1.bias, ..., found {sorted(state)[:6]}"
        )
    params = {}
    for layer in layers:
        kernel, bias = (state[f"{layer}.{kind}"].detach().cpu().numpy() for kind in _KINDS)
        params[layer] = {"kernel": np.array(kernel.T, order="C"), "bias": np.array(bias)}
    return params
