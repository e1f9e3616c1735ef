"""Name what was done to the pixels, and which examples were trained on."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from mnist_fn.shared.parity.causes.explanation import Candidate, Explanation, as_declared, judge
from mnist_fn.shared.parity.causes.precision import (
    FORMATS,
    cut_to_bits,
    mantissa_bits,
    round_to_bits,
)
from mnist_fn.shared.parity.causes.search import Form, explain_variants

# mean and standard deviation as they are passed on
USUAL = {(0.1307, 0.3081): "MNIST's", (0.5, 0.5): "to ±1", (0.2860, 0.3530): "Fashion-MNIST's"}


def explain_pixels(
    expected: np.ndarray, observed: np.ndarray, dtype: str = "float64"
) -> Explanation:
    """Which change to scaled pixels gives those that were seen.

    Args:
        expected: [n, rows, columns] or [n, pixels], in [0, 1].
        observed: in the same shape.
        dtype: of the arithmetic, which sets what rounding may do.
    """
    x, s = np.asarray(expected, np.float64), np.asarray(observed, np.float64)
    forms = []
    for code, pixels in (*_pictures(x), *_rounded(x, s)):
        forms.append(Form(code, lambda pixels=pixels: {"x": pixels}))
    forms += _affine(x, s)
    floor = {"x": np.full(x.shape, 4 * float(np.finfo(dtype).eps))}
    return explain_variants("pixels", {"x": s}, {"x": x}, forms, dtype, floor)


def _pictures(x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Other pictures or another scale, in words and as they are."""
    if x.ndim == 3:
        flat = x.reshape(len(x), -1)
        if x.shape[1] == x.shape[2]:
            yield "pictures transposed", x.swapaxes(1, 2)
        yield "pictures upside down", x[:, ::-1]
        yield "pictures left to right", x[:, :, ::-1]
        yield "pixels in the reverse order", flat[:, ::-1].reshape(x.shape)
    largest = np.maximum(x.max(axis=tuple(range(1, x.ndim)), keepdims=True), 1e-300)
    yield "each picture scaled to its own largest pixel", x / largest
    yield "pixels squared", x * x
    yield "pixels cut to black and white at one half", (x > 0.5).astype(float)
    for shift in (1, -1):
        yield f"examples moved by {shift:+d}", np.roll(x, shift, axis=0)
        yield f"pixels moved by {shift:+d} along a row", np.roll(x, shift, axis=-1)
    yield "examples in the reverse order", x[::-1]


def _affine(x: np.ndarray, s: np.ndarray) -> Iterator[Form]:
    """a·x + b, both solved for."""
    if x.shape != s.shape or not np.isfinite(s).all() or x.std() == 0:
        return
    matrix = np.stack([x.ravel(), np.ones(x.size)], axis=1)
    a, b = np.linalg.lstsq(matrix, s.ravel(), rcond=None)[0].tolist()
    bound = 16 * np.finfo(float).eps * max(1.0, abs(a), abs(b))
    for p, q in itertools.product(_near(a), _near(b)):
        if np.abs(p * x + q - s).max() <= bound:
            a, b = p, q
            break
    code, facts = _scaling(a, b)
    yield Form(code, lambda: {"x": a * x + b}, **facts)


def _near(value: float) -> Iterator[float]:
    yield 0.0
    for ratio in (1.0, 255 / 256, 255.0, 1 / 255):
        for digits in (1, 3, 6):
            yield ratio * float(f"{value / ratio:.{digits}g}")
    yield value


def _scaling(a: float, b: float) -> tuple[str, dict[str, Any]]:
    """What a·x + b is called: a code and its values."""
    known = {
        "not divided by 255": (255, 0),
        "divided by 256, not by 255": (255 / 256, 0),
        "divided by 255 twice": (1 / 255, 0),
        "black for white": (-1, 1),
    }
    for code, factors in known.items():
        if np.allclose((a, b), factors, rtol=1e-11, atol=0):
            return code, {}
    if a == 0:
        return "all pixels are {}", {"actual": b}
    if not b:
        return "pixels scaled by {}", {"actual": a}
    mean, deviation, suffix = -b / a, 1 / a, ""
    for usual, name in USUAL.items():
        if np.allclose((mean, deviation), usual, rtol=0, atol=1e-6):
            (mean, deviation), suffix = usual, f" ({name})"
    code = "normalized by mean {mean} and deviation {deviation}" + suffix
    return code, {"details": {"mean": mean, "deviation": deviation}}


def _rounded(x: np.ndarray, s: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    bits = mantissa_bits(s) if np.isfinite(s).all() else 53
    for most, name in FORMATS.items():
        if bits <= most:
            yield f"rounded to {name}", round_to_bits(x, most)
            yield f"cut to {name}", cut_to_bits(x, most)
    if bits <= 24:  # k/255 is not rounded once where the division is done in float32
        single = np.round(x * 255).astype(np.float32) / np.float32(255)
        yield "rounded to float32", single.astype(float)


def explain_order(values: np.ndarray, order: np.ndarray, observed: np.ndarray) -> Explanation:
    """Which other order, or which other labels, show what was seen of the examples asked for.

    Args:
        values: what each example of the dataset should show, [n], such as its label.
        order: the indices that were asked for, [m].
        observed: what was seen, [m] or shorter.
    """
    values, order, observed = np.asarray(values), np.asarray(order), np.asarray(observed)
    expected = values[order]
    n, m = len(values), len(order)
    predictions = {
        "the dataset in the reverse order": values[n - 1 - order],
        "the order reversed": expected[::-1],
        "the order sorted": values[np.sort(order)],
        "the first example asked for, again and again": np.full(m, expected[0]),
        "the last example asked for, again and again": np.full(m, expected[-1]),
        "the dataset's own order, whatever is asked for": values[np.arange(m) % n],
        "the dataset's first example, again and again": np.full(m, values[0]),
        "nothing": np.zeros_like(expected),
        "the first ones alone; the rest is dropped": expected[: len(observed)],
    }
    for shift in (-1, 1):
        predictions[f"the order moved by {shift:+d}"] = np.roll(expected, shift)
    for shift in (-3, -2, -1, 1, 2, 3):
        code = f"labels and pictures {abs(shift)} apart in the dataset, by {shift:+d}"
        predictions[code] = values[(order - shift) % n]

    def mismatches(predicted: np.ndarray) -> tuple[float, float]:
        """How many, and in units: a single example that is wrong is beyond any rounding."""
        alike = predicted.shape == observed.shape
        wrong = float(np.sum(predicted != observed)) if alike else np.inf
        return wrong, wrong * 1e6

    tried = [Candidate(code, *mismatches(predicted)) for code, predicted in predictions.items()]
    parted = np.flatnonzero(expected[: len(observed)] != observed[:m])
    first = f", the first is number {int(parted[0]) + 1}" if len(parted) else ""
    pattern = f"{len(parted)} of {m} differ{first}"
    return judge("examples by order", as_declared(*mismatches(expected)), tried, pattern)
