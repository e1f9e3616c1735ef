"""The colours of the figures: told apart by the colour-blind, and seen on their ground."""

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_hex

from figures import style
from tests.support.colour_vision import VISIONS, ciede2000, lab

LEAST_DISTANCE = 12  # CIEDE2000: two lines of this distance are told apart at a glance


def nearest(colours: list[str], vision: str) -> tuple[float, str, str]:
    seen = {colour: lab(colour, vision) for colour in colours}
    return min(
        (ciede2000(seen[one], seen[other]), one, other)
        for one, other in itertools.combinations(colours, 2)
    )


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("theme", style.THEMES)
def test_any_two_series_are_told_apart(theme, vision):
    colours = style.THEMES[theme]
    assert nearest([*colours["series"], colours["ink"]], vision)[0] >= LEAST_DISTANCE


def test_the_check_finds_two_that_are_one_to_a_protanope():
    """Two of Okabe and Ito's, which stood for λ = 0 and λ = 10⁻³ in figure 5."""
    assert nearest(["#d55e00", "#a06f00"], "normal")[0] > LEAST_DISTANCE
    assert nearest(["#d55e00", "#a06f00"], "protan")[0] < 1


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [  # of the test data that come with the formula, in CIELAB
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, -1.3802, -84.2814), (50.0, 0.0, -82.7485), 1.0000),
        ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
        ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_the_distance_is_the_published_one(first, second, distance):
    assert ciede2000(np.array(first), np.array(second)) == pytest.approx(distance, abs=1e-4)


@pytest.mark.parametrize("theme", style.THEMES)
def test_more_series_than_colours_still_differ(theme):
    with style.themed(theme):
        colours = style.series_colours(9)
        assert len({to_hex(colour) for colour in colours}) == 9
        assert style.series_colours(3) == list(style.THEMES[theme]["series"][:3])


@pytest.mark.parametrize("theme", style.THEMES)
def test_a_warning_is_in_the_colour_of_its_theme(theme):
    with style.themed(theme):
        assert style.alert() == style.THEMES[theme]["alert"]
