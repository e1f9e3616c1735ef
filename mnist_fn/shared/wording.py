"""How figures, λ and ranges are written, in tables and on axes alike; and which known word was
meant by one mistyped.
"""

import math
from collections.abc import Iterable

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_FORMS = {"loss": "{:.5f}", "accuracy": "{:.2f}", "epoch": "{:.1f}", "share": "{:.4f}"}


def scientific(value: float) -> str:
    """A power of ten with its factor: 3e-5 is 3×10⁻⁵, 1e-4 is 10⁻⁴, 0 is 0."""
    if value == 0:
        return "0"
    factor, _, exponent = f"{value:.6e}".partition("e")
    power = "10" + str(int(exponent)).translate(_SUPERSCRIPTS)
    return power if float(factor) == 1 else f"{float(factor):g}×{power}"


def counted(number: int, noun: str) -> str:
    """`1 run`, `2 runs`, `1,234 epochs`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def l2_name(l2: float) -> str:
    """`λ = 3×10⁻⁵`."""
    return f"λ = {scientific(l2)}"


def shape_name(hidden: tuple[int, ...]) -> str:
    """`linear`, `512` or `512, 256`."""
    return ", ".join(map(str, hidden)) or "linear"


def figure(value: float | None, unit: str) -> str:
    """One figure in its unit: a loss in nats, an accuracy (0 to 1) in %, an epoch, a share."""
    if value is None or math.isnan(value):
        return ""
    text = _FORMS[unit].format(100 * value if unit == "accuracy" else value)
    return text + (" %" if unit == "accuracy" else "")


def spread(mean: float, sd: float | None, unit: str) -> str:
    """`0.04950 ± 0.00170` or `98.05 ± 0.12 %`; the mean alone if `sd` is None or NaN."""
    scatter = figure(sd, unit)
    text = figure(mean, unit)
    return f"{text.removesuffix(' %')} ± {scatter}" if scatter else text


def between(low: float, high: float) -> str:
    """`between 0 and 4,294,967,295`: a whole number has all its digits."""
    return f"between {_bound(low)} and {_bound(high)}"


def _bound(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The one of `known` that was probably meant: spelled alike, or with these initials (`lr`)."""
    import difflib

    lower = {name.lower(): name for name in known}
    word = word.lower()
    for name in lower:
        initials = "".join(part[:1] for part in name.split("_"))
        if "_" in name and initials == word:
            return lower[name]
    alike = difflib.get_close_matches(word, lower, 1, cutoff=0.65)
    return lower[alike[0]] if alike else None


def control_name(kind: str) -> str:
    """A kind of control run as texts call it; documents call one a twin."""
    return kind.replace("twin", "control run")
