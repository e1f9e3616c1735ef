"""Take the README's pictures of the report: a digit is drawn on it, in light and in dark.

mnist-fn report RUNS --out report.html && python docs/make_screenshots.py report.html
"""

import sys
from math import cos, radians, sin
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.browser import Visit, chromium  # noqa: E402

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
            bottom = visit.page.evaluate(
                "document.getElementById('draw').getBoundingClientRect().bottom + scrollY"
            )
            visit.page.screenshot(
                path=ROOT / "docs" / f"report-{scheme}.png",
                clip={"x": 0, "y": 0, "width": 1100, "height": bottom + 12},
                full_page=True,
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
