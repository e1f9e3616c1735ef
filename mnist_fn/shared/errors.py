"""Errors that a user can cause, as data: what is wrong, the value, what is allowed, what to do.

A text that names arguments keeps them as `Argument`, so that whoever shows it names them in its
own terms: Python `learning_rate=0.5`, the command line `--learning-rate 0.5` (`in_shell`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from mnist_fn.shared.wording import nearest

NOT_GIVEN: Any = ...  # a value that pickling keeps
MAX_SHOWN = 40  # characters of a value


@dataclass(frozen=True)
class Argument:
    """An argument of a call, which the command line has as an option."""

    name: str
    value: object = NOT_GIVEN  # that it has, or is advised to have
    given: bool = False  # by the user; else it is advice

    def in_python(self) -> str:
        """`learning_rate=0.5` in backticks."""
        if self.value is NOT_GIVEN:
            return f"`{self.name}`"
        if isinstance(self.value, str) and not self.given:
            return f'`{self.name}="{self.value}"`'
        return f"`{self.name}={shown(self.value)}`"

    def in_shell(self) -> str:
        """`--learning-rate 0.5`."""
        if self.name == "orientation" and not self.given and self.value is not NOT_GIVEN:
            return f"--{self.value}"
        option = "--" + self.name.replace("_", "-")
        if self.value is NOT_GIVEN or (self.value is True and not self.given):
            return option
        if isinstance(self.value, tuple | list):
            return f"{option} {','.join(map(str, self.value))[:MAX_SHOWN]}"
        if isinstance(self.value, str) and not self.given:
            return f"{option} {self.value}"
        return f"{option} {shown(self.value)}"


@dataclass(frozen=True)
class Resume:
    """The call that continues a run."""

    path: object

    def in_python(self) -> str:
        """`resume('runs/a')` in backticks."""
        return f"`resume({str(self.path)!r})`"

    def in_shell(self) -> str:
        """`mnist-fn train --resume runs/a`."""
        return f"mnist-fn train --resume {self.path}"


class Message:
    """A text whose arguments are named by whoever shows it; `str` has Python's names."""

    def __init__(self, *parts: "Text") -> None:
        self.parts = _pieces(parts)

    def __str__(self) -> str:
        return one_line("".join(p if isinstance(p, str) else p.in_python() for p in self.parts))

    def in_shell(self) -> str:
        """The text in the command line's terms."""
        return one_line("".join(p if isinstance(p, str) else p.in_shell() for p in self.parts))


Text: TypeAlias = "str | Argument | Resume | Message | InputError | tuple[Text, ...]"


def template(text: str) -> "tuple[Text, ...]":
    """A text with arguments in braces: `{data_dir}`, or `{dataset=digits}` with a value to give.

    It is for texts that stand in the source: a user's words may have braces of their own.
    """
    parts: list[Text] = []
    for i, piece in enumerate(re.split("{(.*?)}", text)):
        name, _, value = piece.partition("=")
        argument = Argument(name, {"": NOT_GIVEN, "True": True}.get(value, value))
        parts.append(argument if i % 2 else piece)
    return tuple(parts)


def _pieces(text: Any) -> tuple[str | Argument | Resume, ...]:
    if isinstance(text, tuple):
        return sum(map(_pieces, text), ())
    if isinstance(text, InputError):
        return text.message.parts
    return text.parts if isinstance(text, Message) else (text,)


class InputError(ValueError):
    """Bad input or environment. The command prints it on one line and exits with 2.

    `InputError("batch_size", 0, "between 1 and 512")` reads "`batch_size=0`: must be between 1 and
    512" in Python and "--batch-size 0: must be …" in the shell. Choices in a sequence are listed,
    and the one that the value is most like is suggested.

    Args:
        what: the argument's name where `value` is given; else what is wrong, in words.
        value: what was given.
        allowed: what it must be, in words or as the choices.
        hint: what to do.
    """

    def __init__(
        self,
        what: Text,
        value: object = NOT_GIVEN,
        allowed: str | Sequence[str] = (),
        hint: Text = (),
    ) -> None:
        self.what, self.value, self.allowed, self.hint = what, value, allowed, hint
        parts: list[Any] = [what if value is NOT_GIVEN else Argument(str(what), value, given=True)]
        if isinstance(allowed, str):
            parts.append(f": must be {allowed}")
        elif allowed:
            parts.append(f": must be one of {', '.join(allowed)}")
        if hint:
            parts += ["; " if allowed or value is NOT_GIVEN else ": ", hint]
        if not isinstance(allowed, str) and isinstance(value, str):
            near = nearest(value, allowed)
            parts.append(f"; did you mean {near}?" if near else "")
        self.message = Message(*parts)
        super().__init__(str(self.message))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message,), self.__dict__

    def _render_traceback_(self) -> list[str]:
        """How a notebook shows it: what a user can cause needs no traceback."""
        return [f"{type(self).__name__}: {self}"]


class NotFoundError(InputError):
    """A dataset's files are not where they are looked for."""


# A package that is not always there, and the extra of mnist-fn that brings it.
EXTRAS = {
    "torch": "torch",
    "torchvision": "torch",
    "onnx": "onnx",
    "tensorboard": "tensorboard",
    "ray": "ray",
    "pandas": "notebook",
}


class MissingExtraError(InputError, ImportError):
    """A package of an extra is not installed: an ImportError too, for who imports in Python."""


def missing(who: Text, package: str, why: ImportError) -> MissingExtraError:
    """The error for one of EXTRAS that `who` needs and can't import; raise it."""
    return MissingExtraError(
        (who, f" needs {package} ({why}); pip install 'mnist-fn[{EXTRAS[package]}]'")
    )


def shown(value: object) -> str:
    """A value that a user gave, briefly."""
    try:
        if type(value) is int and abs(value) < 2**64:
            return str(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return f"{value:g}"
        text = repr(value)
        if isinstance(value, str) and len(text) > MAX_SHOWN:
            return repr(value[:MAX_SHOWN])
        return text[:MAX_SHOWN]
    except OverflowError:  # a whole number beyond the floats
        return "so large"
    except (ValueError, RecursionError):  # nested too deep to show, or too many digits
        return f"of {type(value).__name__}"


def one_line(message: str) -> str:
    """The message on one line. What does not print is escaped: it may quote a hostile file,
    and an escape sequence would reach the terminal.
    """
    return printable(" ".join(message.split()))


def printable(text: str) -> str:
    """The text with everything escaped that a terminal might obey; its lines stay."""
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )


def in_shell(text: object) -> str:
    """A message, or an error's, in the command line's terms; other text as it is."""
    message = text.message if isinstance(text, InputError | Interrupted) else text
    return message.in_shell() if isinstance(message, Message) else str(message)


def damaged(path: object, why: object) -> InputError:
    """The error for a run's file that is not as it was written; raise it."""
    return InputError(
        f"{path}: damaged ({str(why)[:100]})",
        hint=("put a good copy there, or train again with ", Argument("force", True)),
    )


class Interrupted(Exception):  # noqa: N818 - it is no error
    """Training stopped on request after a whole epoch, its state saved if there is a run."""

    def __init__(self, *parts: Text) -> None:
        self.message = Message(*parts)
        super().__init__(str(self.message))

    def _render_traceback_(self) -> list[str]:
        """How a notebook shows it."""
        return [f"{type(self).__name__}: {self}"]
