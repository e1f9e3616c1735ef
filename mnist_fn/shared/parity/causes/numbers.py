"""Numbers that are solved for: the value of a parameter with which a rule fits, if there is one."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

Residual = Callable[[float], np.ndarray]  # of a value: predicted minus seen, in units of rounding

ITERATIONS = 24
SMALL = 1e-6  # of the numeric derivative, in the parameter's own scale


def solve(residual: Residual, starts: Sequence[float], scale: str = "log") -> float:
    """The value nearest to a zero of `residual`, by Gauss and Newton from the best two starts.

    Args:
        residual: of a value, a vector; not finite where the value makes no sense.
        starts: values to begin at.
        scale: "log" for positive numbers, "share" for numbers in (0, 1) near 1, "linear".
    """
    transform, inverse = SCALES[scale]
    sizes = [(_size(residual(start)), start) for start in starts]
    sizes.sort()
    best_size, best = sizes[0]
    for _, start in sizes[:2]:
        size, point = _descend(lambda x: residual(inverse(x)), transform(start))
        if size < best_size:
            best_size, best = size, inverse(point)
    return best


def _descend(residual: Residual, x: float) -> tuple[float, float]:
    current = residual(x)
    size = _size(current)
    for _ in range(ITERATIONS):
        if not np.isfinite(size) or size == 0:
            break
        h = SMALL * max(1.0, abs(x))
        slope = (residual(x + h) - current) / h
        slope = np.where(np.isfinite(slope), slope, 0)
        curvature = float(slope @ slope)
        if curvature == 0 or not np.isfinite(curvature):
            break
        step = -float(slope @ current) / curvature
        for _ in range(6):  # halved while it leads nowhere
            trial = residual(x + step)
            if _size(trial) < size:
                break
            step /= 4
        else:
            break
        gained = size / max(_size(trial), 1e-300)
        x, current, size = x + step, trial, _size(trial)
        if gained < 1 + 1e-3:
            break
    return size, x


def _size(residual: np.ndarray) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        size = float(np.sqrt(np.mean(residual * residual))) if residual.size else np.inf
    return size if np.isfinite(size) else np.inf


SCALES: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "linear": (float, float),
    "log": (
        lambda v: float(np.log(max(v, 1e-300))),
        lambda x: float(np.exp(np.clip(x, -100.0, 40.0))),
    ),
    "share": (
        lambda v: float(np.log(max(1 - v, 1e-15))),
        lambda x: float(1 - np.exp(min(x, 0.0))),
    ),
}


def simplest(value: float, declared: float, fits: Callable[[float], bool]) -> float:
    """The value with the fewest digits that still fits, or the fewest digits of its share of the
    declared one, or the declared one rounded to float32; `value` itself if none does.
    """
    for candidate in _rounded(value, declared):
        if np.isfinite(candidate) and fits(candidate):
            return candidate
    return value


def _rounded(value: float, declared: float) -> Iterator[float]:
    yield 0.0
    for digits in (1, 2, 3):
        yield float(f"{value:.{digits}g}")
        if declared:
            yield declared * float(f"{value / declared:.{digits}g}")
    yield float(np.float32(declared))
    for digits in (4, 5, 6, 7):
        yield float(f"{value:.{digits}g}")
        if declared:
            yield declared * float(f"{value / declared:.{digits}g}")


def mantissa_bits(array: np.ndarray) -> int:
    """The bits of mantissa that hold every entry: 53 for float64, 24 float32, 11 TF32 and float16,
    8 bfloat16; the leading one is counted.
    """
    mantissa, _ = np.frexp(array.astype(np.float64).ravel())
    integers = np.abs(np.ldexp(mantissa, 53)).astype(np.int64)
    integers = integers[integers > 0]
    if not integers.size:
        return 0
    lowest = int(np.bitwise_or.reduce(integers))
    return 53 - ((lowest & -lowest).bit_length() - 1)


def round_to_bits(array: np.ndarray, bits: int) -> np.ndarray:
    """Each entry rounded to `bits` bits of mantissa, ties to even; exponents are not limited."""
    mantissa, exponent = np.frexp(array)
    return np.ldexp(np.round(np.ldexp(mantissa, bits)), exponent - bits)


def cut_to_bits(array: np.ndarray, bits: int) -> np.ndarray:
    """Each entry cut to `bits` bits of mantissa, towards 0; exponents are not limited."""
    mantissa, exponent = np.frexp(array)
    return np.ldexp(np.trunc(np.ldexp(mantissa, bits)), exponent - bits)
