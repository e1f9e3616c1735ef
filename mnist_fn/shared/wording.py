"""How figures and λ are written, in tables and on axes alike; options in messages, and what was
meant by a word mistyped.
"""

import math
import re

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


def as_share(value: float, places: int = 2) -> str:
    """`98.40%`; a class without examples has none, `–`."""
    return "–" if math.isnan(value) else f"{value:.{places}%}"


def spread(mean: float, sd: float | None, unit: str) -> str:
    """`0.04950 ± 0.00170`; without the spread of a single run."""
    if sd is None:
        return figure(mean, unit)
    number = figure(mean, unit).removesuffix(" %")
    return f"{number} ± {figure(sd, unit)}"


# Messages name arguments as Python has them, in backticks; the command has options.
ARGUMENTS = (
    *("dataset", "validation", "hidden", "model", "l2", "optimizer", "weight_decay"),
    *("learning_rate", "batch_size", "epochs", "seed", "seeds", "precision", "orientation", "ink"),
    *("backend", "device", "data_dir", "out", "force", "metric", "only", "quick", "max_memory"),
    *("workers", "threads", "cluster"),
)
_NAMED = re.compile(rf"`({'|'.join(sorted(ARGUMENTS, key=len, reverse=True))})(?:=([^`]*))?`")
_ALLOWED = re.compile(r"(MNIST_FN_ALLOW_KNOWN_WRONG=1) in the environment")
_RESUMED = re.compile(r"`resume\((['\"])([^`]*)\1\)`")


def in_shell(text: str) -> str:
    """A message in the command's words: `force=True` is --force, `data_dir` --data-dir."""
    text = _ALLOWED.sub(r"--allow-known-wrong (\1)", text)
    text = _RESUMED.sub(lambda found: f"mnist-fn train --resume {found[2]}", text)
    return _NAMED.sub(lambda found: _option(found[1], found[2]), text)


def _option(name: str, value: str | None) -> str:
    if name == "orientation" and value is not None:
        return "--" + value.strip('"')
    option = "--" + name.replace("_", "-")
    if value is None or value == "True":
        return option
    if name == "hidden":  # a tuple
        value = re.sub(r"[() ]|,(?=\))", "", value)
    return f"{option} {value.strip(chr(34))}"  # advice stands in double quotes, what was given not


def nearest(word: str, known: list[str]) -> str | None:
    """The one of `known` that is most like the word, None if none is much like it."""
    import difflib

    lower = {one.lower(): one for one in known}
    return next((lower[one] for one in difflib.get_close_matches(word.lower(), lower, 1)), None)
