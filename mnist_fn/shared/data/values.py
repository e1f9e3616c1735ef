"""Arrays of pixels and labels in any shape and kind that people have, as uint8."""

import math

import numpy as np

from mnist_fn.shared.errors import InputError

QMNIST_COLUMNS = 8  # of its labels, of which the first is the class


def as_images(source: object, array: np.ndarray) -> np.ndarray:
    """Grey pictures as uint8 [n, rows, columns].

    Args:
        source: the file or argument, for errors.
        array: [n, rows, columns], a square's pixels in a row [n, pixels], or with one channel,
            first or last; pixels from 0 to 255, or floating-point numbers from 0 to 1.

    Raises:
        InputError: another shape or kind, or pixels out of that range.
    """
    pixels = _with_rows(source, array)
    if pixels.dtype.kind == "b":
        return np.ascontiguousarray(pixels.astype(np.uint8))
    if pixels.dtype.kind not in "uif":
        raise InputError(f"{source}: an array of {str(array.dtype)[:40]}; numbers are read")
    low, high = pixels.min(), pixels.max()
    if not (low >= 0 and high <= 255):  # NaN is neither
        raise InputError(
            f"{source}: pixels from {low:.6g} to {high:.6g}; 0 to 255 are read, or 0 to 1: undo "
            "what they were scaled by"
        )
    if pixels.dtype.kind == "f" and high <= 1 and (pixels != np.rint(pixels)).any():
        pixels = pixels * 255
    return np.ascontiguousarray(np.rint(pixels).astype(np.uint8, copy=False))


def _with_rows(source: object, array: np.ndarray) -> np.ndarray:
    """A view or copy [n, rows, columns]."""
    shape = array.shape
    if 0 in shape:
        raise InputError(f"{source}: an array of shape {shape}, without pixels")
    if array.ndim == 3:
        return array
    if array.ndim == 4 and 1 in (shape[1], shape[3]):
        return array[:, 0] if shape[1] == 1 else array[..., 0]
    side = math.isqrt(shape[1]) if array.ndim == 2 else 0
    if side > 1 and side * side == shape[1]:
        return array.reshape(-1, side, side)
    raise InputError(
        f"{source}: an array of shape {str(shape)[:60]}; grey pictures [n, rows, columns] are "
        "read, [n, pixels] of squares, and with one channel first or last"
    )


def as_labels(source: object, array: np.ndarray, *, qmnist: bool = False) -> np.ndarray:
    """Labels as uint8 [n].

    Args:
        source: the file or argument, for errors.
        array: whole numbers 0 to 255, [n] or [n, 1]; or one-hot, [n, classes].
        qmnist: whether several columns may be QMNIST's, the class and seven others.

    Raises:
        InputError: another shape, or one is no label.
    """
    if 0 in array.shape or array.ndim not in (1, 2) or array.dtype.kind not in "buif":
        kind = f"{str(array.dtype)[:40]} of shape {str(array.shape)[:40]}"
        raise InputError(
            f"{source}: an array of {kind}; labels [n] or one-hot [n, classes] are read"
        )
    if array.ndim == 2 and array.shape[1] > 1:
        if qmnist and array.shape[1] == QMNIST_COLUMNS and not _is_one_hot(array):
            array = array[:, 0]
        elif _is_one_hot(array):
            array = array.argmax(axis=1)
        else:
            raise InputError(
                f"{source}: {array.shape[1]} columns that are no one-hot labels; "
                "give one label each"
            )
    labels = array.reshape(-1)
    low, high = labels.min(), labels.max()
    if not (low >= 0 and high <= 255):
        raise InputError(f"{source}: labels from {low:.6g} to {high:.6g}; 0 to 255 are read")
    if (labels != np.rint(labels)).any():
        raise InputError(f"{source}: labels that are no whole numbers; 0 to 255 are read")
    return labels.astype(np.uint8)


def _is_one_hot(array: np.ndarray) -> bool:
    return bool(((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all())
