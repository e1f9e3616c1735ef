"""How busy a machine is besides ourselves: a time taken beside others' work says little."""

import contextlib
import os
import time

LIMIT = 0.1  # of the machine's cores, that others may use


class Others:
    """What everything but this process and its children computes, from now on.

    Counted is what the processors did (a virtual machine's stolen time too), less what we and our
    children used.
    """

    def __init__(self) -> None:
        self._started, self._used = time.monotonic(), _used_by_others()

    def cores(self) -> float:
        """Cores in use by others since then, on average."""
        used = _used_by_others() - self._used
        return max(0.0, used / (time.monotonic() - self._started))

    def to_dict(self) -> dict[str, float]:
        """For a document: cores in use by others, of how many, and how many they may use."""
        count = os.cpu_count() or 1
        return {"cores": self.cores(), "of": count, "limit": LIMIT * count}


def _used_by_others() -> float:
    """CPU seconds since the start of the machine."""
    import psutil

    idle = {"idle", "iowait", "guest", "guest_nice"}  # a guest's time is in `user` already
    all_used = psutil.cpu_times()._asdict().items()
    used = sum(seconds for kind, seconds in all_used if kind not in idle)
    own_seconds = sum(os.times()[:4])  # with the children that have ended
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has ended meanwhile
            own_seconds += sum(child.cpu_times()[:4])
    return used - own_seconds
