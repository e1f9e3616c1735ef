"""A run's network for the page: its weights as text, in float16."""

import base64
from typing import Any

import numpy as np

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.state import ParamTree, layer_sizes, named_tensors


def halved(params: ParamTree) -> ParamTree:
    """The weights rounded to float16: what the page has.

    Raises:
        InputError: a weight is beyond float16's range (65504).
    """
    rounded: ParamTree = {}
    for layer, tensors in params.items():
        rounded[layer] = {}
        for kind, tensor in tensors.items():
            with np.errstate(over="ignore"):
                half = tensor.astype(np.float16)
            if not np.isfinite(half).all():
                raise InputError("a weight is beyond float16, in which the page has them")
            rounded[layer][kind] = half
    return rounded


def packed(run: Run) -> dict[str, Any]:
    """Sizes of the layers and the weights, little-endian float16 in base64: each layer's kernel
    [in, out] by rows, then its bias. `network.js` reads it. Errors as for `halved`.
    """
    data = b""
    for _, tensor in named_tensors(halved(run.weights)):
        data += tensor.astype("<f2").tobytes()
    return {
        "sizes": list(layer_sizes(run.weights)),
        "weights": base64.b64encode(data).decode(),
    }
