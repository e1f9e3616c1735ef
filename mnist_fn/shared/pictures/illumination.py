"""How much ink is where on a photographed sheet: uneven light divided out, polarity chosen.

Light is estimated as document binarization does it: a grey closing, which fills what is darker and
narrower than its window and follows slopes and edges of shadows. (Black top-hat transform: Serra,
Image Analysis and Mathematical Morphology, 1982.)
"""

import math

import numpy as np

from mnist_fn.shared.pictures.pieces import distances_to_paper, otsu_threshold

WINDOW = 0.3  # of the longer side: wider than any stroke of a digit that fills the picture
SMALL = 100  # pixels of the longer side: no photo, nothing is smoothed
GRAIN = 1 / 1020  # of full brightness, a quarter of a level: a drawing has less
MEASURED = 512  # pixels of the longer side, on which polarity is measured
SCALES = (0.02, 0.04, 0.08, 0.16)  # windows, of the longer side
FLAT = 0.2  # of the contrast: how much the brightness of flat paper varies at most
SURFACE = 0.35  # of the longer side: what is thicker is no stroke
LEAST_CHROMA = 40  # of 255: what varies less is grey
DARKEST = 0.06  # of full brightness: shares of less light than this are not to be trusted


def ink_of(grey: np.ndarray, polarity: str = "auto") -> np.ndarray:
    """Compute the share of light that is missing where ink is.

    Args:
        grey: brightness [rows, columns], 0 to 255; light on dark or dark on light.
        polarity: whether ink is "light" or "dark"; "auto" decides from the picture.

    Returns:
        float32 [rows, columns], 0 to 1, less the noise: 0 on paper.
    """
    from scipy import ndimage

    light = grey.astype(np.float32) / 255
    if polarity == "light" or (polarity == "auto" and is_light_on_dark(light)):
        light = 1 - light
    side = max(light.shape)
    smooth = ndimage.gaussian_filter(light, side / 500)
    is_drawing = side < SMALL or float(np.median(np.abs(light - smooth))) < GRAIN
    if is_drawing:
        smooth = light
    paper = flat_paper(smooth) if is_drawing else None
    is_flat = paper is not None
    if paper is None:
        paper = closed(smooth, int(WINDOW * side))
    missing = (paper - smooth) / np.maximum(paper, DARKEST)
    grain = missing
    if is_flat:  # strokes may be half of it
        grain = missing[missing < otsu_threshold(missing.ravel())]
    middle = float(np.median(grain))
    noise = middle + 4 * 1.4826 * float(np.median(np.abs(grain - middle)))
    return np.clip(missing - noise, 0, 1)


def flat_paper(light: np.ndarray) -> np.ndarray | None:
    """Return the paper's brightness if it is the same everywhere, as in a drawing; else None.

    A closing would take strokes along a picture's side for the paper's edge.
    """
    threshold = otsu_threshold(light.ravel())
    if 2 * distances_to_paper(light <= threshold).max() > SURFACE * max(light.shape):
        return None  # half of the picture in a shadow, say
    paper = light[light > threshold]
    ink = light[light <= threshold]
    if not len(paper) or not len(ink):
        return None
    low, middle, high = np.quantile(paper, (0.3, 0.5, 0.95))
    if high - low > FLAT * (middle - np.median(ink)):
        return None
    return np.full_like(light, middle)


def colour_contrast(colours: np.ndarray) -> np.ndarray | None:
    """Return the brightness along the colour in which a picture varies most.

    Args:
        colours: uint8 [rows, columns, 3].

    Returns:
        uint8 [rows, columns], 0 to 255; None for a picture without colours.
    """
    deviations = colours.reshape(-1, 3).astype(np.float32)
    chroma = deviations - deviations.mean(axis=1, keepdims=True)
    low, high = np.quantile(chroma, (0.01, 0.99), axis=0)  # a sensor's noise has single pixels
    if (high - low).max() < LEAST_CHROMA:
        return None
    chroma -= np.median(chroma, axis=0)
    _, axes = np.linalg.eigh(chroma.T @ chroma)
    levels = chroma @ axes[:, -1]
    levels -= levels.min()
    return (levels * (255 / levels.max())).astype(np.uint8).reshape(colours.shape[:2])


def closed(light: np.ndarray, window: int) -> np.ndarray:
    """Fill what is darker and narrower than a square: a grey closing by an odd side, at least 3.

    The picture goes on beyond its sides, so that a corner in the dark is no ink.
    """
    from scipy import ndimage

    window = max(3, window | 1)
    padded = np.pad(light, window // 2, mode="edge")
    filled = ndimage.grey_closing(padded, (window, window), mode="nearest")
    return filled[window // 2 : -(window // 2), window // 2 : -(window // 2)]


def is_light_on_dark(light: np.ndarray) -> bool:
    """Return whether the strokes are lighter than what is around them.

    Ink differs from the paper at large, by a median over most of the picture, and from what lies
    about it in a narrow window. The inside of a 0 is no lighter than the rest of the paper; a
    lamp's spot, dark corners and a table's edge are wider than a window. With windows from narrow
    to wide, ink is the side that a narrower window finds: strokes are thin.
    """
    step = math.ceil(max(light.shape) / MEASURED)
    rows, columns = np.array(light.shape) // step * step
    if not rows * columns:
        return False
    small = light[:rows, :columns].reshape(rows // step, step, -1, step).mean(axis=(1, 3))
    at_large = small - _paper_at_large(small)
    darker, lighter = [], []
    for scale in SCALES:
        window = int(scale * max(small.shape))
        darker.append(_clear(closed(small, window) - small, -at_large))
        lighter.append(_clear(closed(1 - small, window) - 1 + small, at_large))
    return _first_scale(lighter, darker) < _first_scale(darker, lighter)


def _paper_at_large(light: np.ndarray) -> np.ndarray:
    """Return the median within three quarters of the picture's size, for each pixel."""
    from scipy import ndimage

    coarse = light[:: math.ceil(light.shape[0] / 48), :: math.ceil(light.shape[1] / 48)]
    window = (0.75 * np.array(coarse.shape)).astype(int) | 1
    paper = ndimage.median_filter(coarse, window, mode="nearest")
    (height, width), (rows, columns) = light.shape, paper.shape
    row_of, column_of = np.arange(height) * rows // height, np.arange(width) * columns // width
    return paper[np.ix_(row_of, column_of)]


def _first_scale(scores: list[float], rival_scores: list[float]) -> tuple[int, float]:
    """Return the index of the smallest window with at least half of the largest window's score.

    A polarity with less than a quarter of its rival's score has none. The score is returned too,
    negative, so that of equal indices the stronger polarity sorts first.
    """
    least = max(scores[-1] / 2, max(scores[-1], rival_scores[-1]) / 4)
    for i, score in enumerate(scores):
        if score > 0 and score >= least:
            return i, -score
    return len(scores), 0.0


def _clear(about: np.ndarray, at_large: np.ndarray) -> float:
    """Sum cubes, so that a few strong pixels count for more than a shadow over many."""
    clear = np.clip(about - 4 * np.median(about), 0, np.maximum(at_large, 0)).astype(np.float64)
    return float((clear**3).sum())
