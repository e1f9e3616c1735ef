"""A digit prepared the way MNIST was, from any image; segmentation.py finds it there.

MNIST (LeCun, Cortes and Burges, yann.lecun.com/exdb/mnist): the digit's bounding box is scaled
into 20 x 20 keeping its aspect, antialiased, then placed in 28 x 28 with its centre of mass in
the middle. Measured on the test images: the longer side is 20 in each of them, and the centre
of mass, rounded, is pixel 14 both ways. `figures/report/picture.js` does the same in a browser.
"""

import io
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.pictures.segmentation import find_digits
from mnist_fn.shared.storage import open_plain

SIDE = 28
BOX = 20
CENTRE = 14  # index of the pixel that the centre of mass falls into
INK = 1 / 32  # of the strongest ink: what is fainter is cut off, not to widen the bounding box
LEAST_CONTRAST = 16  # of 255, for a transparent image to be seen on its ground
UNSURE = 0.95  # of probability: what is read with less is said to be unsure
DOUBT = "unsure: it may be none of these"  # how that is said
TOUCH = "or two that touch, which are read as one"  # and of one that is wider than tall
MAX_PIXELS = 65_000_000  # in a file: bounds the memory that reading one takes
LARGEST_SIDE = 1024  # larger images are reduced first: bounded memory, and a phone's noise goes
ORIENTATION = 0x0112  # EXIF's tag
# Readers of plain pixels. Others (EPS, for one) would start programs to read a file.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
SUFFIXES = (  # of files that are taken from a folder
    ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm",
    # no reader, but not to be passed over in silence
    ".heic", ".heif", ".avif", ".jp2", ".jxl", ".dng", ".raw", ".svg", ".pdf",
)  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """The digits of a picture as a network sees them, from left to right."""

    pictures: np.ndarray = field(repr=False)  # uint8 [n, 28, 28], light on black
    notes: list[str]  # what was left out of the picture, and why


def read_picture(
    path: Path, *, single: bool = False, ink: str = "auto", thing: str = "digit"
) -> Seen:
    """The digits in an image file, each prepared.

    Args:
        path: the file.
        single: all that is found is one digit.
        ink: whether it is "light" or "dark" on its ground; "auto" tells it from the picture.
        thing: what a digit is called in the errors; see `Form.thing`.

    Raises:
        InputError: no image, a damaged or too large one, or nothing like a digit in it.
    """
    grey = read_grey(path)
    try:
        found = find_digits(grey, single=single, polarity=ink, thing=thing)
    except ValueError as error:
        raise InputError(f"{path}: {error}; give an image of one {thing} or a few") from error
    return Seen(np.stack([prepare(digit) for digit in found.inks]), found.notes)


def prepare(ink: np.ndarray) -> np.ndarray:
    """A digit as MNIST has it: light on black, uint8 [28, 28].

    Args:
        ink: how much of it is where [rows, columns], >= 0, 0 where there is none; of any scale.

    Raises:
        ValueError: there is none at all.
    """
    ink = ink.astype(np.float64)
    if not ink.any():
        raise ValueError("nothing to see in it")
    rows, columns = (np.flatnonzero((ink > INK * ink.max()).any(axis=axis)) for axis in (1, 0))
    digit = _scaled(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    picture = np.zeros((SIDE, SIDE))
    top, left = (_start(digit.sum(axis=axis)) for axis in (1, 0))
    picture[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    return np.floor(picture * (255 / picture.max()) + 0.5).astype(np.uint8)


def is_wide(picture: np.ndarray) -> bool:
    """Whether what is in a prepared picture, uint8 [28, 28], is wider than it is tall."""
    rows, columns = (np.flatnonzero((picture > INK * 255).any(axis=axis)) for axis in (1, 0))
    return bool(np.ptp(columns) > np.ptp(rows))


def read_grey(path: Path) -> np.ndarray:
    """An image file's brightness (ITU-R 601 luma), uint8 [rows, columns].

    Turned as its EXIF data say; a transparent image is laid on white, or on black where nothing
    would be seen on white.

    Raises:
        InputError: no image of a format in FORMATS, damaged, or of more than MAX_PIXELS.
    """
    from PIL import Image

    too_large = InputError(f"{path}: more than {MAX_PIXELS:,} pixels; give a smaller one")
    with open_plain(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(file, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise too_large
                return _on_plain_ground(_reduced(image))
        except InputError:
            raise
        except Image.DecompressionBombError as error:
            raise too_large from error
        except MemoryError as error:
            raise InputError(f"{path}: asks for more memory than there is") from error
        except Image.UnidentifiedImageError as error:
            raise InputError(
                f"{path}: not an image that is read here ({', '.join(FORMATS)}); save it as one"
            ) from error
        except Exception as error:  # Pillow's decoders raise whatever a damaged file leads to
            raise InputError(f"{path}: a damaged image ({str(error)[:80]})") from error


def _reduced(image: Any) -> Any:
    """An upright RGBA image of at most LARGEST_SIDE. Reduced first, so that little is converted."""
    from PIL import Image, ImageOps

    image.draft("RGB", (LARGEST_SIDE, LARGEST_SIDE))  # a JPEG is read at a lower resolution
    orientation = image.getexif().get(ORIENTATION, 1)
    if image.mode.startswith(("I", "F")):  # 16 bits and more: Pillow would clip them at 255
        factor = max(1, max(image.size) // LARGEST_SIDE)
        levels = np.asarray(image.convert("F").reduce(factor), dtype=np.float64)
        spread = np.ptp(levels) or 1.0
        image = Image.fromarray(((levels - levels.min()) * (255 / spread)).astype(np.uint8))
    if image.mode not in ("L", "RGB"):  # of a palette no mean can be taken
        image = image.convert("RGBA")
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    image = image.convert("RGBA")
    image.getexif()[ORIENTATION] = orientation  # a converted TIFF has lost it
    return ImageOps.exif_transpose(image)


def _on_plain_ground(image: Any) -> np.ndarray:
    from PIL import Image

    greys = []
    for ground in ("white", "black"):
        under = Image.new("RGBA", image.size, ground)
        greys.append(np.asarray(Image.alpha_composite(under, image).convert("L")))
        if np.ptp(greys[-1]) >= LEAST_CONTRAST:
            return greys[-1]
    return greys[0]


def _scaled(ink: np.ndarray) -> np.ndarray:
    """The bounding box with its longer side scaled to BOX."""
    from PIL import Image

    scale = BOX / max(ink.shape)
    height, width = (max(1, int(side * scale + 0.5)) for side in ink.shape)
    image = Image.fromarray(ink.astype(np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), np.float64)


def _start(mass: np.ndarray) -> int:
    """Where a digit begins along one side, given its ink along it, for the centre of mass to fall
    into CENTRE; never so far that ink is cut off.
    """
    centre = float((mass * np.arange(len(mass))).sum() / mass.sum())
    return min(max(int(np.floor(CENTRE - centre + 0.5)), 0), SIDE - len(mass))


def panels(pictures: np.ndarray, enlarged: int = 8) -> bytes:
    """What a network saw as a greyscale PNG file: uint8 [n, rows, columns] beside each other, each
    pixel a square, a grey line between two.
    """
    large = pictures.repeat(enlarged, axis=1).repeat(enlarged, axis=2)
    between = np.full((large.shape[1], enlarged // 2), 128, np.uint8)
    beside = [part for one in large for part in (between, one)][1:]
    return to_png(np.hstack(beside))


def to_png(picture: np.ndarray) -> bytes:
    """A uint8 picture [rows, columns] as a greyscale PNG file."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", optimize=True)
    return file.getvalue()
