"""Take the README's pictures of the report: a digit is drawn on it, in light and in dark.

mnist-fn report RUNS --out report.html && python docs/make/make_screenshots.py report.html
"""

import sys
from io import BytesIO
from math import cos, radians, sin
from pathlib import Path

from pages import PICTURES
from PIL import Image

from tests.support.browser import Visit, chromium

# a three, in shares of the pad: two arcs
STROKE = [
    (0.5 + radius * cos(radians(angle)), middle + radius * sin(radians(angle)))
    for middle, radius, first, last in ((0.33, 0.15, -150, 90), (0.65, 0.17, -90, 150))
    for angle in range(first, last + 1, 15)
]


def main(page: Path) -> None:
    with chromium() as browser:
        for scheme in ("light", "dark"):
            visit = Visit(browser, page.resolve(), color_scheme=scheme)
            visit.page.click("#clear")
            visit.draw(*STROKE)
            visit.page.evaluate("document.activeElement.blur()")
            taken = visit.page.locator("#draw").screenshot()
            few = Image.open(BytesIO(taken)).convert("RGB").quantize(256, dither=Image.Dither.NONE)
            few.save(PICTURES / f"report-{scheme}.png", optimize=True)  # a third of the bytes


if __name__ == "__main__":
    main(Path(sys.argv[1]))
