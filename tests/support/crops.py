"""Pictures that people give to a digit reader and that are no photo of a sheet: crops by a bounding
box, drawings with a thin pen, prices, sheets of many digits, forms, screenshots of figures.

Each kind is a maker as in `photos.py`, which has the sheets, the pens and the light.
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from tests.support.photos import (
    STROKES,
    Digits,
    Photo,
    Scene,
    enlarged,
    penned,
    rule,
    saved,
    shade,
    sheet,
    vignette,
)

Maker = Callable[[np.random.Generator, Digits], Photo]


def as_png(grey: np.ndarray, labels: list[int]) -> Photo:
    """A grey or RGB picture, 0 to 255, as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).save(file, "PNG")
    return Photo(file.getvalue(), labels, ".png")


def one_of(rng: np.random.Generator, digits: Digits) -> tuple[np.ndarray, int]:
    """A digit drawn at random with its label."""
    return digits[int(rng.integers(len(digits)))]


def without_margin(image: np.ndarray) -> np.ndarray:
    """What `cv2.boundingRect` cuts out of a digit's picture."""
    rows, columns = np.flatnonzero((image > 25).any(1)), np.flatnonzero((image > 25).any(0))
    return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """An image, 0 to 255, in another size."""
    size = (max(2, width), max(2, height))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC), np.float64)


def fills_28(rng: np.random.Generator, digits: Digits) -> Photo:
    """A square around the digit's bounding box, in 28 x 28, light on black."""
    image, label = one_of(rng, digits)
    crop = without_margin(image)
    side = max(crop.shape)
    square = np.zeros((side, side), np.uint8)
    top, left = (side - crop.shape[0]) // 2, (side - crop.shape[1]) // 2
    square[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
    return as_png(resized(square, 28, 28), [label])


def tight_crop(rng: np.random.Generator, digits: Digits) -> Photo:
    """The bounding box itself, larger, at most a pixel of margin; dark on light or the reverse."""
    image, label = one_of(rng, digits)
    crop, height = without_margin(image), int(rng.integers(40, 160))
    ink = resized(crop, height, round(height * crop.shape[1] / crop.shape[0]))
    ink = np.pad(ink, int(rng.integers(0, 2)))
    return as_png(ink if rng.random() < 0.3 else 255 - ink, [label])


def photo_crop(rng: np.random.Generator, digits: Digits) -> Photo:
    """A small crop of a photo around its digit, with a margin of up to a fifth."""
    scene = sheet(rng, digits)
    scene.contrast = rng.uniform(0.4, 0.85)
    [shade, vignette][rng.integers(2)](rng, scene)
    rows, columns = (np.flatnonzero(scene.ink.max(axis) > 0.15) for axis in (1, 0))
    margins = rng.uniform(0.02, 0.2, 4) * (rows[-1] - rows[0])
    left, top = max(0, columns[0] - margins[0]), max(0, rows[0] - margins[1])
    right, bottom = columns[-1] + 1 + margins[2], rows[-1] + 1 + margins[3]
    image = scene.photo(rng).crop((round(left), round(top), round(right), round(bottom)))
    return saved(image, scene.labels, int(rng.integers(60, 92)))


def touches_side(rng: np.random.Generator, digits: Digits) -> Photo:
    """A digit of 28 x 28 pushed to one side or into a corner, light on black."""
    image, label = one_of(rng, digits)
    crop = without_margin(image)
    down, right = (28 - side for side in crop.shape)
    top, left = rng.choice([0, down // 2, down]), rng.choice([0, right // 2, right])
    if (top, left) == (down // 2, right // 2):
        top = down
    canvas = np.zeros((28, 28))
    canvas[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
    return as_png(canvas, [label])


def near_side(rng: np.random.Generator, digits: Digits) -> Photo:
    """Two digits, the second up to three pixels from the picture's side."""
    height = int(rng.integers(40, 120))
    chosen = [one_of(rng, digits) for _ in range(2)]
    masks = [enlarged(image, height) for image, _ in chosen]
    margin, gap = int(height * rng.uniform(0.15, 0.4)), int(height * rng.uniform(0.3, 0.7))
    ink = np.zeros((height + 2 * margin, 2 * margin + gap + sum(m.shape[1] for m in masks)))
    ink[margin:-margin, margin : margin + masks[0].shape[1]] = masks[0]
    left = margin + masks[0].shape[1] + gap
    ink[margin:-margin, left : left + masks[1].shape[1]] = masks[1]
    ink = ink[:, : left + masks[1].shape[1] + int(rng.integers(0, 4))]
    return as_png(255 * (1 - ink), [label for _, label in chosen])


def price(rng: np.random.Generator, digits: Digits) -> Photo:
    """One to three large digits and one or two of 40 to 65 % of their size, raised or not."""
    height = int(rng.integers(40, 100))
    large, small = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    share, raised = rng.uniform(0.4, 0.65), rng.random() < 0.5
    ink = np.zeros((2 * height, 8 * height))
    labels, left = [], int(0.3 * height)
    for place in range(large + small):
        image, label = one_of(rng, digits)
        mask = enlarged(image, height if place < large else int(share * height))
        top = height // 2 if place < large or raised else height // 2 + height - mask.shape[0]
        ink[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
        labels.append(label)
        left += mask.shape[1] + int(0.2 * height)
    return as_png(255 * (1 - ink[:, : left + int(rng.uniform(0.1, 2) * height)]), labels)


def turned_sheet(rng: np.random.Generator, digits: Digits) -> Photo:
    """Two or three rows of three to six digits on a sheet turned by up to 15 degrees."""
    rows, columns = int(rng.integers(2, 4)), int(rng.integers(3, 7))
    scene = _grid(rng, digits, rows, columns)
    grey = 255 * (1 - 0.9 * scene.ink)
    image = Image.fromarray(grey.astype(np.uint8)).rotate(
        rng.uniform(-15, 15), Image.Resampling.BICUBIC, expand=True, fillcolor=255
    )
    return as_png(np.asarray(image, np.float64) - 20, scene.labels)


def clean_sheet(rng: np.random.Generator, digits: Digits) -> Photo:
    """Three to six rows of five to ten digits, as a program draws a sample of MNIST."""
    scene = _grid(rng, digits, int(rng.integers(3, 7)), int(rng.integers(5, 11)))
    return as_png(255 * (1 - scene.ink), scene.labels)


def _grid(rng: np.random.Generator, digits: Digits, rows: int, columns: int) -> Scene:
    height, step = 60, 90
    scene = Scene((rows * 110 + 40, columns * step + 40))
    for row in range(rows):
        for column in range(columns):
            image, label = one_of(rng, digits)
            mask = enlarged(image, int(height * rng.uniform(0.85, 1.1)))
            top, left = 30 + row * 110, 30 + column * step
            shift = rng.integers(-6, 7, 2)
            scene.draw(mask[:, : step - 8], top + shift[0], left + shift[1], label)
    return scene


def box_rests(rng: np.random.Generator, digits: Digits) -> Photo:
    """A cell cut out of a scanned form, with one to three sides of its box still there."""
    scene = Scene((int(rng.integers(60, 160)), int(rng.integers(60, 160))), noise=rng.uniform(0, 4))
    scene.contrast, scene.paper = rng.uniform(0.6, 0.9), rng.uniform(215, 250)
    image, label = one_of(rng, digits)
    mask = enlarged(image, int(min(scene.shape) * rng.uniform(0.5, 0.7)))
    height, width = scene.shape
    top = int(rng.uniform(0.35, 0.65) * (height - mask.shape[0]))
    scene.draw(mask, top, int(rng.uniform(0.35, 0.65) * (width - mask.shape[1])), label)
    thick, strength = int(rng.integers(1, 4)), rng.uniform(0.4, 0.9)
    for side in rng.permutation(4)[: rng.integers(1, 4)]:
        away = int(rng.integers(0, 5))
        line = slice(away, away + thick) if side < 2 else slice(-away - thick, -away or None)
        scene.lines[(line, slice(None)) if side % 2 else (slice(None), line)] = strength
    return saved(scene.photo(rng), scene.labels, int(rng.integers(60, 92)))


def axis(rng: np.random.Generator, digits: Digits) -> Photo:
    """A screenshot with a digit and a thin straight line beside it."""
    image, label = one_of(rng, digits)
    height = int(rng.integers(50, 120))
    mask = enlarged(image, height)
    side = int(height * rng.uniform(1.3, 2))
    ink = np.zeros((side, side + mask.shape[1]))
    top, left = int(rng.uniform(0.2, 0.8) * (side - height)), int(rng.uniform(0.5, 0.9) * side)
    ink[top : top + height, left : left + mask.shape[1]] = mask
    column = int(rng.uniform(0.1, 0.8) * (left - 4))
    start = int(rng.uniform(0, 0.05) * side)
    ink[start : side - start, column : column + int(rng.integers(1, 3))] = rng.uniform(0.5, 1)
    return as_png(255 * (1 - ink), [label])


def imshow(rng: np.random.Generator, digits: Digits) -> Photo:
    """`plt.imshow(image, cmap="gray")` saved, with or without its axes and a title."""
    from matplotlib.figure import Figure

    image, label = one_of(rng, digits)
    size = rng.uniform(2, 5)
    figure = Figure(figsize=(size * rng.uniform(1, 1.4), size), dpi=100)
    axes = figure.add_subplot()
    axes.imshow(image, cmap="gray" if rng.random() < 0.7 else "gray_r")
    if rng.random() < 0.4:
        axes.axis("off")
    if rng.random() < 0.4:
        axes.set_title(f"label: {label}")
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return Photo(file.getvalue(), [label], ".png")


def same_luma(rng: np.random.Generator, digits: Digits) -> Photo:
    """Red ink on a grey ground of the same brightness."""
    image, label = one_of(rng, digits)
    side = int(rng.integers(80, 240))
    mask = enlarged(image, int(side * rng.uniform(0.4, 0.7)))
    ink = np.zeros((side, side, 1))
    top, left = (int(rng.uniform(0.3, 0.7) * (side - n)) for n in mask.shape)
    ink[top : top + mask.shape[0], left : left + mask.shape[1], 0] = mask
    red = rng.uniform(150, 230)
    green = rng.uniform(20, 60)
    colour = np.array([red, green, green])
    luma = colour @ (0.299, 0.587, 0.114) + rng.uniform(-3, 3)
    return as_png(ink * colour + (1 - ink) * luma, [label])


def one_pixel_pen(rng: np.random.Generator, _: Digits) -> Photo:
    """Drawn in 28 x 28 with a pen of one pixel, as in a drawing program."""
    label = int(rng.integers(10))
    image = Image.new("L", (28, 28), 255)
    size, at = rng.uniform(15, 22, 2), rng.uniform(2, 6, 2)
    for stroke in STROKES[label]:
        points = np.array(stroke) + rng.normal(0, 0.015, (len(stroke), 2))
        ends = [tuple(point) for point in (at + points * size).round().tolist()]
        ImageDraw.Draw(image).line(ends, fill=0, width=1)
    return as_png(np.asarray(image, np.float64), [label])


def thin_pen(rng: np.random.Generator, _: Digits) -> Photo:
    """Drawn in some 200 pixels with a pen of one to four."""
    label, height = int(rng.integers(10)), int(rng.integers(80, 220))
    mask = penned(rng, label, height, rng.uniform(1.2, 4) / height)
    ink = np.pad(mask, [(int(height * rng.uniform(0.1, 0.5)),) * 2 for _ in range(2)])
    return as_png(255 * (1 - ink), [label])


def broken(rng: np.random.Generator, _: Digits) -> Photo:
    """A pen's digit with one or two gaps in its strokes."""
    label, height = int(rng.integers(10)), int(rng.integers(80, 220))
    mask = penned(rng, label, height, rng.uniform(0.05, 0.1))
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    inked = np.argwhere(mask > 0.5)
    for _gap in range(int(rng.integers(1, 3))):
        at = inked[rng.integers(len(inked))]
        mask = mask * (np.hypot(y - at[0], x - at[1]) > height * 0.065)
    return as_png(255 * (1 - np.pad(mask, height // 3)), [label])


def scan_crop(rng: np.random.Generator, digits: Digits) -> Photo:
    """A cell of a scanned grid: grain, a little blur, a digit that is not in the middle."""
    scene = Scene((int(rng.integers(40, 90)), int(rng.integers(40, 90))), noise=rng.uniform(2, 7))
    scene.contrast, scene.paper = rng.uniform(0.45, 0.85), rng.uniform(200, 240)
    image, label = one_of(rng, digits)
    mask = enlarged(image, int(min(scene.shape) * rng.uniform(0.5, 0.85)))
    top, left = (
        int(rng.uniform(0.1, 0.9) * (n - m)) for n, m in zip(scene.shape, mask.shape, strict=True)
    )
    scene.draw(ndimage.gaussian_filter(mask, rng.uniform(0, 0.8)), top, left, label)
    if rng.random() < 0.3:
        rule(rng, scene, False, (0.03, 0.08))
    return saved(scene.photo(rng), scene.labels, int(rng.integers(50, 90)))


CROPS: dict[str, Maker] = {
    "fills its 28 x 28": fills_28,
    "crop by a bounding box": tight_crop,
    "small crop of a photo": photo_crop,
    "crop of a scan": scan_crop,
    "touches a side": touches_side,
    "two digits, one at the side": near_side,
    "price, small digits": price,
    "turned sheet of rows": turned_sheet,
    "clean sheet, 15 to 60 digits": clean_sheet,
    "rests of a form's box": box_rests,
    "a thin line beside it": axis,
    "figure of plt.imshow": imshow,
    "red on grey of one luma": same_luma,
    "one-pixel pen, 28 x 28": one_pixel_pen,
    "thin pen": thin_pen,
    "broken strokes": broken,
}
