"""Ctrl-C and SIGTERM as a wish to stop, with everything saved.

Light to import, as `callbacks`.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import FrameType

from mnist_fn.shared.errors import InputError, Interrupted
from mnist_fn.shared.runs.callbacks import Callbacks

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
    """Within it, the first signal asks for an end after the epoch with everything saved, by the
    yielded Stop; the second ends at once.

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


@contextlib.contextmanager
def followed(callbacks: Callbacks | None, progress: bool) -> Iterator[Callbacks]:
    """Within it, Ctrl-C asks for an end, beside what the caller asks for.

    A handler of the caller's own stays: only where Ctrl-C would raise does it ask for an end.

    Args:
        callbacks: the caller's, who then follows the runs.
        progress: without callbacks, show how far the runs are, on stderr.
    """
    if not isinstance(callbacks, Callbacks | None):
        raise InputError("`callbacks`: give one `Callbacks`, such as Callbacks(on_epoch=print)")
    would_raise = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signals = [signal.SIGINT] if would_raise else []
    with stoppable(signals, lambda _: KeyboardInterrupt()) as stop:
        if callbacks is not None or not progress:
            caller = callbacks or Callbacks()
            yield replace(caller, should_stop=lambda: stop.should_stop() or caller.should_stop())
            return
        from rich.console import Console

        from mnist_fn.shared.runs.progress import ProgressView

        with ProgressView(Console(stderr=True, highlight=False)) as view:
            yield view.callbacks(stop.should_stop)
