"""Did you mean: the choices, options and runs near a word that was mistyped."""

import re
from pathlib import Path
from typing import Any

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.wording import counted, nearest

RUN_FILE = "run.json"
MOST_NAMED = 6  # runs in a message

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


def check_is_run(path: Path) -> None:
    """Refuse a path that holds no run, and name the runs that may have been meant.

    Raises:
        InputError: it is no run.
    """
    if (path / RUN_FILE).exists():
        return
    inside = _runs_in(path)
    if inside:
        raise InputError(
            f"{path}: a folder of {counted(len(inside), 'run')}, no run itself; give one of "
            f"{_listed(inside)}, such as {path / inside[0]}"
        )
    beside = _runs_in(path.parent)
    near = nearest(path.name, beside)
    if near is not None:
        raise InputError(f"{path}: no run here; did you mean {path.parent / near}?")
    if beside:
        raise InputError(f"{path}: no run here; {path.parent} has {_listed(beside)}")
    raise InputError(
        f"{path}: no run here (a run is a folder with {RUN_FILE}); `mnist-fn runs FOLDER` lists "
        "those of a folder"
    )


def _runs_in(folder: Path) -> list[str]:
    """Names of the runs in a folder; none if it can't be read."""
    try:
        return sorted(header.parent.name for header in folder.glob(f"[!.]*/{RUN_FILE}"))
    except OSError:
        return []


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:MOST_NAMED])
    return shown if len(names) <= MOST_NAMED else f"{shown} and {len(names) - MOST_NAMED} more"
