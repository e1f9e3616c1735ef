"""Marks that are no digits, drawn like those of a photo: letters, shapes, blots, digits on their
heads. To measure what a model of digits says of them.
"""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

FONTS = ("DejaVuSans.ttf", "DejaVuSerif-Bold.ttf", "cmr10.ttf", "STIXGeneralItalic.ttf")
# without those that may be read as a digit: B D G I O Q S Z, b g i l o q s z, U and u as 0
LETTERS = "ACEFHJKLMNPRTVWXYacdefhjkmnprtvwxy"


def letter(rng: np.random.Generator) -> np.ndarray:
    """A printed letter, 0 to 255, dark on light."""
    name = FONTS[rng.integers(len(FONTS))]
    font = ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / name), 110)
    image = Image.new("L", (240, 240), 255)
    drawn = LETTERS[rng.integers(len(LETTERS))]
    ImageDraw.Draw(image).text((70, 50), drawn, fill=0, font=font)
    return np.asarray(image)


def shape(rng: np.random.Generator) -> np.ndarray:
    """A square, triangle, star, arrow, house, cross or zigzag."""
    turn = rng.uniform(0, 2 * np.pi)
    corners = {
        "square": np.linspace(0, 2 * np.pi, 5),
        "triangle": np.linspace(0, 2 * np.pi, 4),
        "star": np.linspace(0, 4 * np.pi, 6),
    }
    kinds = {
        name: np.stack([np.cos(angles + turn), np.sin(angles + turn)], 1)
        for name, angles in corners.items()
    }
    kinds["arrow"] = np.array([(-1, 0), (1, 0), (0.4, -0.5), (1, 0), (0.4, 0.5)])
    kinds["house"] = np.array([(-0.8, 1), (-0.8, -0.2), (0, -1), (0.8, -0.2), (0.8, 1), (-0.8, 1)])
    kinds["cross"] = np.array([(-1, -1), (1, 1), (0, 0), (1, -1), (-1, 1)])
    kinds["zigzag"] = np.array([(-1, 0.6), (-0.5, -0.6), (0, 0.6), (0.5, -0.6), (1, 0.6)])
    points = kinds[sorted(kinds)[rng.integers(len(kinds))]]
    image = Image.new("L", (240, 240), 255)
    ends = [tuple(point) for point in (120 + points * rng.uniform(50, 80)).tolist()]
    ImageDraw.Draw(image).line(ends, fill=0, width=int(rng.integers(7, 18)), joint="curve")
    return np.asarray(image)


def blot(rng: np.random.Generator) -> np.ndarray:
    """A blot: smoothed noise over a threshold, within a circle."""
    noise = ndimage.gaussian_filter(rng.normal(size=(240, 240)), rng.uniform(6, 14))
    y, x = np.mgrid[-120:120, -120:120]
    marks = (noise > np.quantile(noise, 0.6)) & (np.hypot(y, x) < rng.uniform(40, 80))
    return np.where(marks, 0, 255).astype(np.uint8)


def upside_down(rng: np.random.Generator) -> np.ndarray:
    """A 2, 3, 4, 5 or 7 of scikit-learn's handwritten digits on its head and mirrored."""
    from sklearn.datasets import load_digits

    images, labels = (np.asarray(part) for part in load_digits(return_X_y=True))
    chosen = rng.choice(np.flatnonzero(np.isin(labels, (2, 4, 7))))
    small = np.rint(images[chosen].reshape(8, 8) * (255 / 16)).astype(np.uint8)[::-1]
    large = Image.fromarray(255 - small).resize((160, 160), Image.Resampling.BICUBIC)
    framed = Image.new("L", (240, 240), 255)
    framed.paste(large, (40, 40))
    return np.asarray(framed)


KINDS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "printed letters": letter,
    "shapes": shape,
    "blots": blot,
    "digits mirrored top to bottom": upside_down,
}


def as_file(grey: np.ndarray) -> bytes:
    """As PNG."""
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "PNG")
    return file.getvalue()
