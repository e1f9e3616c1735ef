"""Image files of any kind: their brightness and colours, upright and of a bounded size."""

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.storage import open_plain

LEAST_CONTRAST = 16  # of 255, for a transparent image to be seen on its ground
LARGEST_SIDE = 1024  # larger images are reduced first: bounded memory, and a phone's noise goes
MAX_PIXELS = 65_000_000  # in a file: bounds the memory that reading one takes
MAX_PAGES = 1000  # more are not counted
ORIENTATION = 0x0112  # EXIF's tag
# Readers of plain pixels. Others (EPS, for one) would start programs to read a file.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
SUFFIXES = (  # of files that are taken from a folder
    ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm",
    # no reader, but not to be passed over in silence
    ".heic", ".heif", ".avif", ".jp2", ".jxl", ".dng", ".raw", ".svg", ".pdf",
)  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """A picture's pixels."""

    grey: np.ndarray = field(repr=False)  # ITU-R 601 luma, uint8 [rows, columns]
    colours: np.ndarray = field(repr=False)  # uint8 [rows, columns, 3]
    notes: list[str]  # what of the file was not read


def read_image(path: Path) -> Picture:
    """Read an image file.

    It is turned as its EXIF data say; a transparent image is laid on white, or on black where
    nothing would be seen on white. Of several pages or frames the first is read.

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
                return from_pillow(image)
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


def from_pillow(image: Any) -> Picture:
    """Take the pixels of an open Pillow image."""
    pages = min(int(getattr(image, "n_frames", 1)), MAX_PAGES)
    notes = []
    if pages > 1:
        notes.append(f"only the first of its {pages} pages or frames was read")
    grey, colours = _on_plain_ground(_reduced(image))
    return Picture(grey, colours, notes)


def _reduced(image: Any) -> Any:
    """Make an upright RGBA image of at most LARGEST_SIDE: reduced, then converted."""
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


def _on_plain_ground(image: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return luma and colours of an RGBA image on white, or on black."""
    from PIL import Image

    readings = []
    for ground in ("white", "black"):
        page = Image.new("RGBA", image.size, ground)
        flat = Image.alpha_composite(page, image).convert("RGB")
        readings.append((np.asarray(flat.convert("L")), np.asarray(flat)))
        if np.ptp(readings[-1][0]) >= LEAST_CONTRAST:
            return readings[-1]
    return readings[0]
