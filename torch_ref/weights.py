"""Weights between the shared form and a state_dict with the study's names.

Shared: `layer1/kernel` [in, out] and `layer1/bias`. PyTorch: `layer1.weight` [out, in] and
`layer1.bias`. Files are safetensors, which hold nothing but tensors: no pickle.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_bytes
from safetensors.torch import save as save_bytes

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.state import ParamTree
from mnist_fn.shared.storage import read_bounded, write_atomically


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
    layers = len(state) // 2
    expected = {f"layer{i}.{kind}" for i in range(1, layers + 1) for kind in ("weight", "bias")}
    if set(state) != expected or not layers:
        raise InputError(
            f"state_dict: expected layer1.weight, layer1.bias, ..., found {sorted(state)[:6]}"
        )
    params = {}
    for i in range(1, layers + 1):
        kernel, bias = _numpy(state[f"layer{i}.weight"].T), _numpy(state[f"layer{i}.bias"])
        params[f"layer{i}"] = {"kernel": kernel, "bias": bias}
    return params


def save_state_dict(params: ParamTree, path: Path) -> None:
    """Write weights as a safetensors file with the study's names.

    Raises:
        InputError: it can't be written.
    """
    write_atomically(path, save_bytes(to_state_dict(params)))


def load_state_dict(path: Path) -> ParamTree:
    """Read what `save_state_dict` wrote, or any safetensors file with those names.

    Raises:
        InputError: missing, not safetensors, or other names.
    """
    data = read_bounded(path, 2**30)
    try:
        return from_state_dict(load_bytes(data))
    except (SafetensorError, ValueError, KeyError) as error:
        raise InputError(f"{path}: not readable as safetensors ({str(error)[:80]})") from error


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    return np.array(tensor.detach().cpu().numpy(), order="C")
