"""Fonts for class names of any script: matplotlib's own has no Chinese, Japanese or Korean."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from matplotlib import font_manager
from matplotlib.text import Text


def add_fallbacks(figure: Any) -> Any:
    """Give each text of a figure installed fonts with the characters that its own lacks.

    Args:
        figure: a matplotlib figure or axes, its texts final.

    Returns:
        The same.
    """
    missing = {text: _missing(text) for text in figure.findobj(Text)}
    families = _families_with(frozenset().union(*missing.values()))
    for text, characters in missing.items():
        if characters:
            text.set_fontfamily([*text.get_fontfamily(), *families])
    return figure


def without_glyph(figure: Any) -> str:
    """The characters of a figure's texts that no font of theirs has: they are drawn as boxes."""
    return "".join(sorted(set().union(*map(_missing, figure.findobj(Text)))))


@contextmanager
def boxes_allowed() -> Iterator[None]:
    """A context in which matplotlib doesn't warn of each character that it draws as a box."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        yield


def _missing(text: Text) -> frozenset[str]:
    characters = frozenset(filter(str.isprintable, text.get_text())) - {" "}
    for family in text.get_fontfamily():
        properties = text.get_fontproperties().copy()
        properties.set_family([family])
        characters -= _of_font(font_manager.findfont(properties), characters)
    return characters


def _of_font(path: Any, characters: frozenset[str]) -> frozenset[str]:
    """Those of the characters that a font file has."""
    try:
        font = font_manager.get_font(path)
    except (OSError, RuntimeError):  # gone since matplotlib listed it, or damaged
        return frozenset()
    return frozenset(character for character in characters if font.get_char_index(ord(character)))


@cache
def _families_with(characters: frozenset[str]) -> tuple[str, ...]:
    """Installed families that have the characters together, or as many of them as can be had."""
    families: list[str] = []
    while characters:
        best, family = frozenset(), ""
        for font in font_manager.fontManager.ttflist:
            if "lastresort" in font.name.lower().replace(" ", ""):
                continue  # a font of boxes
            available = _of_font(font.fname, characters)
            if len(available) > len(best):
                best, family = available, font.name
        if not best:
            break
        families.append(family)
        characters -= best
    return tuple(families)
