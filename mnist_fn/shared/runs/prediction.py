"""What a trained model predicts for arrays of images: `run.predict`, `predict_proba` and `score`.

It is computed in NumPy, in float64: without a backend, and without the run's folder.
"""

from typing import Any

import numpy as np

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.evaluation import forward, log_probabilities
from mnist_fn.shared.state import ParamTree

AT_ONCE = 10_000  # images: bounds memory


def predict_probabilities(params: ParamTree, images: Any) -> np.ndarray:
    """Probability of each class.

    Args:
        params: by layer, its `kernel` [in, out] and `bias` [out].
        images: of the kind that the run was trained on, as `dataset.test.images` are: whole
            numbers from 0 to 255, or floats from 0 to 1; [n, rows, columns], [n, rows, columns, 1],
            [n, pixels], or a single image [rows, columns].

    Returns:
        float64 [n, classes].

    Raises:
        InputError: images of another size, or values outside of that range; a run whose weights
            are not in memory.
    """
    if not params:
        raise InputError("this run's weights are not in memory; load it with load_run(run.path)")
    pixels = _to_pixels(np.asarray(images), params["layer1"]["kernel"].shape[0])
    classes = list(params.values())[-1]["bias"].shape[0]
    parts = [np.zeros((0, classes))]
    for start in range(0, len(pixels), AT_ONCE):
        part = pixels[start : start + AT_ONCE]
        scaled = part / 255 if part.dtype.kind in "iu" else part
        parts.append(np.exp(log_probabilities(forward(params, scaled))))
    return np.concatenate(parts)


def accuracy(predictions: np.ndarray, labels: Any) -> float:
    """Share of predictions [n] that equal the labels [n].

    Raises:
        InputError: no labels, or not one for each prediction.
    """
    expected = np.asarray(labels)
    if expected.shape != predictions.shape or not len(predictions):
        raise InputError(
            f"{len(predictions)} images and labels of shape {list(expected.shape)}: "
            "give one class index for each image"
        )
    return float(np.mean(predictions == expected))


def _to_pixels(images: np.ndarray, input_size: int) -> np.ndarray:
    """Images of any of the shapes as [n, pixels], checked."""
    if images.dtype.kind not in "iuf":
        raise InputError(
            f"images: an array of numbers is expected, not {images.dtype}; mnist_fn.read_digits "
            "reads files"
        )
    is_single = images.ndim == 2 and images.size == input_size
    count = 1 if is_single or not images.ndim else len(images)
    size = images.size // count if count else input_size
    if images.ndim < 2 or size != input_size:
        raise InputError(
            f"images of shape {list(images.shape)}: this run was trained on {input_size} pixels an "
            f"image; for a photo of digits use a run on 28 x 28 and mnist_fn.read_digits"
        )
    largest = 1 if images.dtype.kind == "f" else 255
    if images.size and not (images.min() >= 0 and images.max() <= largest):
        raise InputError(
            f"images: values from {images.min():g} to {images.max():g}; whole numbers from 0 to "
            "255 or floats from 0 to 1 are expected"
        )
    return images.reshape(count, input_size)
