"""Headless Chromium for tests of the page: the system's own, driven by Playwright."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

AXE = Axe()  # .run(page).response["violations"]: what it finds against WCAG
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
REQUIRED = os.environ.get("MNIST_FN_REQUIRE_BROWSER") == "1"

# Text on its ground, each colour as the browser computes it: what falls short of WCAG 2.2 AA.
CONTRAST = """() => {
  const dot = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const over = (ground, colour) => {
    dot.fillStyle = `rgb(${ground.join(' ')})`;
    dot.fillRect(0, 0, 1, 1);
    dot.fillStyle = colour;
    dot.fillRect(0, 0, 1, 1);
    return [...dot.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const groundOf = (element) => {
    const under = element.parentElement ? groundOf(element.parentElement) : [255, 255, 255];
    return over(under, getComputedStyle(element).backgroundColor);
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255).map((v) =>
      v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = { seen: 0, low: [] };
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.checkVisibility()) continue;
    if (element.closest('script, style, noscript')) continue;
    const style = getComputedStyle(element);
    const ground = groundOf(element);
    const [a, b] = [luminance(over(ground, style.color)), luminance(ground)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const large = parseFloat(style.fontSize) >= 24;
    found.seen += 1;
    if (ratio < (large ? 3 : 4.5)) {
      found.low.push(`${texts.currentNode.data.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
    }
  }
  return found;
}"""


@contextmanager
def chromium() -> Iterator[Any]:
    """A running browser; skips where there is none, fails where CI has one."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        reason = f"no browser found ({', '.join(NAMES)}): install Debian's chromium"
        if REQUIRED:
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    root = hasattr(os, "geteuid") and os.geteuid() == 0  # Chromium's sandbox refuses root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox"] if root else []
        )
        yield browser
        browser.close()


class Visit:
    """An opened page, and what it said and asked for."""

    def __init__(self, browser: Any, file: Path, width: int = 1100, **more: Any) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 800}, **more)
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(file.as_uri())

    def outside(self) -> list[str]:
        """Requests for anything but the page itself and what is in it."""
        return [url for url in self.requests if not url.startswith(("file:", "data:"))]

    def draw(self, *points: tuple[float, float]) -> None:
        """A stroke through points in shares of the pad."""
        self.page.locator("#pad").scroll_into_view_if_needed()
        box = self.page.locator("#pad").bounding_box()
        at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
        self.page.mouse.move(*at[0])
        self.page.mouse.down()
        for x, y in at[1:]:
            self.page.mouse.move(x, y, steps=8)
        self.page.mouse.up()

    def shares(self) -> list[str]:
        """Each digit's probability as it is written."""
        return self.page.locator(".bars:visible .share").all_inner_texts()
