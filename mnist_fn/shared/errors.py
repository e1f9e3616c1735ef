"""Errors that a user can cause, each one clear line: what, where and what to do."""


class InputError(Exception):
    """Bad input or environment. The command prints it on one line and exits with 2."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class Interrupted(Exception):  # noqa: N818 - it is no error
    """Training stopped on request after a whole epoch, its state saved if there is a run."""
