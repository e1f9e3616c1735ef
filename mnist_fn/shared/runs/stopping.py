"""Ctrl-C, a notebook's interrupt and SIGTERM: the first asks for an end after the epoch with
everything saved, the second ends at once.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from mnist_fn.shared.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """The signal that asked for an end, 0 if none has come."""

    signal = 0

    def should_stop(self) -> bool:
        """For `Callbacks.should_stop`: False, or Interrupted once a signal has come."""
        if self.signal:
            raise Interrupted("stopped")
        return False

    @property
    def exit_code(self) -> int:
        """The shell's convention: 128 + the signal, 130 for Ctrl-C and 143 for SIGTERM."""
        return 128 + self.signal


@contextlib.contextmanager
def stoppable(
    signals: Sequence[int] = SIGNALS,
    at_once: Callable[[int], BaseException] = lambda number: SystemExit(128 + number),
) -> Iterator[Stop]:
    """Within it, the signals set the yielded Stop instead of ending the process.

    Python delivers signals to the main thread only; in another thread nothing is changed.

    Args:
        signals: those that ask for an end.
        at_once: what a second one raises, from its number.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, _: FrameType | None) -> None:
        if stop.signal:
            raise at_once(number)
        stop.signal = number
        # A handler may interrupt a write to stderr, and Python's own streams don't re-enter.
        with contextlib.suppress(OSError):
            os.write(2, b"\nstopping after this epoch; once more stops at once\n")

    handlers = {number: signal.signal(number, ask) for number in signals}
    try:
        yield stop
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
