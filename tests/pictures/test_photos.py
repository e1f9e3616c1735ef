"""Photos as a phone takes them, made from MNIST's test digits, and the public cases, read by a
model of a few epochs on MNIST.
"""

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mnist_fn.shared.config import Config
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.pictures import clutter, illumination, lines, segmentation
from mnist_fn.shared.pictures.preparation import is_wide, prepare
from mnist_fn.shared.pictures.reading import CONFIDENT, read_picture
from mnist_fn.shared.runs.trainer import load_run, train
from tests.support.photos import penned, touching
from tests.support.picture_kinds import EMPTY, KINDS, read_photos

pytestmark = pytest.mark.mnist


@pytest.fixture(scope="module")
def reader(mnist_dir, tmp_path_factory):
    """A run of four epochs."""
    config = Config(epochs=4, hidden=(256,), learning_rate=1e-3)
    return train(config, data_dir=mnist_dir, out=tmp_path_factory.mktemp("reader") / "run").path


@pytest.fixture(scope="module")
def labelled(mnist):
    return list(zip(mnist.test.images, mnist.test.labels.tolist(), strict=True))


def test_every_public_picture_is_read(reader, cases):
    """The digits at the end of a file's name are what is right."""
    wrong = {}
    for file in sorted((cases / "pictures").iterdir()):
        name = file.stem.replace("-and-", "")
        right = name[len(name.rstrip("0123456789")) :]
        try:
            labels = load_run(reader).predict(read_picture(file).pictures)
        except InputError as error:
            wrong[file.name] = str(error)
            continue
        read = "".join(str(label) for label in labels)
        if read != right:
            wrong[file.name] = read
    assert wrong == {}


def test_one_photo_of_each_kind(reader, labelled, tmp_path):
    readings = read_photos(reader, labelled, tmp_path, n=1, seed=1)
    assert len(readings) == len(KINDS)
    wrong = [one for one in readings if one.share_right < 0.9]
    assert len(wrong) <= 2, wrong  # the model itself errs on one digit in 40


@pytest.mark.long
def test_19_of_20_photos_are_read(reader, labelled, tmp_path):
    """Of 40 kinds, 15 each; hundreds more are in docs/evidence/pictures.json."""
    readings = read_photos(reader, labelled, tmp_path, n=15, seed=2)
    full = [one.share_right for one in readings if one.kind not in EMPTY]
    empty = [one.is_right for one in readings if one.kind in EMPTY]
    assert np.mean(full) >= 0.95
    assert np.mean(empty) >= 0.95


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "broken", "kinds"),
    [
        ("closed", lambda light, _: np.full_like(light, np.median(light)), ["shadow from a side"]),
        ("without_lines", lambda found, _: (found, 0), ["dark lines across"]),
        ("is_light_on_dark", lambda _: False, ["blackboard"]),
        ("find_frames", lambda _: [], ["frame"]),
    ],
)
def test_each_part_is_needed(reader, labelled, tmp_path, monkeypatch, name, broken, kinds):
    before = read_photos(reader, labelled, tmp_path, n=4, seed=3, kinds=kinds)
    for module in (segmentation, clutter, illumination, lines):
        if hasattr(module, name):
            monkeypatch.setattr(module, name, broken)
    after = read_photos(reader, labelled, tmp_path, n=4, seed=3, kinds=kinds)
    assert sum(one.is_right for one in after) < sum(one.is_right for one in before)


def test_what_is_left_out_is_said(tmp_path):
    sheet = np.full((300, 300), 220, np.uint8)
    seven = penned(np.random.default_rng(0), 7, 120, 0.1)
    sheet[80:200, 100 : 100 + seven.shape[1]] -= (150 * seven).astype(np.uint8)
    y, x = np.mgrid[:300, :300]
    sheet[np.hypot(y - 150, x) < 45] = 90  # a thumb
    Image.fromarray(sheet).save(tmp_path / "edge.png")
    seen = read_picture(tmp_path / "edge.png")
    assert seen.notes == ["ink at the picture's edge was left out"]
    assert len(seen.pictures) == 1
    assert np.abs(seen.pictures[0].astype(int) - prepare(seven)).mean() < 4
    Image.fromarray(sheet[:180]).save(tmp_path / "cut.png")  # both reach an edge now
    assert read_picture(tmp_path / "cut.png").notes == [
        "ink at the picture's edge was left out",
        "it reaches the picture's edge and may be cut off",
    ]


@pytest.mark.parametrize("under", [False, True])
def test_a_loose_bar_is_a_fives_and_a_line_under_it_is_not(tmp_path, under):
    """The bar is wider than the rest of the 5, as in some of MNIST's, and does not touch it."""
    five = Image.new("L", (300, 300), 230)
    pen = ImageDraw.Draw(five)
    rest = [(120, 112), (112, 145), (150, 140), (160, 175), (115, 195)]
    pen.line(rest, fill=50, width=9, joint="curve")
    pen.line([(118, 98), (190, 90)] if not under else [(95, 212), (180, 212)], fill=50, width=9)
    five.save(tmp_path / "five.png")
    grey = np.asarray(five)
    seen = read_picture(tmp_path / "five.png").pictures
    top, bottom = (80, 205) if not under else (100, 205)
    whole = prepare((230 - grey[top:bottom].astype(float)) / 180)
    assert len(seen) == 1
    assert np.abs(seen[0].astype(int) - whole).mean() < 4


def hinted(reader: Path, pictures: np.ndarray) -> float:
    """The share of pictures, each read as one digit, that `predict` says may be two."""
    sure = load_run(reader).predict_proba(pictures).max(axis=1)
    wide = np.array([is_wide(picture) for picture in pictures])
    return float(np.mean(wide & (sure < CONFIDENT)))


@pytest.mark.long
def test_two_that_touch_are_mostly_said_and_one_hardly_ever(reader, mnist, labelled, tmp_path):
    """100 pairs, and MNIST's 10,000 test digits; the numbers are in docs/predict.md."""
    pairs = []
    for number in range(100):
        file = tmp_path / "pair.jpg"
        file.write_bytes(touching(np.random.default_rng((11, number)), labelled).content)
        pairs += [seen[0]] if len(seen := read_picture(file).pictures) == 1 else []
    found, alarmed = hinted(reader, np.stack(pairs)), hinted(reader, mnist.test.images)
    assert len(pairs) >= 95
    assert found >= 0.65
    assert alarmed <= 0.02


def test_a_page_of_text_is_no_digit(tmp_path):
    rng = np.random.default_rng(0)
    page = np.full((800, 600), 255, np.uint8)
    for top in range(20, 760, 40):
        for left in range(20, 560, 30):
            mask = penned(rng, int(rng.integers(10)), 24, 0.12)
            page[top : top + 24, left : left + mask.shape[1]] -= (255 * mask).astype(np.uint8)
    Image.fromarray(page).save(tmp_path / "text.png")
    with pytest.raises(InputError, match="342 marks in it that are no digits: a text"):
        read_picture(tmp_path / "text.png")


def test_a_pencil_across_the_sheet_is_no_digit(tmp_path, monkeypatch):
    sheet = np.full((300, 300), 220, np.uint8)
    sheet[100:120] = 60
    Image.fromarray(sheet).save(tmp_path / "pencil.png")
    with pytest.raises(InputError, match="nothing like a digit in it"):
        read_picture(tmp_path / "pencil.png")
    with pytest.raises(
        InputError, match="like a letter in it; give an image of one letter or a few"
    ):
        read_picture(tmp_path / "pencil.png", thing="letter")
    monkeypatch.setattr(clutter, "is_edge", lambda *_: False)
    assert len(read_picture(tmp_path / "pencil.png").pictures) == 1


def dotted_paper() -> np.ndarray:
    """Dots of two pixels every eight."""
    grey = np.full((1024, 1024), 255, np.uint8)
    grey[::8, ::8] = grey[1::8, ::8] = 0
    return grey


def many_strokes() -> np.ndarray:
    """7,000 small strokes at random places."""
    rng = np.random.default_rng(0)
    image = Image.new("L", (1024, 1024), 255)
    pen = ImageDraw.Draw(image)
    for x, y in rng.integers(0, 1000, (7000, 2)).tolist():
        pen.line([(x, y), (x + int(rng.integers(10)), y + 10)], fill=0)
    return np.asarray(image)


def strokes_with_dots() -> np.ndarray:
    """Tall strokes in a grid, each with three small marks beside it."""
    grey = np.full((1024, 1024), 255, np.uint8)
    for y in range(4, 1000, 60):
        for x in range(4, 1000, 60):
            grey[y : y + 40, x : x + 4] = 0
            for down, right in ((44, 20), (0, 20), (10, 40)):
                grey[y + down : y + down + 6, x + right : x + right + 6] = 0
    return grey


def boxes_in_boxes() -> np.ndarray:
    """A thousand frames, each with a mark inside."""
    image = Image.new("L", (1024, 1024), 255)
    pen = ImageDraw.Draw(image)
    for y in range(4, 1000, 32):
        for x in range(4, 1000, 32):
            pen.rectangle([x, y, x + 28, y + 28], outline=0)
            pen.rectangle([x + 10, y + 8, x + 16, y + 20], fill=0)
    return np.asarray(image)


@pytest.mark.long
@pytest.mark.parametrize("make", [dotted_paper, many_strokes, strokes_with_dots, boxes_in_boxes])
def test_any_picture_is_read_in_bounded_time(make):
    image = Image.fromarray(make())
    begin = time.process_time()
    with pytest.raises(InputError):
        read_picture(image)
    assert time.process_time() - begin < 20  # measured: at most 1.0 s


def test_ink_of_the_papers_brightness_is_told_by_colour(reader):
    """Red on grey of one luma; grey noise has no colour to go by."""
    seven = penned(np.random.default_rng(0), 7, 120, 0.1)
    ink = np.zeros((200, 200, 1))
    ink[40:160, 50 : 50 + seven.shape[1], 0] = seven
    red = np.array([200, 40, 40])
    grey = red @ (0.299, 0.587, 0.114)
    image = Image.fromarray((ink * red + (1 - ink) * grey).astype(np.uint8))
    digits = read_picture(image)
    assert load_run(reader).predict(digits.pictures).tolist() == [7]
    assert digits.notes == ["its ink is as bright as its paper; colour separates the two"]
    with pytest.raises(InputError, match="all of one brightness"):
        read_picture(image.convert("L"))


def test_digits_of_a_turned_sheet_are_in_order():
    """Two rows, the sheet turned by 12 degrees: each digit's box is where it was drawn."""
    sheet = Image.new("L", (700, 400), 255)
    pen = ImageDraw.Draw(sheet)
    for row in range(2):
        for column in range(5):
            left, top = 60 + 120 * column, 80 + 140 * row
            width = 20 + 8 * (5 * row + column)  # widths tell them apart
            pen.rectangle([left, top, left + width, top + 90], outline=0, width=9)
    turned = sheet.rotate(-12, Image.Resampling.BICUBIC, expand=True, fillcolor=255)
    pictures = read_picture(turned).pictures
    widths = [int(np.ptp(np.flatnonzero(picture.any(axis=0)))) for picture in pictures]
    assert len(widths) == 10
    assert widths == sorted(widths)
