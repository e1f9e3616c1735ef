"""SVG text made small, and the same bytes on every machine."""

import re

_PATH = re.compile(r' d="([^"]*)"')
_COMMAND = re.compile(r"([A-Za-z])([^A-Za-z]*)")
_ZERO = re.compile(r"(?<!\d)0\.")  # SVG needs none before a point
_INDENTATION = re.compile(r"^ +", re.MULTILINE)
_ID = re.compile(r"\b[a-z][0-9a-f]{10}\b")


def compact(svg: str) -> str:
    """Paths in hundredths of a point, their lines relative; ids by order of appearance; lines
    not indented.

    matplotlib writes six decimals, and names a clip path by the hash of its place to the last bit,
    which another processor rounds otherwise.
    """
    svg = _PATH.sub(lambda found: f' d="{_path(found[1])}"', svg)
    svg = _INDENTATION.sub("", svg)
    names: dict[str, str] = {}
    return _ID.sub(lambda found: names.setdefault(found[0], f"i{len(names)}"), svg)


def _path(data: str) -> str:
    """The same path. Steps are between rounded points, so that no error adds up."""
    written, before = [], [0, 0]
    for command, numbers in _COMMAND.findall(data):
        hundredths = [round(100 * float(number)) for number in numbers.split()]
        steps = hundredths
        if command == "L":
            steps = [after - now for after, now in zip(hundredths, before, strict=True)]
        if hundredths:
            before = hundredths[-2:]
        letter = command.lower() if command == "L" else command
        written.append(letter + " ".join(f"{step / 100:.8g}" for step in steps))
    return _ZERO.sub(".", "".join(written)).replace(" -", "-")
