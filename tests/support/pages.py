"""The project's pages as a reader has them: links, anchors, commands and blocks of Python."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
COMMANDS = ("mnist-fn", "make", "pip", "python", "ray", "pre-commit", "for", "while", "export")
_TAG = re.compile(r"<(?:img|source|a)\b[^>]*?\b(?:src|srcset|href)=\"([^\"]+)\"")


@dataclass(frozen=True)
class Snippet:
    """A command line or a block of Python, and where it stands."""

    page: str  # relative to the checkout
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text.splitlines()[0]}"


def pages() -> list[Path]:
    """Every Markdown page that people read."""
    tops = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
    return [ROOT / name for name in tops] + sorted((ROOT / "docs").glob("*.md"))


def tokens(page: Path) -> list[Token]:
    """The page parsed, tables too."""
    return MarkdownIt("commonmark").enable("table").parse(page.read_text())


def links(page: Path) -> Iterator[str]:
    """Where the page's links and pictures go, those in raw HTML too."""
    for token in tokens(page):
        for one in (token, *(token.children or ())):
            if one.type == "link_open":
                yield str(one.attrs["href"])
            elif one.type == "image":
                yield str(one.attrs["src"])
            elif one.type in ("html_block", "html_inline"):
                yield from _TAG.findall(one.content)


def anchors(page: Path) -> set[str]:
    """The anchors of the page's headings, as GitHub makes them."""
    found: dict[str, int] = {}
    parsed = tokens(page)
    for before, token in itertools.pairwise(parsed):
        if before.type == "heading_open":
            text = "".join(one.content for one in token.children or ())
            kept = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            found[kept] = found.get(kept, -1) + 1
    return {f"{name}-{n}" if n else name for name, last in found.items() for n in range(last + 1)}


def commands(page: Path) -> Iterator[Snippet]:
    """Each command line of the page, in a block or within a sentence; comments cut off."""
    for token in tokens(page):
        line = token.map[0] + 1 if token.map else 0
        if token.type == "code_block" or (token.type == "fence" and token.info in ("", "sh")):
            text = token.content.replace("\\\n", " ")
            found = [re.sub(r"\s+#.*", "", one).strip() for one in text.splitlines()]
        else:
            found = [one.content for one in token.children or () if one.type == "code_inline"]
        for one in found:
            if re.match(rf"({'|'.join(COMMANDS)}) \S", one):
                yield Snippet(str(page.relative_to(ROOT)), line, one)


def python_blocks(page: Path) -> Iterator[Snippet]:
    """Each fenced block of Python."""
    for token in tokens(page):
        if token.type == "fence" and token.info == "python":
            line = token.map[0] + 1 if token.map else 0
            yield Snippet(str(page.relative_to(ROOT)), line, token.content)
