"""A picture prepared as MNIST's were: on MNIST itself, and from files of every kind."""

import os

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.pictures.preparation import INK, prepare
from mnist_fn.shared.pictures.reading import read_picture


def drawn(side=240, pen=20) -> np.ndarray:
    """A 7, light on black, not in the middle."""
    image = Image.new("L", (side * 2, side))
    points = [(0.3, 0.2), (0.7, 0.2), (0.45, 0.8)]
    ImageDraw.Draw(image).line(
        [(x * side, y * side) for x, y in points], fill=255, width=pen, joint="curve"
    )
    return np.asarray(image)


def only(path) -> np.ndarray:
    """The one digit of an image file."""
    (picture,) = read_picture(path).pictures
    return picture


@pytest.mark.mnist
def test_mnist_is_as_it_would_be_prepared(mnist):
    images = mnist.test.images[:3000]
    prepared = np.array([prepare(image) for image in images])
    apart = np.abs(prepared.astype(int) - images).max(axis=(1, 2))
    # what is cut off is fainter than INK, and the peak of 254 or 255 is made 255
    same = apart <= 255 * INK + 1
    assert same.mean() >= 0.999  # measured: all of 3,000; 9 of 10,000 move by one pixel


def test_the_longer_side_is_20_and_the_mass_is_in_the_middle():
    picture = prepare(drawn())
    assert picture.shape == (28, 28)
    assert picture.dtype == np.uint8
    assert picture.max() == 255
    rows, columns = (np.flatnonzero(picture.any(axis=axis)) for axis in (1, 0))
    assert rows[-1] - rows[0] + 1 == 20
    assert columns[-1] - columns[0] + 1 < 20
    for axis in (0, 1):
        mass = picture.sum(axis=axis)
        assert abs((mass * np.arange(28)).sum() / mass.sum() - 14) <= 0.51  # a whole pixel's half


def test_where_it_was_drawn_and_how_large_makes_no_difference():
    """A move makes none at all; a size does by its own pixels' edges."""
    image = drawn()
    assert np.array_equal(prepare(np.roll(image, (15, 100), (0, 1))), prepare(image))
    twice = prepare(np.kron(image, np.ones((2, 2))))
    assert np.abs(twice.astype(int) - prepare(image)).max() <= 2


def test_a_flat_stroke_stays_inside():
    bar = np.zeros((50, 400))
    bar[20:24, 10:300] = 255
    bar[20:40, 10:20] = 255  # heavy on the left: its mass would push the rest out on the right
    picture = prepare(bar)
    columns = np.flatnonzero(picture.any(axis=0))
    assert columns[-1] - columns[0] + 1 == 20


def variants(grey: np.ndarray) -> dict[str, Image.Image]:
    """The same digit as different kinds of image."""
    light, dark = Image.fromarray(grey), Image.fromarray(255 - grey)
    clear = {}
    for name, colour in {"black": 0, "white": 255}.items():
        ink = Image.fromarray(np.full_like(grey, colour))
        clear[f"{name} on nothing"] = Image.merge("LA", (ink, light))
    two = np.where(grey[..., None] > 127, [[20, 40, 120]], [[250, 230, 200]]).astype(np.uint8)
    turned = light.rotate(-90, expand=True)
    exif = Image.Exif()
    exif[0x0112] = 8  # to be turned by 90 degrees counterclockwise
    turned.info["exif"] = exif.tobytes()
    return {
        **clear,
        "light on dark": light,
        "dark on light": dark,
        "colours": Image.fromarray(two),
        "palette": Image.fromarray(two).quantize(2),
        "two levels": light.convert("1"),
        "16 bits": Image.fromarray(grey.astype(np.uint16) * 200),
        "turned by EXIF": turned,
    }


@pytest.mark.parametrize("kind", variants(drawn()))
def test_every_kind_of_image_gives_the_same_picture(tmp_path, kind):
    path = tmp_path / "seven.png"
    image = variants(drawn())[kind]
    image.save(path, exif=image.info.get("exif", b""))
    # the drawing has no greys, so its edges are the same in each
    assert np.abs(only(path).astype(int) - prepare(drawn())).max() <= 1


def test_a_photograph(tmp_path):
    """Grey paper, light that falls off, a sensor's noise, JPEG: nearly the same picture."""
    rng = np.random.default_rng(0)
    paper = np.linspace(200, 170, 480)[None, :] - 130 * (drawn() / 255)
    photo = np.clip(paper + rng.normal(0, 4, paper.shape), 0, 255).astype(np.uint8)
    path = tmp_path / "photo.jpg"
    Image.fromarray(photo).save(path, quality=80)
    apart = np.abs(only(path).astype(int) - prepare(drawn()))
    assert apart.mean() < 8  # of 255; measured: 1.7


def test_a_large_image_is_reduced_before_anything_else(tmp_path):
    path = tmp_path / "large.png"
    Image.fromarray(np.kron(drawn(), np.ones((10, 10), np.uint8))).save(path)
    # 15 pixels of the reduced image make one of the picture: an edge may be off by one of them
    assert np.abs(only(path).astype(int) - prepare(drawn())).max() <= 255 / 15


def bomb(path):
    Image.new("1", (20_000, 20_000)).save(path, "PNG")


def cut_off(path):
    Image.fromarray(drawn()).save(path, "PNG")
    path.write_bytes(path.read_bytes()[:200])


def postscript(path):
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (bomb, "more than 65,000,000 pixels"),
        (cut_off, "a damaged image"),
        (postscript, "not an image that is read here"),
        (lambda path: path.write_bytes(b""), "not an image that is read here"),
        (lambda path: Image.new("L", (90, 90), 255).save(path, "PNG"), "nothing to see in it"),
        (lambda path: path.mkdir(), "a folder, where a file is expected"),
        (lambda path: path.symlink_to(path), "a link that leads to no file"),
        (os.mkfifo, "not a plain file but a pipe"),
        (lambda path: None, "no such file"),
    ],
)
def test_what_is_no_picture_is_one_line(tmp_path, make, said):
    path = tmp_path / "x.png"
    make(path)
    with pytest.raises(InputError, match=said) as caught:
        read_picture(path)
    assert str(path) in str(caught.value)


def test_damage_anywhere_is_one_line_or_a_picture(tmp_path):
    """Bytes changed at random, in every format: no other error than InputError comes out."""
    rng, refused = np.random.default_rng(0), 0
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"):
        path = tmp_path / "x"
        Image.fromarray(drawn(60, 6)).save(path, kind)
        whole = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(40):
            broken = whole.copy()
            broken[rng.integers(0, min(len(whole), 200), 6)] = rng.integers(0, 256, 6)
            path.write_bytes(broken.tobytes())
            try:
                assert read_picture(path).pictures.shape[1:] == (28, 28)
            except InputError:
                refused += 1
    assert refused > 40
