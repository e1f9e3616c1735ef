"""Did you mean: the choices, options and runs near a word that was mistyped."""

from pathlib import Path
from typing import Any

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.wording import counted, nearest

RUN_FILE = "run.json"
MOST_NAMED = 6  # runs in a message


def usage(error: Any) -> str:
    """Click's message for an unknown command or option, in our style."""
    text = error.format_message().rstrip(".")
    option = getattr(error, "option_name", None)
    if option is not None:
        near = _nearest_option(option, error.ctx)
        text = f"{error.message}; did you mean {near}?" if near else error.message.rstrip(".")
    elif near := getattr(error, "possibilities", None):
        text = f"{error.message}; did you mean {' or '.join(sorted(near))}?"
    text = text[:1].lower() + text[1:].replace(". Did you mean", "; did you mean")
    return text if text.endswith("?") else f"{text}; try --help"


def _nearest_option(word: str, context: Any) -> str | None:
    """The command's option that is spelled alike, or whose words have these initials: `--lr`."""
    names = {
        name.lstrip("-").replace("-", "_"): name
        for parameter in context.command.params
        for name in (*parameter.opts, *parameter.secondary_opts)
        if name.startswith("--")
    }
    near = nearest(word.lstrip("-").replace("-", "_"), names)
    return None if near is None else names[near]


def check_is_folder(path: Path) -> None:
    """InputError for a path that is no folder."""
    if not path.is_dir():
        raise InputError(f"{path}: no such folder")


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
