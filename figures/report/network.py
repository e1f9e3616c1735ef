"""A run's network for the page: its weights as text in float16, a linear one's as pictures."""

import base64
from typing import Any

import numpy as np

from figures.report.digits import data_uri
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.evaluation import templates
from mnist_fn.shared.pictures.preparation import to_png
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.state import ParamTree, layer_sizes, named_tensors

FOR, AGAINST = (214, 69, 61), (59, 120, 216)  # as in draw.js


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


def template_pictures(run: Run) -> list[dict[str, Any]]:
    """Each class's template of a linear model, red for the class and blue against it, all on one
    scale that is symmetric about 0.
    """
    weights = templates(run.weights)
    shown: list[dict[str, Any]] = []
    for name, template in zip(run.data_spec.names, weights, strict=True):
        picture = data_uri(_png(template / np.abs(weights).max()))
        shown.append({"label": name, "picture": picture})
    return shown


def _png(values: np.ndarray) -> bytes:
    """Values in -1 to 1 as colours that are the clearer the nearer they are to 0."""
    colours = np.where(values[..., None] > 0, FOR, AGAINST)
    opacity = np.abs(values[..., None]) ** 0.5 * 255  # small weights matter: there are many
    return to_png(np.concatenate([colours, opacity], axis=2).astype(np.uint8))
