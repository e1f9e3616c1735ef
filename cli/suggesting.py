"""Did you mean: what stands near a word that was mistyped."""

import re
from typing import Any

from mnist_fn.shared.wording import nearest

# "'shalow': must be one of linear, shallow, deep, or …"; of backends the installed ones are named
_CHOICES = re.compile(r"'(?P<word>[^']*)'.*?(?:must be (?:one )?of|installed are) (?P<known>[^;]+)")


def meant(message: str) -> str:
    """An error's message, with the nearest of the choices that it names, if one is near."""
    found = _CHOICES.search(message)
    if found is None:
        return message
    known = [re.sub(r"\W*$", "", word) for word in re.split(r", (?:or )?", found["known"])]
    near = nearest(found["word"], known)
    return f"{message}; did you mean {near}?" if near else message


def usage(error: Any) -> str:
    """What click says of a command or an option that is not there, in our words."""
    text = error.format_message().rstrip(".")
    near = _abbreviated(error) or getattr(error, "possibilities", None)
    if near:
        text = f"{error.message}; did you mean {' or '.join(sorted(near))}?"
    text = text[:1].lower() + text[1:].replace(". Did you mean", "; did you mean")
    return text if text.endswith("?") else f"{text}; try --help"


def _abbreviated(error: Any) -> list[str]:
    """The options whose words begin with the letters of the one that is not there: `--lr`."""
    word = getattr(error, "option_name", "").lstrip("-")
    known = [name for one in error.ctx.command.params for name in one.opts] if word else []
    return [name for name in known if "-" in name[2:] and _initials(name) == word]


def _initials(name: str) -> str:
    return "".join(part[0] for part in name.strip("-").split("-"))
