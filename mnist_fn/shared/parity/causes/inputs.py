"""Name what was done to the pixels, and which examples were trained on."""

from collections.abc import Iterator

import numpy as np

from mnist_fn.shared.parity.causes.explanation import (
    Candidate,
    Explanation,
    judge,
    number,
)
from mnist_fn.shared.parity.causes.numbers import cut_to_bits, mantissa_bits, round_to_bits
from mnist_fn.shared.parity.causes.search import Form, explain_variants

# mean and standard deviation as they are passed on
USUAL = {(0.1307, 0.3081): "MNIST's", (0.5, 0.5): "to ±1", (0.2860, 0.3530): "Fashion-MNIST's"}


def explain_pixels(
    expected: np.ndarray, seen: np.ndarray, dtype: str = "float64", of: str = "pixels"
) -> Explanation:
    """Which change to scaled pixels gives those that were seen.

    Args:
        expected: [n, rows, columns] or [n, pixels], in [0, 1].
        seen: in the same shape.
        dtype: of the arithmetic, which sets what rounding may do.
        of: what this is, in words.
    """
    x = np.asarray(expected, np.float64)
    s = np.asarray(seen, np.float64)
    forms = list(_pictures(x)) + list(_affine(x, s)) + list(_coarse(x, s))
    return explain_variants(of, {"x": s}, {"x": x}, forms, dtype, {"x": _ulps(x, dtype)})


def _ulps(x: np.ndarray, dtype: str) -> np.ndarray:
    return np.full(x.shape, 4 * float(np.finfo(dtype).eps))


def _form(text: str, pixels: np.ndarray, family: str = "") -> Form:
    return Form(text, lambda: {"x": pixels}, code=family or "pixels", family=family)


def _pictures(x: np.ndarray) -> Iterator[Form]:
    if x.ndim == 3:
        flat = x.reshape(len(x), -1)
        if x.shape[1] == x.shape[2]:
            yield _form("pictures transposed", x.swapaxes(1, 2))
        yield _form("pictures upside down", x[:, ::-1])
        yield _form("pictures left to right", x[:, :, ::-1])
        yield _form("pixels in the reverse order", flat[:, ::-1].reshape(x.shape))
    yield _form(
        "each picture scaled to its own largest pixel",
        x / np.maximum(x.reshape(len(x), -1).max(axis=1), 1e-300).reshape(-1, *[1] * (x.ndim - 1)),
    )
    yield _form("pixels squared", x * x)
    yield _form("pixels cut to black and white at one half", (x > 0.5).astype(float))
    for shift in (1, -1):
        yield _form(f"examples moved by {shift:+d}", np.roll(x, shift, axis=0))
        yield _form(f"pixels moved by {shift:+d} along a row", np.roll(x, shift, axis=-1))
    yield _form("examples in the reverse order", x[::-1])


def _affine(x: np.ndarray, s: np.ndarray) -> Iterator[Form]:
    """a·x + b, both solved for."""
    if x.shape != s.shape or not np.isfinite(s).all() or x.std() == 0:
        return
    matrix = np.stack([x.ravel(), np.ones(x.size)], axis=1)
    a, b = (float(v) for v in np.linalg.lstsq(matrix, s.ravel(), rcond=None)[0])
    size = max(1.0, abs(a), abs(b))
    chosen = next(
        (
            (p, q)
            for p in _near(a)
            for q in _near(b)
            if np.abs(p * x + q - s).max() <= 16 * np.finfo(float).eps * size
        ),
        (a, b),
    )
    yield _form(_scaling(*chosen), chosen[0] * x + chosen[1])


def _near(value: float) -> Iterator[float]:
    yield 0.0
    for ratio in (1.0, 255 / 256, 255.0, 1 / 255):
        for digits in (1, 3, 6):
            yield ratio * float(f"{value / ratio:.{digits}g}")
    yield value


def _scaling(a: float, b: float) -> str:
    if b == 0 and abs(a - 255) < 1e-9:
        return "not divided by 255"
    if b == 0 and abs(a - 255 / 256) < 1e-12:
        return "divided by 256, not by 255"
    if b == 0 and abs(a * 255 - 1) < 1e-9:
        return "divided by 255 twice"
    if (a, b) == (-1, 1):
        return "black for white"
    if a == 0:
        return f"all pixels are {number(b)}"
    if b:
        mean, deviation = -b / a, 1 / a
        for (m, d), name in USUAL.items():
            if abs(mean - m) < 1e-6 and abs(deviation - d) < 1e-6:
                return f"normalized by mean {m:g} and deviation {d:g} ({name})"
        return f"normalized by mean {number(mean)} and deviation {number(deviation)}"
    return f"pixels scaled by {number(a)}"


def _coarse(x: np.ndarray, s: np.ndarray) -> Iterator[Form]:
    bits = mantissa_bits(s) if np.isfinite(s).all() else 53
    names = {24: "float32", 11: "TF32 or float16", 8: "bfloat16"}
    for k, name in names.items():
        if bits <= k:
            yield _form(f"rounded to {name}", round_to_bits(x, k), "rounded")
            yield _form(f"cut to {name}", cut_to_bits(x, k), "rounded")
            # float32's k/255 is not k/255 rounded to float32 where the division is done in it
            if k == 24:
                single = (np.round(x * 255).astype(np.float32) / np.float32(255)).astype(float)
                yield _form(f"rounded to {name}", single, "rounded")


def explain_order(
    values: np.ndarray, order: np.ndarray, seen: np.ndarray, of: str = "examples by order"
) -> Explanation:
    """Which other order, or which other labels, show what was seen of the examples asked for.

    Args:
        values: what each example of the dataset should show, [n], such as its label.
        order: the indices that were asked for, [m].
        seen: what was seen, [m] or shorter.
        of: what this is, in words.
    """
    values, order, seen = np.asarray(values), np.asarray(order), np.asarray(seen)
    n, m, expected = len(values), len(order), np.asarray(values)[order]

    def candidate(text: str, predicted: np.ndarray, family: str = "") -> Candidate:
        wrong = float(np.sum(predicted != seen)) if predicted.shape == seen.shape else np.inf
        # an example is right or wrong: a single one that is wrong is beyond any rounding
        return Candidate(text, wrong, wrong * 1e6, code=family, family=family)

    tried = [
        candidate(
            f"labels and pictures {abs(shift)} apart in the dataset, by {shift:+d}",
            values[(order - shift) % n],
        )
        for shift in range(-3, 4)
        if shift
    ]
    tried += [
        candidate(f"the order moved by {shift:+d}", np.roll(expected, shift)) for shift in (-1, 1)
    ]
    tried += [
        candidate("the dataset in the reverse order", values[n - 1 - order]),
        candidate("the order reversed", expected[::-1]),
        candidate("the order sorted", values[np.sort(order)]),
        candidate("the first example asked for, again and again", np.full(m, expected[0])),
        candidate("the last example asked for, again and again", np.full(m, expected[-1])),
        candidate("the dataset's own order, whatever is asked for", values[np.arange(m) % n]),
        candidate("the dataset's first example, again and again", np.full(m, values[0])),
        candidate("nothing", np.zeros_like(expected)),
        candidate("the first ones alone; the rest is dropped", expected[: len(seen)]),
    ]
    parted = np.flatnonzero(expected[: len(seen)] != seen[:m])
    first = f", the first is number {int(parted[0]) + 1}" if len(parted) else ""
    pattern = f"{len(parted)} of {m} differ{first}"
    return judge(of, candidate("as declared", expected), tried, pattern)
