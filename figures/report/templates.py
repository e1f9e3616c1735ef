"""The linear model's templates as pictures: red speaks for a class, blue against it."""

import io
from typing import Any

import numpy as np
from PIL import Image

from figures.report.digits import data_uri
from mnist_fn.shared.evaluation import templates
from mnist_fn.shared.runs.run import Run

FOR, AGAINST = (214, 69, 61), (59, 120, 216)  # as in draw.js


def pictures(run: Run) -> list[dict[str, Any]]:
    """Each class's template, all on one scale that is symmetric about 0."""
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
    file = io.BytesIO()
    image = Image.fromarray(np.concatenate([colours, opacity], axis=2).astype(np.uint8), "RGBA")
    image.save(file, "PNG", optimize=True)
    return file.getvalue()
