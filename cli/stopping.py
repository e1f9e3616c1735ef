"""Ctrl-C and SIGTERM: the first asks for a clean end after the epoch, the second ends at once."""

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType


class Stop:
    """Which signal has asked for an end, 0 if none has."""

    signal = 0

    def __call__(self) -> bool:
        """Whether an end was asked for."""
        return self.signal != 0

    @property
    def exit_code(self) -> int:
        """The shell's convention: 128 + the signal, 130 for Ctrl-C and 143 for SIGTERM."""
        return 128 + self.signal


@contextlib.contextmanager
def stoppable() -> Iterator[Stop]:
    """Within it, the signals set the yielded Stop instead of ending the process."""
    stop = Stop()

    def ask(number: int, _: FrameType | None) -> None:
        if stop():
            raise SystemExit(128 + number)
        stop.signal = number
        # A handler may interrupt a write to stderr, and Python's own streams don't re-enter.
        with contextlib.suppress(OSError):
            os.write(2, b"\nstopping after this epoch; once more stops at once\n")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
