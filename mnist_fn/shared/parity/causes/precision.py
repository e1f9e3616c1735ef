"""Lower precisions by the bits of their mantissa, the leading one counted."""

import numpy as np

FORMATS = {24: "float32", 11: "float16 or TF32", 8: "bfloat16"}


def mantissa_bits(array: np.ndarray) -> int:
    """The bits of mantissa that hold every entry: 53 for float64, or fewer."""
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
