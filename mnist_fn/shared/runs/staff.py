"""Workers as they are asked for: how many, of how many threads, where."""

from dataclasses import dataclass

from mnist_fn.shared.errors import InputError

MAX_WORKERS = 10_000


@dataclass(frozen=True)
class Staff:
    """Workers as they were asked for."""

    workers: int | None  # None: as many as the cluster has room for
    threads: int = 1  # of each
    address: str | None = None  # of a Ray cluster, or "auto"; None: a Ray of our own

    @property
    def option(self) -> str:
        """What an error is about."""
        return "`workers`" if self.address is None else f'`cluster="{self.address}"`'


def staff_of(workers: int | None, threads: int | None, cluster: str | None) -> Staff | None:
    """The workers that were asked for; None if this process is to train.

    Raises:
        InputError: a number out of its range, or threads of no worker.
    """
    if workers is None and cluster is None:
        if threads is not None:
            raise InputError(f"`threads={threads}`: of each worker; give `workers` too")
        return None
    if workers is not None and not 1 <= workers <= MAX_WORKERS:
        raise InputError(f"`workers={workers}`: must be between 1 and {MAX_WORKERS}")
    if threads is not None and not 1 <= threads <= 1024:
        raise InputError(f"`threads={threads}`: must be between 1 and 1024")
    if cluster is not None and cluster != "auto" and not _host_and_port(cluster):
        raise InputError(
            f"`cluster={cluster[:60]!r}`: expected auto, or the head's HOST:PORT, on a machine "
            "of the cluster"
        )
    return Staff(workers, threads or 1, cluster)


def _host_and_port(address: str) -> bool:
    host, _, port = address.rpartition(":")
    return bool(host) and "/" not in host and port.isdecimal() and 0 < int(port) < 2**16
