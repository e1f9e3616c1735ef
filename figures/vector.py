"""SVG text made small, and the same bytes on every machine."""

import re

import numpy as np

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
    svg = _PATH.sub(lambda match: f' d="{_path(match[1])}"', svg)
    svg = _INDENTATION.sub("", svg)
    names: dict[str, str] = {}
    return _ID.sub(lambda match: names.setdefault(match[0], f"i{len(names)}"), svg)


def _path(data: str) -> str:
    """The same path. Steps are between rounded points, so that no error adds up."""
    written, last_point = [], np.zeros(2)
    for command, numbers in _COMMAND.findall(data):
        hundredths = np.rint(100 * np.array(numbers.split(), dtype=float)) + 0.0  # no -0
        letter, steps = command, hundredths
        if command == "L":
            letter, steps = "l", hundredths - last_point
        if hundredths.size:
            last_point = hundredths[-2:]
        written.append(letter + " ".join(f"{step / 100:.8g}" for step in steps))
    return _ZERO.sub(".", "".join(written)).replace(" -", "-")
