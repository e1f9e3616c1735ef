"""Photos of digits as a phone takes them, made from digits whose label is known.

Each kind is a maker `(rng, digits) -> Photo`. `digits` gives (uint8 [28, 28], label) pairs, MNIST's
test digits; pens draw their own. A maker's photo is RGB and is read from a file that was saved as
JPEG or PNG, like a user's.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

Digits = Sequence[tuple[np.ndarray, int]]
# Strokes of hand-drawn digits in a unit square, each a list of points.
STROKES: dict[int, list[list[tuple[float, float]]]] = {
    0: [[(0.5 + 0.3 * np.sin(t), 0.5 - 0.48 * np.cos(t)) for t in np.linspace(0, 6.2, 24)]],
    1: [[(0.45, 0.03), (0.52, 0.97)]],
    2: [[(0.2, 0.2), (0.4, 0.03), (0.7, 0.08), (0.75, 0.3), (0.2, 0.95), (0.85, 0.93)]],
    3: [[(0.2, 0.08), (0.6, 0.03), (0.75, 0.22), (0.45, 0.45), (0.78, 0.68), (0.55, 0.96),
         (0.2, 0.9)]],
    4: [[(0.35, 0.03), (0.15, 0.6), (0.85, 0.58)], [(0.65, 0.3), (0.6, 0.98)]],
    5: [[(0.8, 0.04), (0.3, 0.05), (0.25, 0.45), (0.6, 0.42), (0.78, 0.7), (0.5, 0.96),
         (0.2, 0.9)]],
    6: [[(0.65, 0.03), (0.3, 0.4), (0.22, 0.75), (0.45, 0.97), (0.75, 0.8), (0.6, 0.58),
         (0.26, 0.72)]],
    7: [[(0.15, 0.07), (0.8, 0.04), (0.4, 0.97)]],
    8: [[(0.7, 0.15), (0.45, 0.03), (0.28, 0.2), (0.7, 0.7), (0.5, 0.97), (0.25, 0.78),
         (0.7, 0.3), (0.7, 0.15)]],
    9: [[(0.72, 0.25), (0.45, 0.05), (0.25, 0.28), (0.5, 0.48), (0.72, 0.22), (0.7, 0.6),
         (0.6, 0.97)]],
}  # fmt: skip


@dataclass
class Scene:
    """A sheet as light makes it: `ink` and `lines` are shares of light that are missing."""

    shape: tuple[int, int]
    ink: np.ndarray = field(init=False)
    lines: np.ndarray = field(init=False)
    light: np.ndarray = field(init=False)
    paper: float = 205.0
    contrast: float = 0.65
    noise: float = 3.0
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)  # how much of the ink each channel has
    labels: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ink, self.lines = np.zeros(self.shape), np.zeros(self.shape)
        self.light = np.ones(self.shape)

    def draw(self, mask: np.ndarray, top: int, left: int, label: int) -> None:
        """Put a digit's mask, 0 to 1, on the sheet."""
        here = self.ink[top : top + mask.shape[0], left : left + mask.shape[1]]
        np.maximum(here, mask[: here.shape[0], : here.shape[1]], out=here)
        self.labels.append(label)

    def photo(self, rng: np.random.Generator) -> Image.Image:
        """Light on paper, lines and ink, with a sensor's noise."""
        left = (1 - self.lines) * self.light * self.paper
        channels = [left * (1 - self.contrast * c * self.ink) for c in self.colour]
        noise = rng.normal(0, self.noise, (*self.shape, 3))
        grey = np.stack(channels, axis=2) + ndimage.gaussian_filter(noise, (0.5, 0.5, 0)) * 1.4
        return Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))


@dataclass(frozen=True)
class Photo:
    """A file's bytes and what is on it: labels from left to right, none if nothing is."""

    content: bytes
    labels: list[int]
    suffix: str = ".jpg"


def saved(image: Image.Image, labels: list[int], quality: int, turn: int = 1) -> Photo:
    """As JPEG; `turn` is the EXIF orientation under which it is stored."""
    stored = {
        1: image,
        3: image.transpose(Image.Transpose.ROTATE_180),
        6: image.transpose(Image.Transpose.ROTATE_90),
        8: image.transpose(Image.Transpose.ROTATE_270),
    }[turn]
    exif = Image.Exif()
    exif[0x0112] = turn
    file = io.BytesIO()
    stored.save(file, "JPEG", quality=quality, exif=exif)
    return Photo(file.getvalue(), labels)


def enlarged(image: np.ndarray, height: int, crisp: float = 0.0) -> np.ndarray:
    """An MNIST digit without its margin, `height` pixels high, 0 to 1; `crisp` sharpens it."""
    rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
    cut = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    width = max(2, round(height * cut.shape[1] / cut.shape[0]))
    large = Image.fromarray(cut).resize((width, height), Image.Resampling.BICUBIC)
    mask = np.asarray(large, dtype=np.float64) / 255
    return 1 / (1 + np.exp(-(mask - 0.5) * crisp)) if crisp else mask


def penned(rng: np.random.Generator, label: int, height: int, width: float) -> np.ndarray:
    """A digit drawn with a pen `width` of its height thick, a little askew, 0 to 1."""
    side = height * 4
    image = Image.new("L", (side, side))
    lean, wide = rng.uniform(-0.15, 0.25), rng.uniform(0.75, 1.0)
    for stroke in STROKES[label]:
        points = np.array(stroke) + rng.normal(0, 0.012, (len(stroke), 2))
        points[:, 0] = 0.5 + (points[:, 0] - 0.5) * wide - (points[:, 1] - 0.5) * lean
        ends = [tuple(point) for point in (points * side * 0.9 + side * 0.05).tolist()]
        thick = max(4, round(width * side))
        ImageDraw.Draw(image).line(ends, fill=255, width=thick, joint="curve")
        for x, y in (ends[0], ends[-1]):
            box = (x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2)
            ImageDraw.Draw(image).ellipse(box, fill=255)
    small = np.asarray(image.resize((height, height), Image.Resampling.BOX), np.float64) / 255
    columns = np.flatnonzero(small.max(0) > 0.05)
    return small[:, columns[0] : columns[-1] + 1]


def sheet(rng: np.random.Generator, digits: Digits, how_many: int = 1, **more: Any) -> Scene:
    """An upright or lying sheet with digits side by side on it, anywhere."""
    shape = [(480, 360), (400, 300), (360, 480), (640, 480)][rng.integers(4)]
    scene = Scene(shape, **more)
    scene.paper = rng.uniform(180, 230)
    height = int(min(shape) * rng.uniform(0.2, 0.42 if how_many == 1 else 0.28))
    masks = []
    for _ in range(how_many):
        image, label = digits[rng.integers(len(digits))]
        masks.append((enlarged(image, height, rng.choice([0.0, 12.0])), label))
    gap = int(height * 0.35)
    total = sum(mask.shape[1] for mask, _ in masks) + gap * (how_many - 1)
    margin = shape[0] // 12
    top = int(rng.integers(margin, shape[0] - height - margin))
    left = int(rng.integers(margin, max(margin + 1, shape[1] - total - margin)))
    for mask, label in masks:
        lower = int(rng.integers(-height // 10, height // 10 + 1)) if how_many > 1 else 0
        scene.draw(mask, max(2, top + lower), left, label)
        left += mask.shape[1] + gap
    return scene


def touching(rng: np.random.Generator, digits: Digits) -> Photo:
    """Two digits side by side, the right one pushed to the left until their strokes overlap."""
    scene = Scene([(480, 360), (400, 300), (360, 480), (640, 480)][rng.integers(4)])
    scene.paper, scene.contrast = rng.uniform(180, 230), rng.uniform(0.5, 0.85)
    height, crisp = int(min(scene.shape) * rng.uniform(0.2, 0.28)), rng.choice([0.0, 12.0])
    chosen = [digits[i] for i in rng.integers(len(digits), size=2)]
    one, other = (enlarged(image, height, crisp) for image, _ in chosen)
    low, room = int(rng.integers(0, height // 10 + 1)), 12
    under = np.pad(one, ((0, height), (0, other.shape[1]))) > 0.5
    at = one.shape[1]
    for at in range(one.shape[1], 0, -1):
        over = under[low : low + height, at : at + other.shape[1]] & (other > 0.5)
        if over.sum() > 2:
            break
    top = int(rng.integers(room, scene.shape[0] - height - low - room))
    left = int(rng.integers(room, scene.shape[1] - at - other.shape[1] - room))
    scene.draw(one, top, left, chosen[0][1])
    scene.draw(other, top + low, left + at, chosen[1][1])
    shade(rng, scene)
    return saved(scene.photo(rng), scene.labels, int(rng.integers(50, 92)))


def _field(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of each pixel from -1 to 1."""
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    return y, x


def shade(rng: np.random.Generator, scene: Scene) -> None:
    """Light that falls off to one side, down to a third."""
    y, x = _field(scene.shape)
    angle = rng.uniform(0, 2 * np.pi)
    along = (y * np.sin(angle) + x * np.cos(angle)) / 1.42
    scene.light *= 1 - rng.uniform(0.3, 0.68) * (along + 1) / 2


def hard_shadow(rng: np.random.Generator, scene: Scene) -> None:
    """A hand's or a phone's shadow with an edge somewhere across the sheet."""
    y, x = _field(scene.shape)
    angle, where = rng.uniform(0, 2 * np.pi), rng.uniform(-0.5, 0.5)
    along = y * np.sin(angle) + x * np.cos(angle) - where
    soft = rng.uniform(0.01, 0.1)
    scene.light *= 1 - rng.uniform(0.25, 0.5) / (1 + np.exp(-along / soft))


def vignette(rng: np.random.Generator, scene: Scene) -> None:
    """Corners darker than the middle by 20 to 60 %."""
    y, x = _field(scene.shape)
    scene.light *= 1 - rng.uniform(0.2, 0.6) * (y**2 + x**2) / 2


def lamp(rng: np.random.Generator, scene: Scene) -> None:
    """A lamp's spot, the rest darker by 20 to 50 %."""
    y, x = _field(scene.shape)
    at_y, at_x, size = rng.uniform(-0.9, 0.9), rng.uniform(-0.9, 0.9), rng.uniform(0.35, 0.9)
    spot = np.exp(-((y - at_y) ** 2 + (x - at_x) ** 2) / (2 * size**2))
    scene.light *= 1 - rng.uniform(0.2, 0.5) * (1 - spot)


def rule(rng: np.random.Generator, scene: Scene, squared: bool, dark: tuple[float, float]) -> None:
    """Printed lines, level or tilted a little, a digit's height apart or closer."""
    height, width = scene.shape
    apart = rng.uniform(22, 60)
    strength, tilt = rng.uniform(*dark), np.tan(np.radians(rng.uniform(-2.5, 2.5)))
    thick = rng.uniform(0.5, 1.3)
    y, x = np.mgrid[0:height, 0:width]
    for along, across in [(x, y), (y, x)] if squared else [(x, y)]:
        place = across + tilt * along * (1 if along is x else -1) + rng.uniform(0, apart)
        off = np.abs((place + apart / 2) % apart - apart / 2)
        line = strength * np.clip(thick + 0.5 - off, 0, 1)
        scene.lines = np.maximum(scene.lines, line)


def specks(rng: np.random.Generator, scene: Scene) -> None:
    """Crumbs, dust and dots as dark as the ink."""
    y, x = np.mgrid[0 : scene.shape[0], 0 : scene.shape[1]]
    for _ in range(rng.integers(2, 9)):
        at = rng.uniform(0, 1, 2) * scene.shape
        radius = rng.uniform(0.7, min(scene.shape) * 0.009)
        spot = np.clip(radius + 0.5 - np.hypot(y - at[0], x - at[1]), 0, 1)
        scene.lines = np.maximum(scene.lines, spot * rng.uniform(0.3, 0.7))


def frame(rng: np.random.Generator, scene: Scene) -> None:
    """A cell of a form around it, at the picture's edge or inside."""
    height, width = scene.shape
    rows, columns = (np.flatnonzero(scene.ink.max(axis) > 0.1) for axis in (1, 0))
    room = int(rng.uniform(0.15, 0.6) * (rows[-1] - rows[0]))
    thick = int(rng.integers(2, 7))
    if rng.random() < 0.3:
        top, left, bottom, right = 0, 0, height, width
    else:
        top, left = max(0, rows[0] - room), max(0, columns[0] - room)
        bottom, right = min(height, rows[-1] + room), min(width, columns[-1] + room)
    strength = rng.uniform(0.35, 0.8)
    outer, inner = np.zeros(scene.shape), np.zeros(scene.shape)
    outer[top:bottom, left:right] = 1
    inner[top + thick : bottom - thick, left + thick : right - thick] = 1
    scene.lines = np.maximum(scene.lines, strength * (outer - inner))


def dark_edge(rng: np.random.Generator, scene: Scene) -> None:
    """The table beside the sheet, along one or two of the picture's sides."""
    y, x = _field(scene.shape)
    for side in rng.permutation(4)[: rng.integers(1, 3)]:
        along, across = [(x, y), (x, -y), (y, x), (y, -x)][side]
        edge = 1 - rng.uniform(0.03, 0.16) + rng.uniform(-0.03, 0.03) * along
        table = 1 / (1 + np.exp(-(across - edge) * 200))
        scene.light *= 1 - rng.uniform(0.5, 0.85) * table


def _with(*changes: Callable[[np.random.Generator, Scene], None], how_many: int = 1, **more: Any):
    def make(rng: np.random.Generator, digits: Digits) -> Photo:
        scene = sheet(rng, digits, how_many, **more)
        scene.contrast = rng.uniform(0.5, 0.85)
        for change in changes:
            change(rng, scene)
        return saved(scene.photo(rng), scene.labels, int(rng.integers(50, 92)))

    return make


def _pencil(rng: np.random.Generator, digits: Digits) -> Photo:
    scene = sheet(rng, digits)
    scene.contrast = rng.uniform(0.18, 0.4)
    grain = ndimage.gaussian_filter(rng.normal(0, 1, scene.shape), 0.7)
    scene.ink *= np.clip(0.9 + 0.35 * grain, 0.3, 1.2)
    [shade, vignette, lamp][rng.integers(3)](rng, scene)
    return saved(scene.photo(rng), scene.labels, int(rng.integers(60, 92)))


def _pen(rng: np.random.Generator, _: Digits) -> Photo:
    scene = Scene([(480, 360), (400, 300), (360, 480)][rng.integers(3)])
    height, label = int(min(scene.shape) * rng.uniform(0.2, 0.5)), int(rng.integers(10))
    mask = penned(rng, label, height, rng.uniform(0.035, 0.1))
    top = int(rng.integers(12, scene.shape[0] - height - 12))
    scene.draw(mask, top, int(rng.integers(12, scene.shape[1] - mask.shape[1] - 12)), label)
    scene.colour = [(0.9, 0.85, 0.55), (1, 1, 1), (0.5, 0.95, 0.95)][rng.integers(3)]
    scene.contrast = rng.uniform(0.55, 0.9)
    [shade, vignette, lamp][rng.integers(3)](rng, scene)
    if rng.random() < 0.4:
        rule(rng, scene, rng.random() < 0.5, (0.06, 0.2))
    return saved(scene.photo(rng), scene.labels, int(rng.integers(60, 92)))


def _turned(rng: np.random.Generator, digits: Digits) -> Photo:
    scene = sheet(rng, digits)
    shade(rng, scene)
    return saved(scene.photo(rng), scene.labels, 80, [3, 6, 8][rng.integers(3)])


def _blackboard(rng: np.random.Generator, digits: Digits) -> Photo:
    scene = sheet(rng, digits)
    [shade, vignette, lamp][rng.integers(3)](rng, scene)
    board = scene.light * rng.uniform(50, 90)
    grey = board * (1 + rng.uniform(1.0, 1.8) * scene.ink) + rng.normal(0, 3, scene.shape)
    image = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).convert("RGB")
    return saved(image, scene.labels, 80)


def _large(rng: np.random.Generator, digits: Digits) -> Photo:
    scene = sheet(rng, digits)
    [shade, hard_shadow, vignette, lamp][rng.integers(4)](rng, scene)
    image = scene.photo(rng)
    image = image.resize((image.width * 5, image.height * 5), Image.Resampling.BICUBIC)
    return saved(image, scene.labels, 80)


def _clean(rng: np.random.Generator, digits: Digits) -> Photo:
    """A screenshot: no noise, PNG, either polarity."""
    scene = sheet(rng, digits, noise=0.0)
    grey = (255 * scene.ink).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(grey if rng.random() < 0.5 else 255 - grey).save(file, "PNG")
    return Photo(file.getvalue(), scene.labels, ".png")


def _as_stored(rng: np.random.Generator, digits: Digits) -> Photo:
    """The digit's own 28 x 28 pixels."""
    image, label = digits[rng.integers(len(digits))]
    file = io.BytesIO()
    Image.fromarray(image if rng.random() < 0.5 else 255 - image).save(file, "PNG")
    return Photo(file.getvalue(), [label], ".png")


def _empty(*changes: Callable[[np.random.Generator, Scene], None]):
    def make(rng: np.random.Generator, _: Digits) -> Photo:
        scene = Scene((400, 300), noise=rng.uniform(1, 5))
        for change in changes:
            change(rng, scene)
        return saved(scene.photo(rng), [], int(rng.integers(50, 92)))

    return make


def _noise(rng: np.random.Generator, _: Digits) -> Photo:
    shape = [(28, 28), (100, 80), (400, 300)][rng.integers(3)]
    grey = rng.integers(0, 256, shape) if rng.random() < 0.5 else rng.normal(128, 30, shape)
    grey = ndimage.gaussian_filter(np.asarray(grey, float), rng.choice([0.0, 1.0, 3.0]))
    file = io.BytesIO()
    Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(file, "PNG")
    return Photo(file.getvalue(), [], ".png")


def _ruled(rng: np.random.Generator, scene: Scene) -> None:
    rule(rng, scene, False, (0.08, 0.3))


def _squared(rng: np.random.Generator, scene: Scene) -> None:
    rule(rng, scene, True, (0.08, 0.3))


def _dark_ruled(rng: np.random.Generator, scene: Scene) -> None:
    rule(rng, scene, bool(rng.random() < 0.3), (0.35, 0.6))


PHOTOS: dict[str, Callable[[np.random.Generator, Digits], Photo]] = {
    "as stored, 28 x 28": _as_stored,
    "screenshot": _clean,
    "even light": _with(),
    "shadow from a side": _with(shade),
    "shadow with an edge": _with(hard_shadow),
    "vignette": _with(vignette),
    "lamp spot": _with(lamp),
    "ruled paper": _with(shade, _ruled),
    "squared paper": _with(lamp, _squared),
    "dark lines across": _with(_dark_ruled),
    "pencil": _pencil,
    "pen": _pen,
    "turned by EXIF": _turned,
    "specks": _with(vignette, specks),
    "frame": _with(shade, frame),
    "dark edge": _with(shade, dark_edge),
    "blackboard": _blackboard,
    "12 megapixels": _large,
    "two digits": _with(shade, how_many=2),
    "three digits, ruled": _with(lamp, _ruled, how_many=3),
    "blank": _empty(),
    "blank, shadow": _empty(shade, vignette),
    "blank, ruled": _empty(lamp, _squared),
    "noise alone": _noise,
}
