"""The pages and the site made of them: every link leads somewhere, and nothing warns."""

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.support import pages
from tests.support.browser import AXE, Visit, chromium

ROOT = pages.ROOT
# What axe finds of the builder's and the theme's own: Sphinx's nested lists of definitions, Furo's
# hidden words of a button outside of landmarks, and its two asides without a name.
OF_THE_THEME = {"definition-list", "region", "landmark-unique"}


@pytest.mark.parametrize("page", pages.pages(), ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page):
    assert list(broken(page, pages.links(page))) == []


def test_a_broken_link_and_a_broken_anchor_are_seen():
    page = ROOT / "README.md"
    wrong = ["docs/none.md", "docs/parity.md#none", "http:/one-slash", "#none"]
    right = ["docs/parity.md#the-ladder", "#in-python", "https://jax.dev"]
    assert list(broken(page, [*wrong, *right])) == wrong


def broken(page, found):
    for link in found:
        there = urlsplit(link)
        if there.scheme or there.netloc:
            if there.scheme not in ("http", "https") or not there.netloc:
                yield link
            continue
        target = page.parent / unquote(there.path) if there.path else page
        known = pages.anchors(target) if target.suffix == ".md" and target.is_file() else set()
        if not target.exists() or (there.fragment and there.fragment not in known):
            yield link


def test_every_picture_of_a_figure_is_in_the_gallery():
    links = pages.links(ROOT / "docs" / "gallery.md")
    shown = {Path(link).name for link in links if Path(link).suffix in (".png", ".svg")}
    drawn = {path.name for path in (ROOT / "docs" / "pictures").iterdir()}
    variants = {name for name in drawn if "-dark" in name or "-torch-" in name}
    assert drawn - variants == shown


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as `make docs` does; a warning is an error."""
    out = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    done = subprocess.run([*build, "-d", str(out / "trees"), str(ROOT / "docs"), str(out / "html")],
                          capture_output=True, text=True, check=False,
                          env={**os.environ, "JAX_PLATFORMS": "cpu"})  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out / "html"


class Page(HTMLParser):
    """Its links and its anchors."""

    def __init__(self, path):
        super().__init__()
        self.links, self.ids = set(), set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.add(value)
            elif name in ("id", "name") and value:
                self.ids.add(value)


@pytest.mark.long
def test_every_link_within_the_site_leads_somewhere(site):
    made = {path.resolve(): Page(path) for path in site.rglob("*.html")}
    assert len(made) > 15
    lost = []
    for path, page in made.items():
        for link in page.links:
            there = urlsplit(link)
            if there.scheme or there.netloc:
                continue
            target = (path.parent / unquote(there.path)).resolve() if there.path else path
            ids = made[target].ids if target in made else None
            fragment = unquote(there.fragment)
            if not target.exists() or (fragment and ids is not None and fragment not in ids):
                lost.append(f"{path.name}: {link}")
    assert lost == []


@pytest.mark.long
def test_the_reference_has_every_public_name_and_nothing_private(site):
    import mnist_fn

    ids = Page(site / "reference.html").ids
    assert {f"mnist_fn.{name}" for name in mnist_fn.__all__} <= ids
    for name in mnist_fn.__all__:
        members = vars(getattr(mnist_fn, name)).items()
        properties = {key for key, member in members if isinstance(member, property)}
        assert {f"mnist_fn.{name}.{key}" for key in properties} <= ids, name
    assert not [one for one in ids if one.rpartition(".")[2].startswith("_") and "__" not in one]


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_site_can_be_used_by_everyone(site, scheme):
    with chromium() as browser:
        for name in ("index", "parity", "reference", "gallery"):
            for width in (1280, 360):
                visit = Visit(browser, site / f"{name}.html", width=width, color_scheme=scheme)
                wide = visit.page.evaluate("document.documentElement.scrollWidth")
                assert wide <= width, name
                found = {one["id"] for one in AXE.run(visit.page).response["violations"]}
                assert found <= OF_THE_THEME, (name, width)
                visit.context.close()
