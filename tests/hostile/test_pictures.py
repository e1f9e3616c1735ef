"""Pictures whose size on disk says nothing of what they take: bounded memory, bounded time."""

import json
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.hostile.conftest import MAX_SECONDS

SIDE = 8000  # 64 million pixels, within what is read


def blank(mode: str, side: int = SIDE) -> Image.Image:
    return Image.new(mode, (side, side), 0 if mode in ("1", "P", "L", "I;16", "I", "F") else None)


def dots(step: int, size: int, mark: int) -> np.ndarray:
    """Paper with a dot every `step` pixels and one mark, of the digits' size."""
    grey = np.full((1024, 1024), 255, np.uint8)
    for row in range(step, 1024 - step, step):
        for column in range(step, 1024 - step, step):
            grey[row : row + size, column : column + size] = 0
    grey[480 : 480 + mark, 480 : 480 + mark // 5] = 0
    return grey


def strokes(n: int) -> np.ndarray:
    grey, draws = np.full((1020, 1020), 255, np.uint8), np.random.default_rng(0)
    for row, column, length in draws.integers((0, 0, 2), (1000, 1010, 14), (n, 3)):
        grey[row : row + length, column : column + 2] = 0
    return grey


def png(width: int, height: int, content: bytes) -> bytes:
    """A grey PNG file whose header claims what it likes."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = {b"IHDR": head, b"IDAT": zlib.compress(content, 9), b"IEND": b""}
    parts = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks.items()
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(width: int, height: int) -> bytes:
    """A TIFF of 32-bit floats, one strip that claims them all and holds none."""
    claimed = min(4 * width * height, 2**32 - 1)
    tags = [(256, 4, width), (257, 4, height), (258, 3, 32), (259, 3, 1), (262, 3, 1), (273, 4, 8),
            (277, 3, 1), (278, 4, height), (279, 4, claimed), (339, 3, 3)]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + bytes(4)


BLANK = "nothing to see in it"
MANY = "more than 65,000,000 pixels"
LZW = {"compression": "tiff_lzw"}
CASES = {
    "16-bit.png": (lambda path: blank("I;16").save(path), BLANK),
    "32-bit.tiff": (lambda path: blank("I").save(path, **LZW), BLANK),
    "float.tiff": (lambda path: blank("F").save(path, **LZW), BLANK),
    "colour.png": (lambda path: blank("RGB").save(path), BLANK),
    "clear.png": (lambda path: blank("RGBA").save(path), BLANK),
    "palette.png": (lambda path: blank("P").save(path), BLANK),
    "two-levels.png": (lambda path: blank("1").save(path), BLANK),
    "cmyk.tiff": (lambda path: blank("CMYK").save(path, **LZW), BLANK),
    "16-bit-9400.png": (lambda path: blank("I;16", 9400).save(path), MANY),
    "claims-it-all.png": (lambda path: path.write_bytes(png(8000, 8000, bytes(1000))), "damaged"),
    "claims-more.png": (lambda path: path.write_bytes(png(2**31 - 1, 2**31 - 1, b"")), MANY),
    "holds-more.png": (lambda path: path.write_bytes(png(8, 8, bytes(2**28))), BLANK),
    "claims-a-strip.tiff": (lambda path: path.write_bytes(tiff(8000, 8000)), "damaged"),
    "claims-more.tiff": (lambda path: path.write_bytes(tiff(60000, 60000)), MANY),
}


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_a_picture_of_any_claim_is_refused_within_bounds(refused, runs_28, tmp_path, name):
    write, said = CASES[name]
    write(tmp_path / name)
    line = refused("predict", runs_28["linear"], name)
    assert f"{name}: {said}" in line or f"{name}: a {said} image" in line


def test_dust_and_strokes_by_the_thousand_end_in_time_and_stop_no_other(
    in_process, tmp_path, runs_28
):
    (tmp_path / "photos").mkdir()
    digit = np.full((100, 100), 255, np.uint8)
    digit[20:80, 45:55] = 0
    for name, grey in {
        "1-dots.png": dots(15, 6, 60),
        "2-many-dots.png": dots(12, 5, 60),
        "3-strokes.png": strokes(7000),
        "4-digit.png": digit,
    }.items():
        Image.fromarray(grey).save(tmp_path / "photos" / name)
    began = time.process_time()
    done = in_process("predict", str(runs_28["linear"]), "photos", "--json")
    assert time.process_time() - began < 4 * MAX_SECONDS
    assert done.returncode == 2, done.stderr
    document = json.loads(done.stdout)
    assert "photos/4-digit.png" in [one["image"] for one in document["predictions"]]
    assert "photos/3-strokes.png" in [one["image"] for one in document["failed"]]
    assert "Traceback" not in done.stderr
