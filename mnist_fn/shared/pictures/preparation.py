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
    """Prepare a digit as MNIST has it: light on black, uint8 [28, 28].

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
    """Return whether the digit in a prepared picture, uint8 [28, 28], is wider than tall."""
    rows, columns = np.nonzero(picture > INK * 255)
    return bool(np.ptp(columns) > np.ptp(rows))


def _scaled(ink: np.ndarray) -> np.ndarray:
    """Scale a digit so that its longer side is BOX."""
    from PIL import Image

    height, width = np.array(ink.shape) * (BOX / max(ink.shape)) + 0.5
    size = max(1, int(width)), max(1, int(height))
    image = Image.fromarray(ink.astype(np.float32))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR), np.float64)


def _start(mass: np.ndarray) -> int:
    """Return where a digit begins along one side for its centre of mass to fall into CENTRE.

    No ink is cut off. `mass` is the ink along that side.
    """
    centre = float((mass * np.arange(len(mass))).sum() / mass.sum())
    return min(max(int(np.floor(CENTRE - centre + 0.5)), 0), SIDE - len(mass))


def panels(pictures: np.ndarray, enlarged: int = 8) -> bytes:
    """Make a greyscale PNG file of what a network saw, uint8 [n, rows, columns], with our mark.

    Pictures stand in a row with a grey line between two, each pixel a square.
    """
    large = pictures.repeat(enlarged, axis=1).repeat(enlarged, axis=2)
    between = np.full((large.shape[1], enlarged // 2), 128, np.uint8)
    row = []
    for picture in large:
        row += [picture, between]
    return to_png(np.hstack(row[:-1]), MARK)


def to_png(picture: np.ndarray, software: str = "") -> bytes:
    """Make a PNG file of a uint8 picture, with its software's name.

    It is grey if the picture is [rows, columns], coloured and as opaque as it says if [rows,
    columns, 4].
    """
    from PIL import Image, PngImagePlugin

    file, about = io.BytesIO(), PngImagePlugin.PngInfo()
    if software:
        about.add_text("Software", software)
    Image.fromarray(picture).save(file, "PNG", optimize=True, pnginfo=about)
    return file.getvalue()
