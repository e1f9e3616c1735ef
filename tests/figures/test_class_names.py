"""Class names in figures: in any script, and of 62 classes without overlapping."""

import itertools
import string
import warnings
from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cli.commands.figures import _draw
from figures import build, confusion, fonts, style
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.spec import DataSpec
from tests.support.synthetic import run, with_classes, with_header

KANA, HANGUL = "おきすつなはまやれを", "가나다라마바사아자차"


def font_of(characters: str, path: Path) -> Path:
    """A font in which each of the characters is a filled square."""
    pen = TTGlyphPen(None)
    for k, corner in enumerate([(0, 0), (0, 800), (800, 800), (800, 0)]):
        pen.lineTo(corner) if k else pen.moveTo(corner)
    pen.closePath()
    square = pen.glyph()
    names = [".notdef", *(f"uni{ord(one):04X}" for one in characters)]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap(dict(zip(map(ord, characters), names[1:], strict=True)))
    builder.setupGlyf(dict.fromkeys(names, square))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (1000, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Kana For Tests", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    return path


@pytest.fixture
def no_fonts(monkeypatch):
    """matplotlib's own fonts alone are installed."""
    manager = font_manager.fontManager
    own = [font for font in manager.ttflist if font.name.startswith("DejaVu")]
    monkeypatch.setattr(manager, "ttflist", own)
    fonts._families_with.cache_clear()
    yield
    fonts._families_with.cache_clear()


@pytest.fixture
def kana_font(no_fonts, tmp_path):
    """A font of the kana is installed, too."""
    font_manager.fontManager.addfont(font_of(KANA, tmp_path / "kana.ttf"))


@pytest.mark.parametrize("name", ["confusion", "per-class", "templates"])
def test_a_name_is_drawn_in_a_font_that_has_it(name, kana_font, tmp_path):
    from tests.figures.test_figures import records

    runs = [with_classes(one, KANA) for one in records(name, seeds=(0,))]
    with style.themed(), warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib's for each box
        figure = build.draw(build.OF_STUDY[name], runs)
        FigureCanvasAgg(figure).draw()
        assert fonts.without_glyph(figure) == ""


def test_characters_that_no_font_has_are_told_once(no_fonts, tmp_path, capfd):
    runs = [with_classes(run(Config(epochs=2)), HANGUL)]
    drawn = dict.fromkeys([build.OF_STUDY["confusion"]], runs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        written = _draw(drawn, tmp_path, "png", "light", None, None)
    told = capfd.readouterr().err
    assert written == [tmp_path / "confusion.png"]
    assert told == (
        f"no installed font has {''.join(sorted(HANGUL))}: drawn as boxes; install one, such as "
        "Noto Sans CJK\n"
    )


@pytest.mark.parametrize("names", [[f"{label:0{n}d}" for label in range(62)] for n in (1, 2, 3, 9)])
@pytest.mark.parametrize("width", [None, 10.0, 5.0])
def test_names_of_62_classes_stand_apart(names, width):
    made = with_classes(run(Config(epochs=2)), string.digits + string.ascii_letters)
    made = with_header(made, data_spec=DataSpec(tuple(range(62)), tuple(names)))
    with style.themed():
        ax = None if width is None else Figure(figsize=(width, 4.5)).subplots(1, 2)[0]
        ax = confusion.plot(made, ax)
        FigureCanvasAgg(ax.figure).draw()
    for axis in (ax.xaxis, ax.yaxis):
        boxes = [label.get_window_extent() for label in axis.get_ticklabels()]
        assert len(boxes) >= 62 / 6
        for one, other in itertools.pairwise(boxes):
            assert not one.overlaps(other)
