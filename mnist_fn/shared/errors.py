"""Errors that a user can cause, each one clear line: what, where and what to do."""


class InputError(Exception):
    """Bad input or environment. The command prints it on one line and exits with 2.

    An argument is named as Python has it, in backticks: `learning_rate`, `force=True`,
    `dataset="digits"`. The command says the same as its options (`wording.in_shell`).
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))

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


def missing(who: str, package: str, why: ImportError) -> MissingExtraError:
    """The error for one of EXTRAS that `who` needs and can't import; raise it."""
    return MissingExtraError(
        f"{who} needs {package} ({why}); pip install 'mnist-fn[{EXTRAS[package]}]'"
    )


def one_line(message: str) -> str:
    """The message on one line. What does not print is escaped: it may quote a hostile file,
    and an escape sequence would reach the terminal.
    """
    line = " ".join(message.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def way_on(path: object) -> str:
    """The call that goes on with a run; the command says its own for it."""
    return f"`resume({str(path)!r})`"


def damaged(path: object, why: object) -> InputError:
    """The error for a run's file that is not as it was written; raise it."""
    return InputError(
        f"{path}: damaged ({str(why)[:100]}); put a good copy there, "
        "or train anew with `force=True`"
    )


class Interrupted(Exception):  # noqa: N818 - it is no error
    """Training stopped on request after a whole epoch, its state saved if there is a run."""

    def _render_traceback_(self) -> list[str]:
        """How a notebook shows it."""
        return [f"{type(self).__name__}: {self}"]
