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
    with np.errstate(over="ignore"):
        rounded = {
            layer: {kind: tensor.astype(np.float16) for kind, tensor in tensors.items()}
            for layer, tensors in params.items()
        }
    if not all(np.isfinite(tensor).all() for _, tensor in named_tensors(rounded)):
        raise InputError("a weight is beyond float16, in which the page has them")
    return rounded


def packed(run: Run) -> dict[str, Any]:
    """Sizes of the layers and the weights, little-endian float16 in base64: each layer's kernel
    [in, out] by rows, then its bias. `network.js` reads it. Errors as for `halved`.
    """
    tensors = [tensor for _, tensor in named_tensors(halved(run.weights))]
    data = b"".join(tensor.astype("<f2").tobytes() for tensor in tensors)
    return {
        "sizes": list(layer_sizes(run.weights)),
        "weights": base64.b64encode(data).decode(),
    }
