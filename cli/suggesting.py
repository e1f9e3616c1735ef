"""Did you mean: the choices, options and runs near a word that was mistyped."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.wording import counted, nearest

RUN_FILE = "run.json"
MOST_NAMED = 6  # runs in a message
FIRST_RUN = "`mnist-fn train` makes a first run"
MAKES = {"runs": FIRST_RUN, "runs-quick": "`mnist-fn study --quick` makes it"}  # default folders
KINDS = {  # what is no such value, as typer's reader calls it: what it must be
    "float_parsing": "a number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of fewer digits",
    "int_from_float": "a whole number",
}


def usage(error: Any) -> str:
    """Click's message for an unknown command or option or a bad value, in our style."""
    text = str(error.message or error.format_message()).rstrip(".")
    name = getattr(error, "option_name", None)
    near = getattr(error, "possibilities", None) or ()
    if name and "No such" in text:
        near = _nearest_options(name, error.ctx)
    elif name:  # a flag with a value, or an option without
        text = f"{name}: {'a value is missing' if 'requires' in text else 'takes no value'}"
    elif isinstance(error.__cause__, ValueError) and getattr(error, "param", None):
        return _bad_value(error.param.opts[-1], error.__cause__)
    text = text[:1].lower() + text[1:].replace(". Did you mean", "; did you mean")
    if near:
        return f"{text}; did you mean {' or '.join(sorted(near))}?"
    return text if text.endswith("?") else f"{text}; try --help"


def _bad_value(option: str, cause: Any) -> str:
    """What an option's value must be, in place of the words of what reads it."""
    for problem in cause.errors():
        bound = problem.get("ctx", {}).get("ge")
        wanted = f"at least {bound:g}" if bound is not None else KINDS.get(problem["type"])
        if wanted:
            return f"{option} {str(problem['input'])[:40]!r}: must be {wanted}"
    return f"{option}: {str(cause).splitlines()[0][:120]}"


def _nearest_options(word: str, context: Any) -> list[str]:
    """The command's option that is spelled alike, or whose words have these initials: `--lr`."""
    names: dict[str, str] = {}
    for parameter in context.command.params:
        for name in (*parameter.opts, *parameter.secondary_opts):
            if name.startswith("--"):
                names[name.lstrip("-").replace("-", "_")] = name
    near = nearest(word.lstrip("-").replace("-", "_"), names)
    return [] if near is None else [names[near]]


def folders_of_runs(folders: Sequence[Path] | None, default: str = "runs") -> list[Path]:
    """The folders given, or else the default one; InputError for one that is not there."""
    paths = list(folders or [Path(default)])
    for path in paths:
        if not path.is_dir():
            raise InputError(f"{path}: no such folder", hint="" if folders else MAKES[default])
    return paths


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
