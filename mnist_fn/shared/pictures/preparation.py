"""A digit prepared the way MNIST was, from ink that `segmentation` finds.

MNIST (LeCun, Cortes and Burges, yann.lecun.com/exdb/mnist): the digit's bounding box is scaled
into 20 x 20 keeping its aspect, antialiased, then placed in 28 x 28 with its centre of mass in
the middle. Measured on the test images: the longer side is 20 in each of them, and the centre
of mass, rounded, is pixel 14 both ways. `figures/report/picture.js` does the same in a browser.
"""

import io

import numpy as np

from mnist_fn.shared.storage import MARK

SIDE = 28
BOX = 20
CENTRE = 14  # index of the pixel that the centre of mass falls into
INK = 1 / 32  # of the strongest ink: what is fainter is cut off, not to widen the bounding box


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
    rows, columns = np.nonzero(ink > INK * ink.max())
    digit = _scaled(ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1])
    picture = np.zeros((SIDE, SIDE))
    top, left = _start(digit.sum(axis=1)), _start(digit.sum(axis=0))
    picture[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    return np.floor(picture * (255 / picture.max()) + 0.5).astype(np.uint8)


def is_wide(picture: np.ndarray) -> bool:
    """Whether what is in a prepared picture, uint8 [28, 28], is wider than it is tall."""
    rows, columns = np.nonzero(picture > INK * 255)
    return bool(np.ptp(columns) > np.ptp(rows))


def _scaled(ink: np.ndarray) -> np.ndarray:
    """The bounding box with its longer side scaled to BOX."""
    from PIL import Image

    height, width = np.array(ink.shape) * (BOX / max(ink.shape)) + 0.5
    size = max(1, int(width)), max(1, int(height))
    image = Image.fromarray(ink.astype(np.float32))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR), np.float64)


def _start(mass: np.ndarray) -> int:
    """Where a digit begins along one side, given its ink along it, for the centre of mass to fall
    into CENTRE; never so far that ink is cut off.
    """
    centre = float((mass * np.arange(len(mass))).sum() / mass.sum())
    return min(max(int(np.floor(CENTRE - centre + 0.5)), 0), SIDE - len(mass))


def panels(pictures: np.ndarray, enlarged: int = 8) -> bytes:
    """What a network saw as a greyscale PNG file: uint8 [n, rows, columns] beside each other, each
    pixel a square, a grey line between two. It bears the mark of our files.
    """
    large = pictures.repeat(enlarged, axis=1).repeat(enlarged, axis=2)
    between = np.full((large.shape[1], enlarged // 2), 128, np.uint8)
    row = [large[0]]
    for picture in large[1:]:
        row += [between, picture]
    return to_png(np.hstack(row), MARK)


def to_png(picture: np.ndarray, software: str = "") -> bytes:
    """A uint8 picture [rows, columns] as a greyscale PNG file that names its software, if any."""
    from PIL import Image, PngImagePlugin

    file, about = io.BytesIO(), PngImagePlugin.PngInfo()
    if software:
        about.add_text("Software", software)
    Image.fromarray(picture).save(file, "PNG", optimize=True, pnginfo=about)
    return file.getvalue()
