"""IDX files of one's own."""

import struct

import numpy as np


def idx_bytes(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def idx_int_bytes(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 12, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(">i4").tobytes()
